# SPDX-License-Identifier: Apache-2.0
"""AlgorithmIdentifier <-> signing and verifying."""

from __future__ import annotations

import functools

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import der, signatures
from sigcore.errors import Refused

ECDSA = (signatures.ECDSA_WITH_SHA256, signatures.ECDSA_WITH_SHA384, signatures.ECDSA_WITH_SHA512)
RSA = (signatures.RSA_WITH_SHA256, signatures.RSA_WITH_SHA384, signatures.RSA_WITH_SHA512)


@functools.cache
def private_key(kind: str):
    makers = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "weak": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - the weak key is the point
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    }
    return makers[kind]()


PAIRS = [
    *((kind, algorithm) for kind in ("p256", "p384", "p521") for algorithm in ECDSA),
    *(("rsa", algorithm) for algorithm in RSA),
    ("ed25519", signatures.ED25519),
]


@pytest.mark.parametrize(("kind", "algorithm"), PAIRS)
def test_each_algorithm_signs_and_verifies_and_notices_a_change(kind, algorithm):
    key = private_key(kind)
    signature = signatures.sign(algorithm, key, b"message")
    signatures.verify(algorithm, key.public_key(), signature, b"message", what="it")
    with pytest.raises(Refused, match="it does not verify"):
        signatures.verify(algorithm, key.public_key(), signature, b"massage", what="it")
    with pytest.raises(Refused, match="it does not verify"):
        signatures.verify(algorithm, key.public_key(), b"", b"message", what="it")


@pytest.mark.parametrize(("kind", "algorithm"), [("p256", ECDSA[0]), ("p384", ECDSA[1]), ("rsa", RSA[0])])
def test_another_hash_than_was_signed_with_is_refused(kind, algorithm):
    key = private_key(kind)
    signature = signatures.sign(algorithm, key, b"message")
    for other in (ECDSA if kind != "rsa" else RSA)[1:]:
        if other != algorithm:
            with pytest.raises(Refused, match="does not verify"):
                signatures.verify(other, key.public_key(), signature, b"message", what="it")


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("p256", RSA[0]), ("rsa", ECDSA[0]), ("ed25519", ECDSA[0]), ("p256", signatures.ED25519)]
)
def test_an_algorithm_that_does_not_fit_the_key(kind, algorithm):
    key = private_key(kind)
    with pytest.raises(Refused, match="does not fit the signer's key"):
        signatures.sign(algorithm, key, b"message")
    with pytest.raises(Refused, match="does not fit the signer's key"):
        signatures.verify(algorithm, key.public_key(), b"", b"message", what="it")


UNKNOWN = {
    "ecdsa-with-SHA1": der.sequence(der.oid("1.2.840.10045.4.1")),
    "sha1WithRSA": der.sequence(der.oid("1.2.840.113549.1.1.5"), der.null()),
    "ecdsa-with-SHA256 with parameters": der.sequence(der.oid("1.2.840.10045.4.3.2"), der.null()),
    "rsa without parameters": der.sequence(der.oid("1.2.840.113549.1.1.11")),
    "rsa-pss": der.sequence(der.oid("1.2.840.113549.1.1.10"), der.sequence()),
    "nothing": b"",
}


@pytest.mark.parametrize("algorithm", UNKNOWN.values(), ids=list(UNKNOWN))
def test_algorithms_outside_the_table(algorithm):
    with pytest.raises(Refused, match="an algorithm that is not supported"):
        signatures.verify(algorithm, private_key("p256").public_key(), b"", b"message", what="it")


@pytest.mark.parametrize(("kind", "algorithm"), [("weak", RSA[0]), ("k1", ECDSA[0])])
def test_weak_keys_sign_nothing_that_counts(kind, algorithm):
    key = private_key(kind)
    signature = signatures.sign(algorithm, key, b"message")
    with pytest.raises(Refused, match="the key of it is"):
        signatures.verify(algorithm, key.public_key(), signature, b"message", what="it")
    with pytest.raises(Refused, match="the signing key is"):
        signatures.algorithm_for(key)


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("p256", ECDSA[0]), ("p384", ECDSA[1]), ("p521", ECDSA[2]), ("rsa", RSA[0]), ("ed25519", signatures.ED25519)],
)
def test_the_algorithm_of_a_key(kind, algorithm):
    assert signatures.algorithm_for(private_key(kind)) == algorithm
    assert signatures.algorithm_for(private_key(kind).public_key()) == algorithm
