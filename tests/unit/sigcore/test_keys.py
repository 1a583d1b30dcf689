# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
import subprocess
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, utils, x25519

from sigcore import keys, limits
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.ecdsa import Ecdsa
from sigcore.encrypted_key import encode_encrypted_key, parse_encrypted_key
from sigcore.errors import Malformed, Refused

MESSAGE = b"what is signed"


@cache
def private(kind: str) -> keys.PrivateKey:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


KINDS = {
    "p256": KeyDetails.PKIX_ECDSA_P256_SHA_256,
    "p384": KeyDetails.PKIX_ECDSA_P384_SHA_384,
    "p521": KeyDetails.PKIX_ECDSA_P521_SHA_512,
    "ed25519": KeyDetails.PKIX_ED25519,
    "rsa2048": KeyDetails.PKIX_RSA_PKCS1V15_2048_SHA256,
    "rsa3072": KeyDetails.PKIX_RSA_PKCS1V15_3072_SHA256,
}


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


# --- bytes <-> keys --------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_public_keys_come_back(kind):
    key = private(kind).public_key()
    encoded = keys.encode_public_key(key)
    assert keys.encode_public_key(keys.parse_public_key(encoded)) == encoded
    assert keys.encode_public_key(keys.parse_public_key_pem(keys.encode_public_key_pem(key))) == encoded
    assert keys.key_id(encoded) == hashlib.sha256(encoded).digest()


@pytest.mark.parametrize("kind", ["p256", "ed25519", "rsa2048"])
@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_private_keys_come_back(kind, passphrase):
    pem = keys.encode_private_key(private(kind), passphrase)
    assert (b"ENCRYPTED" in pem) == (passphrase is not None)
    back = keys.parse_private_key(pem, passphrase)
    assert keys.encode_public_key(back.public_key()) == keys.encode_public_key(private(kind).public_key())


def test_a_wrong_missing_or_superfluous_passphrase_has_a_message_of_its_own():
    clear, locked = (keys.encode_private_key(private("p256"), passphrase) for passphrase in (None, b"right"))
    with pytest.raises(Refused, match="cannot be decrypted"):
        keys.parse_private_key(locked, b"wrong")
    with pytest.raises(Refused, match="is encrypted"):
        keys.parse_private_key(locked)
    with pytest.raises(Refused, match="is not encrypted"):
        keys.parse_private_key(clear, b"right")
    with pytest.raises(Malformed, match="the CA key is not a PKCS#8 PEM"):
        keys.parse_private_key(b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", what="the CA key")


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x00", b"not a key"])
def test_what_is_no_key_is_refused(data):
    with pytest.raises(Malformed, match=r"^it is not a DER SubjectPublicKeyInfo"):
        keys.parse_public_key(data, what="it")
    with pytest.raises(Malformed, match=r"^it is not a PEM public key"):
        keys.parse_public_key_pem(data, what="it")


def test_bytes_after_a_key_and_other_spellings_of_it_are_refused():
    key = private("p256").public_key()
    encoded = keys.encode_public_key(key)
    with pytest.raises(Malformed):
        keys.parse_public_key(encoded + b"\0")
    compressed = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    other = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + compressed
    with pytest.raises(Malformed, match="is not in canonical DER"):
        keys.parse_public_key(other)


def test_keys_of_a_foreign_kind_are_refused():
    for key in (x25519.X25519PrivateKey.generate(), dsa.generate_private_key(2048)):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        with pytest.raises(Malformed, match="of a kind that is not supported"):
            keys.parse_public_key(key.public_key().public_bytes(serialization.Encoding.DER, form))
        with pytest.raises(Malformed, match="of a kind that is not supported"):
            keys.parse_public_key_pem(key.public_key().public_bytes(serialization.Encoding.PEM, form))


def test_oversized_input_is_refused_before_it_is_parsed():
    for parse in (keys.parse_public_key, keys.parse_public_key_pem):
        with pytest.raises(Malformed, match=f"the limit is {limits.PUBLIC_KEY}"):
            parse(bytes(limits.PUBLIC_KEY + 1))


# --- strength and registry ---------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "details"), KINDS.items())
def test_each_key_has_its_default_details(kind, details):
    assert keys.default_details(private(kind).public_key()) is details


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (lambda: ec.generate_private_key(ec.SECP256K1()), "on curve secp256k1"),
        (lambda: rsa.generate_private_key(65537, 1024), "RSA with 1024 bits"),  # noqa: S505 - it is there to be refused
        (lambda: rsa.generate_private_key(65537, 2056), "RSA with 2056 bits"),
        (lambda: rsa.generate_private_key(3, 2048), "unusual exponent"),
    ],
)
def test_weak_and_odd_keys_are_refused(key, message):
    with pytest.raises(Refused, match=message):
        keys.check_strength(key().public_key())
    with pytest.raises(Refused, match=message):
        keys.default_details(key().public_key())


