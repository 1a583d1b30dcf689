# SPDX-License-Identifier: Apache-2.0
"""Ed25519ph: RFC 8032's own vector, Wycheproof's judgements on the same arithmetic, another implementation, and a signer of ours."""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcore import entries, keys
from sigcore.ed25519ph import ORDER, P, verify
from sigcore.entries import HashedRekord
from sigcore.errors import Refused
from tests.unit.sigcore.ed25519ph_signer import sign_digest

SECRET = bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
SIGNATURE = bytes.fromhex(
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
)
PUBLIC = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw()
DIGEST = hashlib.sha512(b"abc").digest()


def test_the_vector_of_rfc_8032_section_7_3():
    assert PUBLIC.hex() == "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf"
    assert sign_digest(SECRET, DIGEST) == SIGNATURE
    verify(PUBLIC, SIGNATURE, DIGEST, what="the signature")


def test_plain_ed25519_has_the_judgements_of_wycheproof(vectors):
    groups = json.loads((vectors / "wycheproof/ed25519_test.json").read_bytes())["testGroups"]
    count = 0
    for group in groups:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            arguments = public, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
            if case["result"] == "valid":
                verify(*arguments, what="the signature", domain=b"")
            else:
                with pytest.raises(Refused):
                    verify(*arguments, what="the signature", domain=b"")
            count += 1
    assert count > 100


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 64 * 8 - 1))
def test_plain_ed25519_as_another_implementation_has_it(secret, message, bit):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    public, signature = key.public_key(), key.sign(message)
    verify(public.public_bytes_raw(), signature, message, what="the signature", domain=b"")
    wrong = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    with pytest.raises(InvalidSignature):
        public.verify(wrong, message)
    with pytest.raises(Refused, match="the signature does not verify"):
        verify(public.public_bytes_raw(), wrong, message, what="the signature", domain=b"")


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_what_is_signed_verifies_and_is_no_plain_ed25519(secret, message):
    digest = hashlib.sha512(message).digest()
    public = ed25519.Ed25519PrivateKey.from_private_bytes(secret).public_key()
    signature = sign_digest(secret, digest)
    verify(public.public_bytes_raw(), signature, digest, what="the signature")
    with pytest.raises(Refused):
        verify(public.public_bytes_raw(), signature, digest, what="the signature", domain=b"")
    with pytest.raises(InvalidSignature):
        public.verify(signature, digest)


def shifted(signature: bytes, by: int) -> bytes:
    return signature[:32] + (int.from_bytes(signature[32:], "little") + by).to_bytes(32, "little")


@pytest.mark.parametrize(
    ("public", "signature", "digest"),
    [
        (PUBLIC, shifted(SIGNATURE, ORDER), DIGEST),
        (PUBLIC, SIGNATURE[:-1], DIGEST),
        (PUBLIC, SIGNATURE + b"\0", DIGEST),
        (PUBLIC, b"", DIGEST),
        (PUBLIC, SIGNATURE, DIGEST[:-1]),
        (PUBLIC, SIGNATURE, hashlib.sha512(b"abd").digest()),
        (PUBLIC[:-1], SIGNATURE, DIGEST),
        (bytes(32), SIGNATURE, DIGEST),
        ((P + 1).to_bytes(32, "little"), SIGNATURE, DIGEST),
        ((1 | 1 << 255).to_bytes(32, "little"), SIGNATURE, DIGEST),
        ((2).to_bytes(32, "little"), SIGNATURE, DIGEST),
    ],
    ids=range(11),
)
def test_what_is_no_signature_is_refused(public, signature, digest):
    with pytest.raises(Refused, match="the signature does not verify"):
        verify(public, signature, digest, what="the signature")


def test_an_entry_by_an_ed25519_key():
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
    verifier = entries.key_verifier(keys.encode_public_key(key.public_key()))
    assert verifier.details.name == "PKIX_ED25519_PH"
    entries.verify_entry(HashedRekord(DIGEST, SIGNATURE, verifier))
    for digest, message in (
        (hashlib.sha512(b"x").digest(), "does not verify"),
        (DIGEST[:32], "the digest has 32 bytes"),
    ):
        with pytest.raises(Refused, match=message):
            entries.verify_entry(HashedRekord(digest, SIGNATURE, verifier))
    with pytest.raises(Refused, match="does not verify"):
        entries.verify_entry(HashedRekord(DIGEST, key.sign(b"abc"), verifier))
