# SPDX-License-Identifier: Apache-2.0
"""The trust root of a directory: made, encrypted, shown, signed anew; the console script's own process is not needed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from sigcore import signing_config, trustroot, x509
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.keys import encode_public_key, key_id, parse_public_key_pem
from stack import bootstrap, running
from stack.cli import main
from stack.config import Home, load_settings, parse_organization
from stack.live_issuers import LiveIssuers
from stack.passphrase import find_passphrase
from stack.trust.lifetimes import LIFETIME
from stack.trust.publish import load_targets, publish
from stack.trust.state import load_state
from stack.trust.targets import TARGETS


def init(data: Path, *options: str) -> Home:
    assert main(["init", "--data", str(data), "--yes", *options]) == 0
    return Home(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Home:
    return init(
        tmp_path_factory.mktemp("made") / "data", "--url", "https://sig.example", "--organization", "ACME Build"
    )


def chain(home: Home, *names: str) -> list[x509.Certificate]:
    return [x509.parse_certificate_pem((home.keys / name).read_bytes()) for name in names]


# --- init ------------------------------------------------------------------------------------------------
def test_init_names_the_organization_in_every_certificate_and_document(made):
    certificates = chain(made, "fulcio_v1.crt.pem", "fulcio_intermediate_v1.crt.pem", "tsa_leaf.crt.pem")
    assert {x509.organization(one.subject) for one in certificates} == {"ACME Build"}
    assert x509.common_name(certificates[0].subject) == "ACME Build certificate authority root"
    config = signing_config.parse_signing_config(made.signing_config.read_bytes())
    assert {service.operator for service in (*config.ca, *config.rekor, *config.tsa, *config.oidc)} == {"ACME Build"}


def test_init_prints_the_fingerprint_and_what_comes_next(tmp_path, capsys):
    home = init(tmp_path / "d")
    text = capsys.readouterr().out
    assert f"sha256:{hashlib.sha256(home.tuf_root.read_bytes()).hexdigest()}" in text
    assert f"sigbox up --data {tmp_path}/d" in text
    assert load_settings(home).url == "http://localhost:7780"


def test_a_second_init_changes_nothing_and_says_so(made, capsys):
    before = {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    assert main(["init", "--data", str(made.path)]) == 0
    assert "holds a stack already; nothing was changed" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()} == before


def test_an_interrupted_init_is_completed_by_the_next_one(tmp_path, capsys):
    home = init(tmp_path / "d")
    key = (home.path / "ca" / "root.key").read_bytes()
    shutil.rmtree(home.public)
    (home.path / "anchor" / "tuf.json").unlink()
    assert main(["init", "--data", str(home.path)]) == 0
    assert "root fingerprint" in capsys.readouterr().out
    assert home.tuf_root.exists()
    assert (home.path / "ca" / "root.key").read_bytes() == key


@pytest.mark.parametrize("option", [("--url", "https://other.example"), ("--organization", "Other")])
def test_a_second_init_that_wants_something_else_is_refused(made, option, capsys):
    assert main(["init", "--data", str(made.path), *option]) == 3
    assert "holds a stack" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 41, "\x1b[31m", "tab\t"])
def test_names_that_cannot_stand_in_a_certificate_are_refused(name):
    with pytest.raises(Malformed, match="printable"):
        parse_organization(name)


def test_names_with_quotes_and_other_letters_survive_the_settings_file(tmp_path):
    name = 'Bäckerei "Süß" \\ 署名'
    assert load_settings(init(tmp_path / "d", "--organization", name)).organization == name


# --- documents ---------------------------------------------------------------------------------------------
def test_every_published_target_is_the_public_file_and_both_generations_agree(made):
    targets = load_targets(made, load_settings(made))
    root = trustroot.parse_trusted_root(targets["trusted_root.json"].data)
    v1, v2 = root.logs
    rekor = encode_public_key(parse_public_key_pem(targets["rekor.pub"].data))
    assert (rekor, key_id(rekor)) == (v1.key, v1.log_id)
    assert v2.key != v1.key
    assert encode_public_key(parse_public_key_pem(targets["ctfe.pub"].data)) == root.ct_logs[0].key
    names = ("fulcio_intermediate_v1.crt.pem", "fulcio_v1.crt.pem")
    assert tuple(one.der for one in chain(made, *names)) == root.certificate_authorities[0].chain
    assert targets["fulcio.crt.pem"].data == targets["fulcio_v1.crt.pem"].data
    names = ("tsa_leaf.crt.pem", "tsa_intermediate_0.crt.pem", "tsa_root.crt.pem")
    assert tuple(one.der for one in chain(made, *names)) == root.timestamp_authorities[0].chain
    assert targets["tsa_root.crt.pem"].uri == "https://sig.example/api/v1/timestamp"
    published = {target.name: target.sha256 for target in load_state(made).targets}
    assert published == {name: hashlib.sha256(target.data).hexdigest() for name, target in targets.items()}
    assert len(published) == len(TARGETS)


@pytest.mark.parametrize(("file", "versions"), [("", (2, 1)), ("_v1", (1,)), ("_v2", (2,))])
def test_each_signing_config_lists_its_logs_newest_api_first(made, file, versions):
    config = signing_config.parse_signing_config((made.public / f"signing_config{file}.json").read_bytes())
    assert tuple(service.api_version for service in config.rekor) == versions
    now = datetime.now(UTC)
    for supported in ((1, 2), (1,), (2,)):
        if not set(supported) & set(versions):
            continue
        chosen = signing_config.select_services(config.rekor, config.rekor_selector, supported=supported, now=now)
        assert [service.api_version for service in chosen] == [max(set(supported) & set(versions))]


def test_sigstore_python_takes_the_documents_and_picks_v2_or_the_version_that_is_asked_for(made):
    from sigstore.models import ClientTrustConfig, SigningConfig  # noqa: PLC0415 - slow to import

    trusted = ClientTrustConfig.from_json(made.trust_config.read_text())
    assert trusted.trusted_root.get_fulcio_certs()
    assert [type(log).__name__ for log in trusted.signing_config.get_tlogs()] == ["RekorV2Client"]
    assert trusted.signing_config.get_tsas()
    for file, api in ((made.signing_config_v1, "RekorClient"), (made.signing_config_v2, "RekorV2Client")):
        [log] = SigningConfig.from_file(str(file)).get_tlogs()
        assert type(log).__name__ == api


# --- passphrase ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sealed(tmp_path_factory) -> tuple[Home, Path]:
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "passphrase").write_text("correct horse\n")
    return init(folder / "data", "--passphrase-file", str(folder / "passphrase")), folder / "passphrase"


def test_with_a_passphrase_no_key_lies_open_and_all_of_them_load(sealed):
    home, file = sealed
    found = sorted(home.path.rglob("*.key"))
    assert len(found) == 14
    for path in found:
        assert path.read_bytes().startswith(bootstrap.ENCRYPTED), path
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    unlocked = Home(home.path, find_passphrase(file, {}))
    assert bootstrap.load_material(unlocked).ca_key
    assert bootstrap.load_oidc_key(unlocked)
    assert "correct horse" not in repr(unlocked)


def test_without_the_passphrase_or_with_another_one_nothing_opens(sealed, tmp_path, capsys, monkeypatch):
    home, file = sealed
    monkeypatch.delenv("SIGBOX_PASSPHRASE_FILE", raising=False)
    data = ("--data", str(home.path))
    with pytest.raises(Refused, match="is encrypted"):
        bootstrap.load_material(home)
    assert main(["trust", "refresh", *data]) == 3
    error = capsys.readouterr().err
    assert "is encrypted" in error
    assert "hint: give --passphrase-file" in error
    (tmp_path / "wrong").write_text("battery staple")
    assert main(["token", "--email", "a@example.com", *data, "--passphrase-file", str(tmp_path / "wrong")]) == 3
    assert "cannot be decrypted" in capsys.readouterr().err
    monkeypatch.setenv("SIGBOX_PASSPHRASE_FILE", str(file))
    assert main(["trust", "refresh", *data]) == 0
    assert main(["token", "--email", "a@example.com", *data]) == 0


def test_where_a_passphrase_is_looked_for(tmp_path):
    for name in ("option", "variable", "sigbox-passphrase"):
        (tmp_path / name).write_text(f"{name}\r\n")
    environment = {"SIGBOX_PASSPHRASE_FILE": str(tmp_path / "variable"), "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_passphrase(tmp_path / "option", environment) == b"option"
    assert find_passphrase(None, environment) == b"variable"
    assert find_passphrase(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == b"sigbox-passphrase"
    assert find_passphrase(None, {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) is None
    assert find_passphrase(None, {}) is None
    with pytest.raises(NotFound, match="the passphrase file"):
        find_passphrase(tmp_path / "none", {})


@pytest.mark.parametrize("text", ["", "\n", "two\nlines\n", "x" * 2000])
def test_a_file_that_is_no_passphrase_is_refused(tmp_path, text):
    (tmp_path / "p").write_text(text)
    with pytest.raises((Malformed, Refused), match="passphrase"):
        find_passphrase(tmp_path / "p", {})


# --- show, refresh, and the running stack ------------------------------------------------------------------------
def test_trust_show_tells_versions_expiries_and_ids(made, capsys):
    assert main(["trust", "show", "--data", str(made.path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["fingerprint"] == hashlib.sha256(made.tuf_root.read_bytes()).hexdigest()
    assert [(role["role"], role["state"]) for role in shown["roles"]] == [
        (role, "good") for role in ("root", "targets", "snapshot", "timestamp")
    ]
    assert all(role["daysLeft"] > 0 and len(role["keyIds"]) == role["threshold"] == 1 for role in shown["roles"])
    assert [key["service"] for key in shown["keys"]] == ["rekor 1", "rekor 2", "ct", "ca", "tsa"]
    assert main(["trust", "show", "--data", str(made.path)]) == 0
    text = capsys.readouterr().out
    assert all(key["id"] in text for key in shown["keys"])
    assert shown["fingerprint"] in text
    assert max(map(len, text.splitlines()[:14])) <= 100


def test_trust_refresh_signs_all_but_the_root(tmp_path, capsys):
    home = init(tmp_path / "d")
    before = {role.role: role.version for role in load_state(home).roles}
    assert main(["trust", "refresh", "--data", str(home.path)]) == 0
    after = {role.role: role.version for role in load_state(home).roles}
    assert after == {role: version + (role != "root") for role, version in before.items()}
    assert "timestamp version 2, good until" in capsys.readouterr().out


def test_countdowns_turn_into_words(made):
    now = datetime.now(UTC)
    state = {role.role: role for role in load_state(made).roles}
    assert state["timestamp"].verdict(now + LIFETIME["timestamp"] * 0.6) == "due"
    assert state["timestamp"].verdict(now + LIFETIME["timestamp"] * 1.1) == "expired"
    assert state["timestamp"].verdict(now - timedelta(days=40)) == "ahead"
    assert state["root"].verdict(now + LIFETIME["root"] * 0.6) == "good"
    assert state["root"].verdict(now + LIFETIME["root"] - timedelta(days=80)) == "due"


async def test_the_running_stack_signs_what_grew_old(tmp_path, monkeypatch):
    """The clock is turned the other way round: what lies there was signed twenty days ago."""
    home = init(tmp_path / "d")
    publish(home, datetime.now(UTC) - timedelta(days=20), force=True)
    monkeypatch.setattr(running, "REFRESH_S", 0.01)
    task = asyncio.create_task(running.keep_up(SimpleNamespace(home=home, tls=None, issuers=LiveIssuers())))
    try:
        async with asyncio.timeout(30):
            while load_state(home).roles[-1].version < 3:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
    state = {role.role: role for role in load_state(home).roles}
    assert state["timestamp"].verdict(datetime.now(UTC)) == "good"
    assert state["snapshot"].version == 2


async def test_a_failed_refresh_is_said_and_tried_again(tmp_path, monkeypatch, caplog):
    home = init(tmp_path / "d")
    publish(home, datetime.now(UTC) - timedelta(days=20), force=True)
    hidden = home.path / "tuf" / "timestamp.key"
    hidden.rename(hidden.with_suffix(".away"))
    monkeypatch.setattr(running, "REFRESH_S", 0.01)
    task = asyncio.create_task(running.keep_up(SimpleNamespace(home=home, tls=None, issuers=LiveIssuers())))
    try:
        async with asyncio.timeout(60):
            while "was not refreshed" not in caplog.text:
                await asyncio.sleep(0.02)
            hidden.with_suffix(".away").rename(hidden)
            while load_state(home).roles[-1].version < 3:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
