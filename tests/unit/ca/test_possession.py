# SPDX-License-Identifier: Apache-2.0
"""A01 (no proof, no certificate) and A07 (weak and hostile keys)."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from ca.possession import SignedSubject, parse_public_key_text, verify_possession
from sigcore import der, keys
from sigcore.errors import Malformed, Refused, SigError

NAME = "alice@example.com"
P256 = keys.generate_p256()
RSA = rsa.generate_private_key(65537, 2048)


def proof(key=P256, text=NAME):
    return SignedSubject(key.public_key(), keys.sign(key, text.encode()))


@pytest.mark.parametrize(
    "key",
    [
        P256,
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        RSA,
    ],
)
def test_the_signature_over_the_name_proves_possession(key):
    assert verify_possession(proof(key), NAME) == key.public_key()


@pytest.mark.parametrize(
    ("signature", "error"),
    [
        (b"", Malformed),
        (b"\x00" * 1025, Malformed),
        (b"\x00", Refused),
        (keys.sign(P256, b"bob@example.com"), Refused),
        (keys.sign(P256, b""), Refused),
        (keys.sign(P256, b"ALICE@EXAMPLE.COM"), Refused),
        (keys.sign(P256, b"alice@example.com\n"), Refused),
        (keys.sign(keys.generate_p256(), NAME.encode()), Refused),
        (P256.sign(NAME.encode(), ec.ECDSA(hashes.SHA1())), Refused),  # noqa: S303 - refused, that is the test
        (P256.sign(NAME.encode(), ec.ECDSA(hashes.SHA384())), Refused),
        (keys.sign(P256, NAME.encode()) + b"\x00", Refused),
    ],
    ids=[
        "empty",
        "too long",
        "no signature",
        "another name",
        "no name",
        "upper case",
        "a line end",
        "another key",
        "SHA-1",
        "SHA-384",
        "a byte more",
    ],
)
def test_any_other_signature_proves_nothing(signature, error):
    with pytest.raises(error, match="proof of possession"):
        verify_possession(SignedSubject(P256.public_key(), signature), NAME)


@pytest.mark.parametrize("scheme", [padding.PSS(padding.MGF1(hashes.SHA256()), 32), padding.PKCS1v15()])
def test_rsa_signs_with_pkcs1_and_sha256_only(scheme):
    hashed = hashes.SHA384() if isinstance(scheme, padding.PKCS1v15) else hashes.SHA256()
    with pytest.raises(Refused, match=r"the proof of possession (does not verify|is RSA-PSS)"):
        verify_possession(SignedSubject(RSA.public_key(), RSA.sign(NAME.encode(), scheme, hashed)), NAME)


# --- A07 ---------------------------------------------------------------------------------------------
def rsa_numbers(modulus, exponent=65537):
    """An SPKI with these numbers, as nobody's library would write it."""
    key = der.sequence(der.integer(modulus), der.integer(exponent))
    return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.null()), der.bit_string(key))


def ec_point(curve, point):
    return der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), curve), der.bit_string(point))


P256_OID = der.oid("1.2.840.10045.3.1.7")
MODULUS = RSA.public_key().public_numbers().n
EXPLICIT = der.sequence(
    der.integer(1),
    der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(2**256 - 2**224 + 2**192 + 2**96 - 1)),
    der.sequence(der.octet_string(b"\xff" * 32), der.octet_string(b"\x5a" * 32)),
    der.octet_string(b"\x04" + b"\x11" * 64),
    der.integer(2**255),
    der.integer(1),
)


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


HOSTILE = {
    "RSA-1024": rsa_numbers(MODULUS >> 1024 | 1),
    "RSA-2047": rsa_numbers(MODULUS >> 1 | 1),
    "RSA-16384": rsa_numbers((1 << 16383) | 1),
    "e=3": rsa_numbers(MODULUS, 3),
    "e=1": rsa_numbers(MODULUS, 1),
    "e even": rsa_numbers(MODULUS, 65536),
    "negative modulus": rsa_numbers(-MODULUS),
    "P-192": spki(ec.generate_private_key(ec.SECP192R1())),
    "P-224": spki(ec.generate_private_key(ec.SECP224R1())),
    "secp256k1": spki(ec.generate_private_key(ec.SECP256K1())),
    "brainpool": spki(ec.generate_private_key(ec.BrainpoolP256R1())),
    "Ed448": spki(ed448.Ed448PrivateKey.generate()),
    "off the curve": ec_point(P256_OID, b"\x04" + b"\x11" * 64),
    "infinity": ec_point(P256_OID, b"\x00"),
    "compressed": ec_point(P256_OID, b"\x02" + spki(P256)[-64:-32]),
    "explicit parameters": ec_point(EXPLICIT, spki(P256)[-65:]),
    "binary curve": ec_point(der.oid("1.3.132.0.1"), b"\x04" + b"\x11" * 42),
    "empty": b"",
    "trailing byte": spki(P256) + b"\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_keys_are_refused_at_once(name):
    start = time.process_time()
    with pytest.raises(SigError):
        verify_possession(SignedSubject(parse_public_key_text(HOSTILE[name]), b"x"), NAME)
    assert time.process_time() - start < 0.1


def test_a_modulus_that_can_be_factored_is_refused_before_its_signature_is_looked_at():
    weak = rsa.RSAPublicNumbers(65537, MODULUS - MODULUS % 6 + 3).public_key()
    with pytest.raises(Refused, match="small prime factor"):
        verify_possession(SignedSubject(weak, b"x"), NAME)


def test_the_public_key_may_be_pem_or_der():
    pem = keys.encode_public_key_pem(P256.public_key())
    for form in (spki(P256), pem.encode(), b"\n" + pem.encode()):
        assert parse_public_key_text(form) == P256.public_key()
