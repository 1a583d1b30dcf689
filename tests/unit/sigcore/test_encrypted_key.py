# SPDX-License-Identifier: Apache-2.0
"""cosign's key files, and the box they are in."""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from sigcore import encrypted_key, keys, secretbox
from sigcore.errors import Malformed, Refused, SigError
from sigcore.strict import encode_base64, parse_base64

SALT, NONCE, PASSPHRASE = bytes(range(32)), bytes(range(24)), b"correct horse"
KEY = keys.generate_p256()
FILE = encrypted_key.encode_encrypted_key(KEY, PASSPHRASE, salt=SALT, nonce=NONCE)


def test_the_example_of_the_nacl_paper():
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    message = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c012335"
        "61f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c"
        "60902e52f0a089bc76897040e082f937763848645e0705"
    )
    box = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dc"
        "e87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb373"
        "2bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    assert secretbox.seal(message, key, nonce) == box
    assert secretbox.unseal(box, key, nonce) == message


@given(st.binary(max_size=200), st.integers(0, 215), st.integers(1, 255))
def test_a_changed_box_does_not_open(message, position, bits):
    key, nonce = bytes(32), bytes(24)
    box = bytearray(secretbox.seal(message, key, nonce))
    assert secretbox.unseal(bytes(box), key, nonce) == message
    box[position % len(box)] ^= bits
    with pytest.raises(Refused):
        secretbox.unseal(bytes(box), key, nonce)
    with pytest.raises(Refused):
        secretbox.unseal(b"", key, nonce)


def document(pem: bytes) -> dict:
    body = "".join(pem.decode().splitlines()[1:-1])
    return json.loads(parse_base64(body, what="body"))


def file_of(content: dict, label: str = encrypted_key.LABEL) -> bytes:
    text = encode_base64(json.dumps(content).encode())
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p384", "ed25519", "rsa"],
)
def test_round_trip(key):
    pem = encrypted_key.encode_encrypted_key(key, PASSPHRASE, salt=SALT, nonce=NONCE)
    assert encrypted_key.is_encrypted_key(pem)
    found = encrypted_key.parse_encrypted_key(pem, PASSPHRASE, what="k")
    assert keys.encode_public_key(found.public_key()) == keys.encode_public_key(key.public_key())


def test_the_form_is_cosigns():
    content = document(FILE)
    assert FILE.startswith(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    assert content["kdf"] == {
        "name": "scrypt",
        "params": {"N": 65536, "r": 8, "p": 1},
        "salt": encode_base64(SALT),
    }
    assert content["cipher"] == {"name": "nacl/secretbox", "nonce": encode_base64(NONCE)}


def test_the_older_label_is_read():
    older = file_of(document(FILE), "ENCRYPTED COSIGN PRIVATE KEY")
    encrypted_key.parse_encrypted_key(older, PASSPHRASE, what="k")


def test_another_passphrase():
    with pytest.raises(Refused, match="k cannot be decrypted"):
        encrypted_key.parse_encrypted_key(FILE, b"wrong", what="k")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda d: d["kdf"].update(name="argon2"), Malformed, "expected scrypt"),
        (lambda d: d["cipher"].update(name="aes"), Malformed, "expected scrypt"),
        (lambda d: d["kdf"]["params"].update(N=1 << 40), Refused, "asks for scrypt with N="),
        (lambda d: d["kdf"]["params"].update(N=-1), Refused, "asks for scrypt"),
        (lambda d: d["kdf"]["params"].update(N=1000), Malformed, "that are none"),
        (lambda d: d["kdf"]["params"].update(p=1000), Refused, "asks for scrypt"),
        (lambda d: d["cipher"].update(nonce="AAAA"), Malformed, "nonce of 3 bytes"),
        (lambda d: d.update(ciphertext=""), Refused, "cannot be decrypted"),
        (lambda d: d.pop("ciphertext"), Malformed, "ciphertext is missing"),
    ],
)
def test_files_that_are_refused(change, kind, message):
    content = document(FILE)
    change(content)
    with pytest.raises(kind, match=message):
        encrypted_key.parse_encrypted_key(file_of(content), PASSPHRASE, what="k")


@pytest.mark.parametrize("pem", [b"", b"x", b"\xff\xfe", FILE[:-30], file_of({})[:60], keys.encode_private_key(KEY)])
def test_what_is_no_such_file(pem):
    assert not encrypted_key.is_encrypted_key(pem)
    with pytest.raises(SigError):
        encrypted_key.parse_encrypted_key(pem, PASSPHRASE, what="k")


def test_what_is_no_key_under_the_right_passphrase_is_said_to_be_none():
    plain = document(FILE)
    parameters = plain["kdf"]["params"]
    derived = hashlib.scrypt(
        PASSPHRASE, salt=SALT, n=parameters["N"], r=parameters["r"], p=parameters["p"], dklen=32, maxmem=1 << 28
    )
    encrypted = serialization.BestAvailableEncryption(b"once more")
    twice = KEY.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, encrypted)
    for content in (b"", b"no key", FILE, twice):
        box = encode_base64(secretbox.seal(content, derived, NONCE))
        with pytest.raises(Malformed, match="holds no PKCS#8 key"):
            encrypted_key.parse_encrypted_key(file_of(plain | {"ciphertext": box}), PASSPHRASE, what="the key")