def test_the_numbers_of_the_registry_are_those_of_protobuf_specs():
    numbers = {details.name: details.value.number for details in KeyDetails}
    assert len(set(numbers.values())) == len(numbers)
    assert (numbers["PKIX_ECDSA_P256_SHA_256"], numbers["PKIX_ED25519"], numbers["PKIX_ED25519_PH"]) == (5, 7, 8)
    assert KeyDetails.parse("PKIX_ED25519", what="it") is KeyDetails.PKIX_ED25519
    with pytest.raises(Malformed, match="it is 'X', expected one of PKIX_ECDSA_P256_SHA_256"):
        KeyDetails.parse("X", what="it")


@pytest.mark.parametrize("algorithm", HashAlgorithm)
def test_hash_algorithms_know_their_name_size_and_oid(algorithm):
    assert algorithm.digest(b"x") == hashlib.new(algorithm.hashlib_name, b"x").digest()
    assert len(algorithm.digest(b"")) == algorithm.size
    assert HashAlgorithm.parse(algorithm.name, what="it") is algorithm
    assert HashAlgorithm.by_oid(algorithm.oid, what="it") is algorithm


def test_unknown_hash_algorithms_are_refused():
    with pytest.raises(Malformed, match="it is 'SHA1', expected one of SHA2_256"):
        HashAlgorithm.parse("SHA1", what="it")
    with pytest.raises(Malformed, match=r"it is 1\.3\.14\.3\.2\.26"):
        HashAlgorithm.by_oid("1.3.14.3.2.26", what="it")


# --- sign and verify -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_verifies_and_any_change_does_not(kind):
    key, public = private(kind), private(kind).public_key()
    signature = keys.sign(key, MESSAGE)
    keys.verify(public, signature, MESSAGE, what="it")
    other = keys.generate_p256().public_key() if kind != "p256" else private("p384").public_key()
    for bad_key, bad_signature, bad_message in (
        (public, signature, MESSAGE + b"."),
        (public, flipped(signature, -1 % len(signature)), MESSAGE),
        (public, flipped(signature, 0), MESSAGE),
        (public, signature[:-1], MESSAGE),
        (public, b"", MESSAGE),
        (other, signature, MESSAGE),
    ):
        with pytest.raises(Refused, match=r"^it does not verify"):
            keys.verify(bad_key, bad_signature, bad_message, what="it")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ed25519"])
def test_a_digest_stands_for_its_message(kind):
    key = private(kind)
    digest = KINDS[kind].hash.digest(MESSAGE)
    keys.verify_digest(key.public_key(), keys.sign(key, MESSAGE), digest, what="it")
    with pytest.raises(Refused, match="the digest has 31 bytes"):
        keys.verify_digest(key.public_key(), keys.sign(key, MESSAGE), digest[:31], what="it")


def test_pss_is_verified_when_the_details_say_so_and_only_then():
    key = rsa.generate_private_key(65537, 2048)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    signature = key.sign(MESSAGE, pss, hashes.SHA256())
    keys.verify(key.public_key(), signature, MESSAGE, what="it", details=KeyDetails.PKIX_RSA_PSS_2048_SHA256)
    with pytest.raises(Refused, match="it is RSA-PSS, expected RSA with PKCS#1"):
        keys.verify(key.public_key(), signature, MESSAGE, what="it")


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("p256", KeyDetails.PKIX_ECDSA_P384_SHA_384),
        ("p256", KeyDetails.PKIX_ED25519),
        ("rsa2048", KeyDetails.PKIX_RSA_PKCS1V15_3072_SHA256),
        ("rsa2048", KeyDetails.PKIX_ECDSA_P256_SHA_256),
        ("ed25519", KeyDetails.PKIX_ECDSA_P256_SHA_256),
    ],
)
def test_details_must_fit_the_key(kind, details):
    key = private(kind)
    with pytest.raises(Refused, match="do not fit the key"):
        keys.verify(key.public_key(), keys.sign(key, MESSAGE), MESSAGE, what="it", details=details)


def test_pure_ed25519_over_a_digest_is_refused_with_a_reason():
    key = private("ed25519")
    with pytest.raises(Refused, match="Ed25519 signs whole messages"):
        keys.verify_digest(key.public_key(), bytes(64), bytes(64), what="it", details=KeyDetails.PKIX_ED25519)
    with pytest.raises(Refused, match="does not verify"):
        keys.verify_digest(key.public_key(), bytes(64), bytes(64), what="it")


