# SPDX-License-Identifier: Apache-2.0
"""From a request to the generation that a corporate CA has issued: what changes and what does not, wherever it is cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as other_reader

from sigcore import keys, trustroot
from sigcore.errors import NotFound, Refused
from sigcore.x509 import parse_certificates_pem
from stack import bootstrap
from stack.cli import main
from stack.config import Home, load_settings
from stack.doctor.contents import problems
from stack.doctor.finding import Warned
from stack.doctor.here import Here, certificates
from stack.generations import load_generations
from stack.pkcs11.module import module_at
from stack.succession import is_published
from stack.trust import publish, rotation
from stack.trust.corporate import certificates_in
from stack.trust.rehearsal import rehearse
from stack.trust.requested import accept, consider, request
from tests.corporate_pki import ISSUING, SIGNER, Pki
from tests.cutting import cut_at
from tests.soft_token import soft_token
from tests.until import wait_until
from tsa.authority import TimestampAuthority

EXTENSIONS = {"ca": ISSUING, "tsa": SIGNER}


@dataclass(frozen=True, slots=True)
class Made:
    """A stack and a PKI that were made once."""

    data: Path
    pki: Pki


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    assert main(["init", "--data", str(folder / "data"), "--yes", "--organization", "ACME"]) == 0
    pki = Pki(folder)
    pki.root("root", "P-384")
    pki.below("policy", "root", "P-384")
    return Made(folder / "data", pki)


@pytest.fixture
def home(made: Made, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.data, tmp_path / "data"))


@pytest.fixture
def pki(made: Made, tmp_path: Path) -> Pki:
    for path in made.pki.folder.glob("*.*"):
        shutil.copy(path, tmp_path)
    return Pki(tmp_path)


def run(home: Home, *arguments: object) -> int:
    return main(["trust", *map(str, arguments), "--data", str(home.path)])


def issued(home: Home, pki: Pki, role: str = "ca", *above: str, days: int = 1825) -> Path:
    """What the PKI gives back for a request of ``role``."""
    above = above or ("policy", "root")
    out = pki.folder / f"{role}.csr"
    assert run(home, "request", role, "-o", out) == 0
    pki.issue(out, "issued", above[0], extensions=EXTENSIONS[role], days=days)
    return pki.chain("issued", *above)


def wait_for_start(home: Home, role: str = "ca") -> None:
    """A generation is not followed by another before its own window has begun, which is within a second."""
    wait_until(lambda: datetime.now(UTC) > load_generations(home)[role][-1].validity.start)


def files(home: Home) -> dict[str, bytes]:
    """All but the record of actions."""
    found = (
        path for path in home.path.rglob("*") if path.is_file() and "audit" not in str(path.relative_to(home.path))
    )
    return {str(path.relative_to(home.path)): path.read_bytes() for path in found}


def newest(home: Home, role: str) -> tuple[bytes, ...]:
    root = trustroot.parse_trusted_root(home.trusted_root.read_bytes())
    return (root.certificate_authorities if role == "ca" else root.timestamp_authorities)[0].chain


def loaded(home: Home, role: str) -> bootstrap.Chained:
    return (bootstrap.load_ca if role == "ca" else bootstrap.load_tsa)(home)


# --- the way -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["ca", "tsa"])
def test_a_request_makes_a_key_and_changes_nothing_else(home: Home, pki: Pki, role: str):
    before, out = files(home), pki.folder / "it.csr"
    assert run(home, "request", role, "-o", out) == 0
    first, key = out.read_bytes(), "intermediate" if role == "ca" else "leaf"
    assert set(files(home)) - set(before) == {f"{role}/requested/2/{key}.key"}
    assert files(home).items() >= before.items()
    assert run(home, "request", role, "-o", out, "--subject", "CN=Another") == 0
    one, two = (other_reader.load_pem_x509_csr(data) for data in (first, out.read_bytes()))
    assert one.public_key() == two.public_key(), "the key that waits"
    about = "certificate" if role == "ca" else "timestamp"
    assert one.subject.rfc4514_string() == f"CN=ACME {about} authority 2,O=ACME"
    assert two.subject.rfc4514_string() == "CN=Another"


@pytest.mark.parametrize("role", ["ca", "tsa"])
def test_what_came_back_is_the_next_generation_and_the_one_before_stays(home: Home, pki: Pki, role: str, capsys):
    before, chain = newest(home, role), issued(home, pki, role)
    untouched, record = files(home), (home.path / "anchor" / "audit.checkpoint").read_bytes()
    assert run(home, "accept", role, chain, "--dry-run") == 0
    assert files(home) == untouched
    assert (home.path / "anchor" / "audit.checkpoint").read_bytes() == record, "nothing was done"
    assert run(home, "accept", role, chain) == 0
    given = tuple(one.der for one in parse_certificates_pem(chain.read_bytes()))
    assert newest(home, role) == given
    assert [row.public for row in load_generations(home)[role]] == [before, given]
    key, found = loaded(home, role)
    assert keys.encode_public_key(key.public_key()) == found[0].spki
    assert is_published(home)
    assert not (home.path / role / "requested").exists()
    assert list(problems(home)) == []
    capsys.readouterr()
    assert run(home, "accept", role, chain, "--json") == 0, "it is done, and says so"
    assert json.loads(capsys.readouterr().out)["generation"] == 2


def test_files_of_tuf_hold_all_of_a_longer_chain(home: Home, pki: Pki):
    before = newest(home, "ca")
    chain = issued(home, pki)
    assert run(home, "accept", "ca", chain) == 0
    targets = publish.load_targets(home, load_settings(home))

    def held(name: str) -> tuple[bytes, ...]:
        return tuple(one.der for one in parse_certificates_pem(targets[name].data))

    assert held("fulcio_intermediate_v1.crt.pem") + held("fulcio_v1.crt.pem") == newest(home, "ca")
    assert held("fulcio_intermediate_v1_1.crt.pem") + held("fulcio_v1_1.crt.pem") == before
    pki.root("straight")
    assert run(home, "accept", "ca", issued(home, pki, "ca", "straight")) == 0
    targets = publish.load_targets(home, load_settings(home))
    assert len(held("fulcio_intermediate_v1_2.crt.pem")) == 2


def test_a_signer_of_timestamps_straight_below_the_root_has_no_file_of_intermediates(home: Home, pki: Pki):
    chain = issued(home, pki, "tsa", "root")
    assert "tsa_intermediate_0.crt.pem" in publish.load_targets(home, load_settings(home))
    assert run(home, "accept", "tsa", chain) == 0
    assert "tsa_intermediate_0.crt.pem" not in publish.load_targets(home, load_settings(home))
    key, found = loaded(home, "tsa")
    assert len(found) == 2
    TimestampAuthority.of(key, found, now=datetime.now(UTC) + timedelta(seconds=1))  # it has proved itself


def test_a_stack_with_a_passphrase_encrypts_the_key_from_the_request_on(tmp_path: Path, pki: Pki):
    secret, home = tmp_path / "secret", Home(tmp_path / "locked")
    secret.write_text("correct horse\n")
    unlocking = ("--passphrase-file", str(secret))
    assert main(["init", "--data", str(home.path), "--yes", *unlocking]) == 0
    assert run(home, "request", "ca", "-o", pki.folder / "ca.csr", *unlocking) == 0
    (waiting,) = (home.path / "ca" / "requested").rglob("*.key")
    assert waiting.read_bytes().startswith(bootstrap.ENCRYPTED)
    pki.issue(pki.folder / "ca.csr", "issued", "policy")
    assert run(home, "accept", "ca", pki.chain("issued", "policy", "root"), *unlocking) == 0
    assert (home.path / "ca" / "2" / "intermediate.key").read_bytes().startswith(bootstrap.ENCRYPTED)


def test_a_key_that_was_requested_in_a_token_stays_there(tmp_path: Path, pki: Pki):
    with soft_token(tmp_path / "hsm") as token:
        home = Home(tmp_path / "in-token")
        assert main(["init", "--data", str(home.path), "--yes", *token.options("ca")]) == 0
        assert run(home, "accept", "ca", issued(home, pki)) == 0
        found, (key, chain) = sorted((home.path / "ca").rglob("intermediate.*")), loaded(home, "ca")
        assert {path.suffix for path in found} == {".pub", ".pem"}
        assert keys.encode_public_key(key.public_key()) == chain[0].spki
        key.prove()  # type: ignore[attr-defined]  # it is in a token
        module_at(token.module).close()


@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_an_authority_that_has_its_key_already_is_taken_over(home: Home, pki: Pki, curve: str):
    """As Fulcio's file CA: key and chain."""
    pki.below("fulcio", "policy", curve, extensions=ISSUING, days=3000)
    pki.openssl("pkcs8", "-topk8", "-v2", "aes256", "-in", "fulcio.key", "-passout", "pass:horse", "-out", "locked.key")
    secret, key = pki.folder / "secret", pki.folder / "locked.key"
    secret.write_text("horse\n")
    for path in (secret, key):
        path.chmod(0o600)
    own = ("--key", key, "--key-passphrase-file", secret)
    assert run(home, "accept", "ca", pki.chain("fulcio", "policy", "root"), *own) == 0
    assert loaded(home, "ca")[1][0] == pki.certificate("fulcio")
    assert list(problems(home)) == []


