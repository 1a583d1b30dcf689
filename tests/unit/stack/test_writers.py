# SPDX-License-Identifier: Apache-2.0
"""Who may write into the signature logs: the rules as they stand in the settings file, and what they let in."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigcore import certify, keys, x509
from sigcore.algorithms import KeyDetails
from sigcore.entries import HashedRekord, Verifier
from sigcore.errors import Malformed, NotFound, SigError
from stack.bootstrap import load_ca, load_tsa
from stack.cli import main
from stack.config import Home, load_settings
from stack.generations import load_generations
from stack.trust.rotation import OVERLAP, rotate_authority
from stack.writer_rules import WriterRules
from stack.writers import OwnWriters
from tlog.rekor_v2 import Front
from tlog.submission import Submission
from tlog.writers import Unwelcome

LIFE = timedelta(minutes=10)


def write(home: Home, text: str) -> None:
    with home.settings_file.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


def issue(home: Home, since: datetime) -> bytes:
    """By the key of the newest authority."""
    key, chain = load_ca(home)
    spki = keys.encode_public_key(keys.generate_p256().public_key())
    subject = certify.Subject("leaf", "leaf", since, since + LIFE, certify.random_serial())
    return certify.make_leaf(chain[0], key, spki, subject, eku=x509.EKU_CODE_SIGNING)


# --- certificates ------------------------------------------------------------------------------------------
def test_certificates_of_each_authority_of_the_stack_in_its_window_and_of_no_other(home: Home, tmp_path: Path):
    its = load_settings(home)
    writers = OwnWriters(home, its, WriterRules("own", ()))
    born, turned = its.created, its.created + timedelta(days=30)
    writers.check_certificate(issue(home, born))
    writers.check_certificate(issue(home, born + timedelta(days=20)))  # whatever the time is now

    late, too_late = (issue(home, turned + OVERLAP + moment) for moment in (-LIFE, LIFE))
    rotate_authority(home, its, "ca", turned)
    assert len(load_generations(home)["ca"]) == 2
    for one in (writers, OwnWriters(home, its, WriterRules("own", ()))):  # running, and after a start
        one.check_certificate(issue(home, turned))
        one.check_certificate(late)
        one.check_certificate(too_late)  # nobody has been told yet that the old authority ends
    assert main(["trust", "refresh", "--data", str(home.path)]) == 0
    for one in (writers, OwnWriters(home, its, WriterRules("own", ()))):
        one.check_certificate(late)
        with pytest.raises(Unwelcome, match="no trusted certificate authority vouches"):
            one.check_certificate(too_late)

    assert main(["init", "--data", str(tmp_path / "other"), "--yes"]) == 0
    with pytest.raises(Unwelcome, match="of its own stack's authority alone"):
        writers.check_certificate(issue(Home(tmp_path / "other"), turned))


def test_certificates_of_authorities_and_of_the_timestamp_authority_are_refused(home: Home):
    writers = OwnWriters(home, load_settings(home), WriterRules("own", None))
    for certificate in (*load_ca(home)[1], *load_tsa(home)[1]):
        with pytest.raises(Unwelcome):
            writers.check_certificate(certificate.der)


@pytest.mark.parametrize("data", [b"", b"0", bytes(100), b"\x30\x03\x02\x01\x00"])
def test_what_is_no_certificate_is_refused_as_any_other(home: Home, data: bytes):
    with pytest.raises(Unwelcome):
        OwnWriters(home, load_settings(home), WriterRules("own", None)).check_certificate(data)


@pytest.fixture(scope="module")
def front(template: Path) -> tuple[Front, bytes, keys.PrivateKey]:
    """A log that takes own certificates alone, one of them, and its key."""
    home, key = Home(template), keys.generate_p256()
    signer, chain = load_ca(home)
    born = load_settings(home).created
    subject = certify.Subject("leaf", "leaf", born, born + LIFE, certify.random_serial())
    spki = keys.encode_public_key(key.public_key())
    own = certify.make_leaf(chain[0], signer, spki, subject, eku=x509.EKU_CODE_SIGNING)
    return Front(Taken(), bytes(32), writers=OwnWriters(home, load_settings(home), WriterRules("own", ()))), own, key


class Taken:
    """A log that says what has come through to it."""

    waiting = 0

    async def submit(self, submission: Submission) -> NoReturn:
        raise Reached(submission.leaf)


class Reached(Exception):
    """An entry is in the log."""


async def test_control_an_entry_with_an_own_certificate_reaches_the_log(front):
    log, own, key = front
    with pytest.raises(Reached):
        await log.add(signed_with(own, key))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_certificate_with_a_changed_byte_is_refused_and_nothing_else_happens(front, data):
    """Where the key is still that of the signature, the issuer's signature is not that of the certificate."""
    log, own, key = front
    at, value = data.draw(st.integers(0, len(own) - 1)), data.draw(st.integers(1, 255))
    changed = bytearray(own)
    changed[at] ^= value
    with pytest.raises(SigError):
        asyncio.run(log.add(signed_with(bytes(changed), key)))


