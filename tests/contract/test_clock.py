# SPDX-License-Identifier: Apache-2.0
"""The clock of a stack for tests: every role reads it, what expires does so by it, and no time in a log goes back."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sigstore.errors import VerificationError
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity
from tuf.api.exceptions import ExpiredMetadataError
from tuf.ngclient import Updater
from tuf.ngclient._internal import trusted_metadata_set

from client.identity import parse_identity_token
from client.sign import Signing, certify, sign_blob
from client.transport import AiohttpTransport
from client.trust import load_trust
from sigcore.bundle import Bundle
from sigcore.errors import Refused as ClientRefused
from sigcore.sct import embedded_scts
from sigcore.timestamp import parse_response
from sigcore.x509 import Certificate, parse_certificate
from stack.testing import EMAIL, Malformed, Sigbox, running
from stack.trust.state import load_roles
from tests.box_commands import sign, try_to_sign, try_to_verify, verify
from tests.ports import free_port
from tests.stack_process import sigbox
from tests.until import wait_until

pytestmark = pytest.mark.slow

WITHIN = timedelta(minutes=2)
"""What a busy machine may take for a command."""
IN_2020 = datetime(2020, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def box() -> Iterator[Sigbox]:
    """Its clock is turned forward by each test, and runs again at the end of each."""
    with running() as one:
        yield one
        assert one.log is not None
        assert "Traceback" not in one.log.read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (made := tmp_path / "file").write_bytes(b"content")
    return made


def ask(box: Sigbox, body: bytes | None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{box.url}/_ctl/clock", body)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def certificate(bundle: Bundle) -> Certificate:
    assert bundle.certificate is not None
    return parse_certificate(bundle.certificate)


def claims(token: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return read


def faults(box: Sigbox) -> list[str]:
    try:
        with urllib.request.urlopen(f"{box.url}/readyz", timeout=60) as answer:
            found: list[str] = json.load(answer)["faults"]
    except urllib.error.HTTPError as error:
        with error:
            found = json.load(error)["faults"]
    return found


# --- every role reads it -----------------------------------------------------------------------------------
def test_a_stopped_clock_is_the_time_of_everything_that_is_signed(box: Sigbox, file: Path):
    stands = box.clock.set((box.clock.now() + timedelta(days=400)).replace(microsecond=0), stop=True)
    assert box.clock.now() == stands
    token = claims(box.token())
    assert datetime.fromtimestamp(token["iat"], UTC) == stands
    assert token["exp"] > token["iat"]
    for version in ("1", "2"):
        bundle = sign(box, file, "--rekor-version", version)
        leaf = certificate(bundle)
        assert leaf.not_before == stands
        (sct,) = embedded_scts(leaf)
        assert sct.timestamp_ms == stands.timestamp() * 1000
        assert [parse_response(one).info.time for one in bundle.timestamps] in ([], [stands])
        assert bundle.timestamps or version == "1"
        if version == "1":
            assert bundle.log_entries[0].integrated_time == stands.timestamp()
        verify(box, file)
    assert faults(box) == []
    assert stands < box.clock.run() < stands + WITHIN
    wait_until(lambda: box.clock.now() > stands)


def test_the_command_turns_it_too(box: Sigbox):
    def command(*words: str) -> str:
        done = sigbox(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = box.clock.now()
    printed = json.loads(command("clock", "advance", "2h", "--stop", "--url", box.url, "--json"))
    assert (printed["stopped"], printed["turned"]) == (True, True)
    at = datetime.fromisoformat(printed["now"])
    assert before + timedelta(hours=2) <= at < before + timedelta(hours=2) + WITHIN
    later = (at + timedelta(days=1)).replace(microsecond=0)
    said = command("clock", "set", later.isoformat().replace("+00:00", "Z"), "--url", box.url)
    assert said.startswith(f"{later:%Y-%m-%dT%H:%M:%SZ} (turned; it stands); last signed with ")
    assert "it runs" in command("clock", "run", "--url", box.url)
    assert "it stands" in command("clock", "stop", "--url", box.url)
    assert f"{later:%Y-%m-%d}" in command("clock", "show", "--url", box.url)
    box.clock.run()


# --- what ends, ends by it ---------------------------------------------------------------------------------
def test_a_token_ends(box: Sigbox, file: Path):
    token = box.token()
    box.clock.advance(minutes=9)
    sign(box, file, token=token)
    box.clock.advance(minutes=2)
    done = try_to_sign(box, file, token=token)
    assert (done.returncode, "expired" in done.stderr) == (3, True), done.stderr


def test_our_client_does_not_hand_out_what_was_signed_after_its_certificate_had_ended(box: Sigbox):
    async def sign_twice() -> None:
        trust, now = load_trust(trust_config=box.trust_config), datetime.now(UTC)
        async with AiohttpTransport() as transport:
            signing = await certify(Signing(parse_identity_token(box.token()), trust, transport), now=now)
            assert (await sign_blob(signing, bytes(32), now=now)).timestamps
            await asyncio.to_thread(box.clock.advance, minutes=11)
            with pytest.raises(ClientRefused, match="vouches for the certificate at"):
                await sign_blob(signing, bytes(31) + b"\1", now=now)

    asyncio.run(sign_twice())


def test_sigstore_python_refuses_what_was_signed_after_its_certificate_had_ended():
    with running() as fresh:  # the client's own clock is not turned, and it does not take a token of tomorrow
        config = ClientTrustConfig.from_json(fresh.trust_config.read_text())
        verifier, whom = Verifier(trusted_root=config.trusted_root), Identity(identity=EMAIL, issuer=fresh.issuer)
        with SigningContext.from_trust_config(config).signer(IdentityToken(fresh.token())) as signer:
            good = signer.sign_artifact(b"content")
            fresh.clock.advance(minutes=11)
            late = signer.sign_artifact(b"content")
    assert good.signing_certificate == late.signing_certificate
    verifier.verify_artifact(b"content", good, whom)
    with pytest.raises(VerificationError, match="not valid at validation time"):
        verifier.verify_artifact(b"content", late, whom)


def test_the_authorities_end():
    with running() as fresh:
        fresh.clock.advance(days=3660)
        found = " ".join(faults(fresh))
        assert "ca: the certificate of" in found
        assert "tsa: the certificate of" in found
        assert "the TUF root expired" in found


# --- TUF ---------------------------------------------------------------------------------------------------
def versions(box: Sigbox) -> dict[str, int]:
    assert box.data is not None
    return {role.role: role.version for role in load_roles(box.data / "public" / "tuf")}


def refreshed(box: Sigbox, folder: Path, at: datetime, monkeypatch: pytest.MonkeyPatch) -> Updater:
    """python-tuf, the client below sigstore-python, at that time of its own."""
    now = SimpleNamespace(now=lambda _zone: at)
    monkeypatch.setattr(
        trusted_metadata_set, "datetime", SimpleNamespace(datetime=now, timezone=SimpleNamespace(utc=UTC))
    )
    assert box.tuf_root is not None
    folder.mkdir()
    updater = Updater(str(folder), f"{box.tuf_mirror}/", bootstrap=box.tuf_root.read_bytes())
    updater.refresh()
    return updater


def test_tuf_metadata_is_signed_anew_before_a_clock_that_was_turned_shows_its_end(
    box: Sigbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ahead = box.clock.now() + timedelta(days=100)
    with pytest.raises(ExpiredMetadataError):
        refreshed(box, tmp_path / "before", ahead, monkeypatch)
    first = versions(box)
    box.clock.advance(days=100)
    updater = refreshed(box, tmp_path / "after", ahead, monkeypatch)
    assert updater.get_targetinfo("trusted_root.json") is not None
    after = versions(box)
    assert (after["root"], after["targets"]) == (first["root"], first["targets"])
    assert (after["snapshot"], after["timestamp"]) == (first["snapshot"] + 1, first["timestamp"] + 1)
    box.clock.advance(minutes=1)
    assert versions(box) == after, "what is good for long is left alone"


def test_a_stack_of_the_past_has_a_trust_root_that_has_expired(tmp_path: Path, file: Path):
    with running("--clock", "2020-05-01T12:00:00Z") as past:
        assert IN_2020 < past.clock.now() < IN_2020 + WITHIN
        home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        assert past.tuf_root is not None
        done = sigbox("initialize", "--mirror", past.tuf_mirror, "--root", past.tuf_root, cwd=tmp_path, **home)
        assert done.returncode == 1
        assert "timestamp.json is expired" in done.stderr
        (tmp_path / "tuf").mkdir()
        with pytest.raises(ExpiredMetadataError):
            Updater(str(tmp_path / "tuf"), f"{past.tuf_mirror}/", bootstrap=past.tuf_root.read_bytes()).refresh()
        assert faults(past) == [], "for itself it has not"
        assert IN_2020 < certificate(sign(past, file)).not_before + timedelta(seconds=1) < IN_2020 + WITHIN
        verify(past, file)


# --- keys are rotated by date --------------------------------------------------------------------------------
def test_a_rotation_has_the_date_that_the_clock_shows(box: Sigbox, file: Path, tmp_path: Path):
    before = box.clock.advance(days=30)
    old = sign(box, file)
    old_root = tmp_path / "old_root.json"
    old_root.write_bytes(box.trusted_root.read_bytes())
    verify(box, file)
    assert box.data is not None
    rotated = json.loads(sigbox("trust", "rotate", "ca", "--data", box.data, "--json").stdout)
    assert before.replace(microsecond=0) <= datetime.fromisoformat(rotated["since"]) < before + WITHIN
    (new := tmp_path / "new").write_bytes(b"content")
    box.clock.advance(seconds=10)

    def follows() -> bool:
        return certificate(sign(box, new)).issuer != certificate(old).issuer

    wait_until(follows)
    box.clock.advance(days=1)
    sign(box, new)
    for one in (file, new):
        verify(box, one)  # the trust config names both authorities, each in its time
    assert try_to_verify(box, file, "--trusted-root", old_root).returncode == 0
    refused = try_to_verify(box, new, "--trusted-root", old_root)
    assert (refused.returncode, "certificate" in refused.stderr) == (1, True)


# --- what it does not do -------------------------------------------------------------------------------------
def test_it_is_not_turned_back_over_what_was_signed(box: Sigbox, file: Path):
    sign(box, file)
    far = box.clock.advance(days=3)
    signed_at = datetime.fromisoformat(ask(box, None)[1]["clock"]["signed"])
    assert signed_at < far - timedelta(days=2)
    box.clock.set(signed_at + timedelta(hours=1))
    sign(box, file)
    with pytest.raises(Malformed, match="no time in a log goes back"):
        box.clock.set(signed_at)
    assert box.clock.now() > signed_at, "a refusal changes nothing"
    sign(box, file)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not JSON"),
        (b"[]", "expected an object"),
        (b"{}", "the clock is told nothing"),
        (b'{"set": "2031-05-01T00:00:00Z", "advance": 1}', "the clock is told set, advance"),
        (b'{"stop": true, "run": true}', "the clock is told stop, run"),
        (b'{"stop": false}', "stop is false"),
        (b'{"turn": true}', "unknown member 'turn'"),
        (b'{"set": "tomorrow"}', "expected a time like"),
        (b'{"set": "9999-01-01T00:00:00Z"}', "from 2000 to 2100"),
        (b'{"set": 7}', "expected"),
        (b'{"advance": -1}', "expected"),
        (b'{"advance": "P"}', "expected seconds, or a duration"),
        (b'{"advance": "PT"}', "expected seconds, or a duration"),
        (b'{"advance": "P1Y"}', "expected seconds, or a duration"),
        (b'{"advance": "P9999999D"}', "expected seconds, or a duration"),
        (b'{"advance": "P999999D"}', "from 2000 to 2100"),
        (b'{"advance": "P999999W"}', "there is no calendar"),
        (b'{"advance": true}', "expected"),
    ],
)
def test_an_order_that_no_clock_obeys_is_refused_and_changes_nothing(box: Sigbox, body: bytes, message: str):
    before = box.clock.now()
    status, answer = ask(box, body)
    assert (status, message in answer["message"]) == (400, True), answer
    assert box.clock.now() < before + WITHIN


@pytest.mark.parametrize(("duration", "seconds"), [("P1DT2H3M4S", 93784), ("P1W", 604800), ("90s", 90), ("PT5M", 300)])
def test_durations_are_those_of_iso_8601_and_short_ones(box: Sigbox, duration: str, seconds: int):
    before = box.clock.stop()
    status, answer = ask(box, json.dumps({"advance": duration}).encode())
    assert status == 200
    assert datetime.fromisoformat(answer["clock"]["now"]) == before + timedelta(seconds=seconds)
    box.clock.run()


def test_a_moment_without_a_zone_is_nobodys(box: Sigbox):
    with pytest.raises(Malformed, match="no time zone"):
        box.clock.set(datetime(2040, 1, 1))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "data", "--clock", "2031-05-01T00:00:00Z"), "it is given only together with --ephemeral"),
        (("--ephemeral", "--workers", "2", "--clock", "2031-05-01T00:00:00Z"), "--clock is for one process"),
        (("--ephemeral", "--clock-stopped"), "does not say at what time"),
        (("--ephemeral", "--clock", "tomorrow"), "expected a time like"),
        (("--ephemeral", "--clock", "1999-12-31T00:00:00Z"), "from 2000 to 2100"),
        (("--ephemeral", "--clock", "2099-01-01T00:00:00Z"), "the authorities of this stack are not good"),
        (("--ephemeral", "--seed", "1", "--clock", "2019-12-31T00:00:00Z"), "give a time from 2020-01-01T00:00:00Z to"),
    ],
)
def test_a_start_at_a_time_that_cannot_be_is_refused(tmp_path: Path, options: tuple[str, ...], message: str):
    done = sigbox("up", "--listen", "127.0.0.1:0", *options, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.iterdir()) == []


# --- with a seed, twice the same ---------------------------------------------------------------------------------
def published(box: Sigbox) -> dict[str, bytes]:
    """Whatever anybody may fetch of a stack that has done nothing yet, and a token."""
    assert box.data is not None
    tuf = box.data / "public" / "tuf"
    found = {str(path.relative_to(tuf)): path.read_bytes() for path in tuf.rglob("*") if path.is_file()}
    for name in (
        "trusted_root.json",
        "trust_config.json",
        "auth/keys",
        "auth/.well-known/openid-configuration",
        "api/v1/timestamp/certchain",
        "api/v2/trustBundle",
        "api/v1/log/publicKey",
    ):
        with urllib.request.urlopen(f"{box.url}/{name}", timeout=60) as answer:
            found[name] = answer.read()
    return {**found, "token": box.token().encode()}


def test_a_seed_and_a_stopped_clock_make_the_same_stack_twice(box: Sigbox, file: Path):
    where = ("--listen", f"127.0.0.1:{free_port()}", "--clock", "2031-05-01T00:00:00Z", "--clock-stopped")
    with running(*where, seed=7) as once:
        first, signed_once = published(once), sign(once, file)
    with running(*where, seed=7) as again:
        second, signed_again = published(again), sign(again, file)
    assert set(first) == set(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert {"trusted_root.json", "auth/keys", "1.root.json", "timestamp.json"} < set(first)
    assert first["auth/keys"] != published(box)["auth/keys"]
    one, other = certificate(signed_once), certificate(signed_again)
    assert (one.not_before, one.not_after, one.subject, one.issuer) == (
        other.not_before,
        other.not_after,
        other.subject,
        other.issuer,
    )
    assert one.serial != other.serial, "that is for the users' keys, which are no part of the seed"