def test_a_key_that_an_authority_here_cannot_use_is_refused(home: Home, pki: Pki, capsys):
    pki.below("fulcio", "policy", "2048", extensions=ISSUING)
    assert run(home, "accept", "ca", pki.chain("fulcio", "policy", "root"), "--key", pki.folder / "fulcio.key") != 0
    assert "no ECDSA key on P-256 or P-384" in capsys.readouterr().err
    assert not load_generations(home)


def test_a_stack_is_made_with_an_authority_that_is_there_already(tmp_path: Path, pki: Pki, capsys):
    pki.below("fulcio", "policy", "P-384", extensions=ISSUING, days=3000)
    home, chain, key = Home(tmp_path / "imported"), pki.chain("fulcio", "policy", "root"), pki.folder / "fulcio.key"
    making = ["init", "--data", str(home.path), "--yes", "--ca-chain", str(chain), "--ca-key", str(key)]
    assert main(making[:-2]) == 2, "one half of it"
    assert main([*making, "--role", "ca", "--url", "http://localhost:1"]) == 2
    assert not home.settings_file.exists()
    for _ in range(2):
        assert main(making) == 0
        (authority,) = trustroot.parse_trusted_root(home.trusted_root.read_bytes()).certificate_authorities
        assert authority.chain == tuple(one.der for one in parse_certificates_pem(chain.read_bytes()))
        assert loaded(home, "ca")[1][0] == pki.certificate("fulcio")
        assert list(problems(home)) == []
    assert main(["trust", "refresh", "--data", str(home.path)]) == 0, "its documents are written from public files"
    assert run(home, "rotate", "ca") == 3
    assert run(home, "accept", "ca", issued(home, pki, "ca", "root")) == 0
    assert len(load_generations(home)["ca"]) == 2
    capsys.readouterr()
    assert main(making) == 3
    assert "holds a stack already (sigbox trust accept ca" in said(capsys)