def signed_with(certificate: bytes, key: keys.PrivateKey) -> HashedRekord:
    verifier = Verifier(KeyDetails.PKIX_ECDSA_P256_SHA_256, certificate=certificate)
    return HashedRekord(bytes(32), keys.sign_digest(key, bytes(32)), verifier)


def test_a_file_of_generations_that_is_damaged_leaves_the_authorities_before_it(home: Home):
    its = load_settings(home)
    writers = OwnWriters(home, its, WriterRules("own", ()))
    (home.public / "generations.json").write_text("{")
    writers.check_certificate(own := made(home, its.created))
    (home.public / "generations.json").unlink()
    writers.check_certificate(own)


def made(home: Home, since: datetime) -> bytes:
    """As :func:`issue`, while ``public/generations.json`` is damaged."""
    path = home.public / "generations.json"
    damage = path.read_bytes()
    path.unlink()
    try:
        return issue(home, since)
    finally:
        path.write_bytes(damage)


# --- keys --------------------------------------------------------------------------------------------------
def test_keys_are_named_by_file_or_by_fingerprint(home: Home):
    first, second, other = (keys.generate_p256().public_key() for _ in range(3))
    (home.path / "first.pub").write_text(keys.encode_public_key_pem(first))
    ders = [keys.encode_public_key(key) for key in (first, second, other)]
    write(
        home,
        f'[log.writers]\ncertificates = "any"\nkeys = ["first.pub", "sha256:{hashlib.sha256(ders[1]).hexdigest()}"]',
    )
    its = load_settings(home)
    assert its.writers is not None
    writers = OwnWriters(home, its, its.writers)
    for der in ders[:2]:
        writers.check_key(der)
    with pytest.raises(Unwelcome, match=f"sha256:{hashlib.sha256(ders[2]).hexdigest()} is not among"):
        writers.check_key(ders[2])
    writers.check_certificate(b"whatever it is")


def test_no_keys_and_any_keys(home: Home):
    der = keys.encode_public_key(keys.generate_p256().public_key())
    OwnWriters(home, load_settings(home), WriterRules("own", None)).check_key(der)
    with pytest.raises(Unwelcome, match="no signatures of keys without a certificate"):
        OwnWriters(home, load_settings(home), WriterRules("any", ())).check_key(der)


def test_a_named_file_must_hold_a_public_key(home: Home):
    rules = WriterRules("any", ("release.pub",))
    with pytest.raises(NotFound, match=r"release\.pub"):
        OwnWriters(home, load_settings(home), rules)
    for content in (b"", b"\xff\xfe", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        (home.path / "release.pub").write_bytes(content)
        with pytest.raises(Malformed, match=r"release\.pub"):
            OwnWriters(home, load_settings(home), rules)


# --- the settings file -------------------------------------------------------------------------------------
def test_where_nothing_is_said_anybody_may_write_and_the_certificate_log_is_the_stacks_own(home: Home):
    its = load_settings(home)
    assert (its.writers, its.ct_issuers) == (None, "own")
    write(home, '[log.writers]\ncertificates = "own"\nkeys = "none"\n[ct]\nissuers = "any"')
    its = load_settings(home)
    assert (its.writers, its.ct_issuers) == (WriterRules("own", ()), "any")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[log]\nwriters = true", "expected the members"),
        ('[log.writers]\ncertificates = "own"', "expected the members certificates and keys"),
        ('[log.writers]\nkeys = "none"', "expected the members"),
        ('[log.writers]\ncertificates = "own"\nkeys = "any"\nkey = "any"', "expected the members"),
        ('[log.writers]\ncertificates = "mine"\nkeys = "any"', "expected any or own"),
        ('[log.writers]\ncertificates = []\nkeys = "any"', "expected any or own"),
        ('[log.writers]\ncertificates = "own"\nkeys = []', "expected any, none or a list"),
        ('[log.writers]\ncertificates = "own"\nkeys = "release.pub"', "expected any, none or a list"),
        ('[log.writers]\ncertificates = "own"\nkeys = [7]', "expected a file or a fingerprint"),
        ('[log.writers]\ncertificates = "own"\nkeys = ["sha256:AB"]', "which is no fingerprint"),
        ('[ct]\nissuers = "all"', "expected own or any"),
        ("[ct]\nissuers = []", "expected own or any"),
    ],
)
def test_what_nobody_can_mean_is_refused(home: Home, text: str, said: str):
    write(home, text)
    with pytest.raises(Malformed, match=said):
        load_settings(home)