def test_a_curve_outside_the_registry_does_not_verify():
    key = ec.generate_private_key(ec.SECP256K1())
    signature = key.sign(hashlib.sha256(MESSAGE).digest(), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    with pytest.raises(Refused, match="on curve secp256k1"):
        keys.verify(key.public_key(), signature, MESSAGE, what="it")
    details = KeyDetails.PKIX_ECDSA_P256_SHA_256
    with pytest.raises(Refused, match="do not fit the key"):
        keys.verify(key.public_key(), signature, MESSAGE, what="it", details=details)


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_openssl_verifies_what_is_signed(kind, openssl, tmp_path):
    key = private(kind)
    (tmp_path / "key.pem").write_text(keys.encode_public_key_pem(key.public_key()))
    (tmp_path / "signature").write_bytes(keys.sign(key, MESSAGE))
    digest = f"-{KINDS[kind].hash.hashlib_name}"
    command = [openssl, "dgst", digest, "-verify", "key.pem", "-signature", "signature"]
    done = subprocess.run(command, input=MESSAGE, cwd=tmp_path, capture_output=True, check=False)
    assert b"Verified OK" in done.stdout, done.stderr


def test_a_coordinate_beyond_the_field_is_no_other_spelling_of_a_point():
    """P-256 has points with a small x; x + p fits 32 bytes and means the same point, were it taken."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

    def root(x: int) -> int:
        return pow(x**3 - 3 * x + b, (prime + 1) // 4, prime)

    x, y = next((x, root(x)) for x in range(60) if root(x) ** 2 % prime == (x**3 - 3 * x + b) % prime)
    head = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
    keys.parse_public_key(head + x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    with pytest.raises(Malformed, match="not a DER SubjectPublicKeyInfo"):
        keys.parse_public_key(head + (x + prime).to_bytes(32, "big") + y.to_bytes(32, "big"))


def test_a_key_for_pss_alone_is_refused_by_its_name():
    spki = keys.encode_public_key(rsa.generate_private_key(65537, 2048).public_key())
    plain, pss = bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d01010a")
    body = pss + spki[spki.index(plain) + len(plain) :]
    with pytest.raises(Malformed, match="for RSASSA-PSS alone"):
        keys.parse_public_key(b"\x30\x82" + len(body).to_bytes(2, "big") + body)


PLAIN, PSS = bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d01010a")


def block(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


def test_a_key_for_pss_alone_is_refused_in_every_file():
    key = rsa.generate_private_key(65537, 2048)
    spki = keys.encode_public_key(key.public_key())
    pkcs8 = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    keys.parse_public_key_pem(block("PUBLIC KEY", spki))
    keys.parse_private_key(block("PRIVATE KEY", pkcs8))

    def limited(der: bytes, begins: bytes) -> bytes:
        body = begins + PSS + der[der.index(PLAIN) + len(PLAIN) :]
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body

    with pytest.raises(Malformed, match="for RSASSA-PSS alone"):
        keys.parse_public_key_pem(block("PUBLIC KEY", limited(spki, b"")))
    secret = limited(pkcs8, b"\x02\x01\x00")
    with pytest.raises(Malformed, match="for RSASSA-PSS alone"):
        keys.parse_private_key(block("PRIVATE KEY", secret))

    class Limited:
        def private_bytes(self, *_: object) -> bytes:
            return secret

    file = encode_encrypted_key(Limited(), b"pw", salt=bytes(32), nonce=bytes(24))
    with pytest.raises(Malformed, match="for RSASSA-PSS alone"):
        parse_encrypted_key(file, b"pw", what="the key")


@pytest.mark.parametrize("hashing", [hashes.SHA256(), hashes.SHA384(), utils.Prehashed(hashes.SHA512())])
def test_ecdsa_without_the_librarys_constructor_is_the_librarys(hashing):
    """The library's class is the oracle, in both directions; nothing but the import of its backend is left out."""
    key: ec.EllipticCurvePrivateKey = ec.generate_private_key(ec.SECP384R1())
    message = MESSAGE if isinstance(hashing, hashes.HashAlgorithm) else bytes(64)
    ours, theirs = Ecdsa(hashing), ec.ECDSA(hashing)
    key.public_key().verify(key.sign(message, ours), message, theirs)
    key.public_key().verify(key.sign(message, theirs), message, ours)
    assert (ours.algorithm, ours.deterministic_signing) == (theirs.algorithm, theirs.deterministic_signing)
    assert isinstance(ours, ec.ECDSA)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_keys_are_told_apart(kind):
    key = private(kind)
    public = key.public_key()
    assert (keys.is_private_key(key), keys.is_private_key(public)) == (True, False)
    assert (keys.is_public_key(key), keys.is_public_key(public)) == (False, True)
    assert (keys.is_rsa(public), keys.is_private_rsa(key)) == (kind.startswith("rsa"),) * 2
    assert keys.is_ecdsa(public) is kind.startswith("p")
    others = x25519.X25519PrivateKey.generate(), dsa.generate_private_key(2048)
    assert not any(keys.is_private_key(one) or keys.is_public_key(one.public_key()) for one in others)