# --- what is refused ---------------------------------------------------------------------------------
def test_a_corporate_chain_is_not_followed_by_one_of_our_own_unless_told(home: Home, pki: Pki, capsys):
    assert run(home, "accept", "ca", issued(home, pki)) == 0
    for role in ("ca", "all"):
        assert run(home, "rotate", role) == 3
        assert "issued by a corporate CA (sigbox trust request ca" in said(capsys)
    assert [len(rows) for rows in load_generations(home).values()] == [2], "nothing of `all` was begun"
    assert {end.prevent for end in rehearse(home) if "ACME policy" in end.what} == {"sigbox trust request ca"}
    wait_for_start(home)
    assert run(home, "rotate", "ca", "--self-signed") == 0
    assert len(load_generations(home)["ca"]) == 3
    wait_for_start(home)
    assert run(home, "rotate", "ca") == 0, "from then on as before"


def test_the_end_of_a_corporate_chain_is_told_with_the_request_that_prevents_it(home: Home, pki: Pki, capsys):
    assert run(home, "accept", "tsa", issued(home, pki, "tsa", days=100)) == 0
    assert "good for 99 days only" in capsys.readouterr().err
    with pytest.raises(Warned) as caught:
        certificates(Here(home, datetime.now(UTC)))
    assert "'ACME timestamp authority 2' ends" in caught.value.message
    assert "sigbox trust rotate ca, sigbox trust request tsa" in caught.value.hint


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The error and its hint, in one line."""
    return capsys.readouterr().err.replace("\n  hint: ", " (")


def test_nothing_is_rotated_while_a_request_waits_unless_it_is_forgotten(home: Home, pki: Pki, capsys):
    chain = issued(home, pki)
    assert run(home, "rotate", "ca") == 3
    assert "a request of ca waits for its certificate (sigbox trust accept ca" in said(capsys)
    assert run(home, "rotate", "tsa") == 0, "of another role"
    assert run(home, "rotate", "ca", "--self-signed") == 0
    assert run(home, "accept", "ca", chain) != 0
    assert "has no request of ca that waits" in said(capsys)
    assert len(load_generations(home)["ca"]) == 2


def test_what_is_refused_loses_nothing(home: Home, pki: Pki):
    chain = issued(home, pki)
    before = files(home)
    for wrong in (pki.chain("issued", "policy"), pki.chain("policy", "root"), pki.folder / "ca.csr", pki.folder / "no"):
        assert run(home, "accept", "ca", wrong) != 0
        assert files(home) == before
    assert run(home, "accept", "tsa", chain) != 0, "it was asked for the other role"
    assert run(home, "accept", "ca", chain) == 0


def test_the_same_key_under_another_certificate_is_no_generation(home: Home, pki: Pki, capsys):
    assert run(home, "accept", "ca", issued(home, pki)) == 0
    pki.issue(pki.folder / "ca.csr", "renewed", "policy")
    assert run(home, "accept", "ca", pki.chain("renewed", "policy", "root")) == 3
    assert "signs already, under others" in said(capsys)


def test_an_ephemeral_stack_asks_no_corporate_authority(tmp_path: Path):
    home, now = Home(tmp_path / "data"), datetime.now(UTC)
    settings = bootstrap.prepare(home, url=None, default_url="http://localhost:1", ephemeral=True, now=now)
    with pytest.raises(Refused, match="no PKI should vouch for"):
        request(home, settings, "ca")


# --- cut off -----------------------------------------------------------------------------------------
def cuts(home: Home, monkeypatch: pytest.MonkeyPatch, work: Callable[[Home], None]) -> Iterator[Home]:
    """Copies of ``home`` in which ``work`` was cut off at its first call that changes the disk, at a later one, and so on."""
    for number in range(0, 400, 6):
        copy = Home(shutil.copytree(home.path, home.path.with_name(f"cut-{number}")))
        with cut_at(monkeypatch, number) as done:
            work(copy)
        yield copy
        if len(done) < number:
            return
        shutil.rmtree(copy.path)
    raise AssertionError("it did not come to its end")


def test_a_request_that_is_cut_off_leaves_its_key_or_nothing(home: Home, monkeypatch):
    outcomes = []
    for copy in cuts(home, monkeypatch, lambda home: void(request(home, load_settings(home), "ca"))):
        waiting = (copy.path / "ca" / "requested").exists()
        outcomes.append(waiting)
        kept = [path.read_bytes() for path in (copy.path / "ca" / "requested").rglob("*.key")]
        request(copy, load_settings(copy), "ca")
        after = [path.read_bytes() for path in (copy.path / "ca" / "requested").rglob("*.key")]
        assert len(after) == 1
        assert after == kept or not waiting
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def void(_: object) -> None:
    """What is done for what it does."""


def test_an_acceptance_that_is_cut_off_loses_neither_the_request_nor_the_chain(home: Home, pki: Pki, monkeypatch):
    given = certificates_in(issued(home, pki).read_bytes(), what="it")
    now, outcomes = datetime.now(UTC), []

    def work(home: Home) -> None:
        void(accept(home, load_settings(home), consider(home, "ca", given, now), now))

    for copy in cuts(home, monkeypatch, work):
        outcomes.append("ca" in load_generations(copy))
        if not outcomes[-1]:
            assert (copy.path / "ca" / "requested").exists()
            assert loaded(copy, "ca")[1] == loaded(home, "ca")[1], "the key before signs"
        work(copy)  # the same command again
        publish.publish(copy, now)
        assert newest(copy, "ca") == tuple(one.der for one in given)
        assert len(load_generations(copy)["ca"]) == 2
        assert loaded(copy, "ca")[1] == given
        assert not (copy.path / "ca" / "requested").exists()
        assert is_published(copy)
    assert outcomes == sorted(outcomes), "there is one moment at which it happens"
    assert set(outcomes) == {False, True}


def test_an_acceptance_after_an_interrupted_rotation_says_to_run_it_again(home: Home, pki: Pki):
    given = certificates_in(issued(home, pki).read_bytes(), what="it")
    now = datetime.now(UTC)
    found = consider(home, "ca", given, now)
    rotation.rotate_authority(home, load_settings(home), "ca", now)  # by another process; not published
    with pytest.raises(Refused, match="run it again"):
        accept(home, load_settings(home), found, now)
    assert (home.path / "ca" / "requested").exists()


def test_without_a_request_there_is_nothing_to_accept(home: Home, pki: Pki):
    pki.issue(pki.request("other"), "issued", "policy")
    given = certificates_in(pki.chain("issued", "policy", "root").read_bytes(), what="it")
    with pytest.raises(NotFound, match="has no request of ca"):
        consider(home, "ca", given, datetime.now(UTC))
