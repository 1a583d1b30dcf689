# SPDX-License-Identifier: Apache-2.0
"""cosign's private key files: PKCS#8 under a passphrase, readable and writable by cosign.

A PEM block ``ENCRYPTED SIGSTORE PRIVATE KEY`` (older: ``ENCRYPTED COSIGN PRIVATE KEY``) around this JSON; the ciphertext is the
key's PKCS#8 DER in a secretbox whose key is scrypt of the passphrase:

    {"kdf": {"name": "scrypt", "params": {"N": 65536, "r": 8, "p": 1}, "salt": base64},
     "cipher": {"name": "nacl/secretbox", "nonce": base64}, "ciphertext": base64}

Source: cosign ``pkg/cosign/keys.go``, go-securesystemslib ``encrypted``.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from sigcore import keys, limits, secretbox
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey
from sigcore.strict import JSON, Fields, encode_base64, parse_base64, shown

LABEL: Final = "ENCRYPTED SIGSTORE PRIVATE KEY"
SALT_SIZE: Final = 32
_PEM: Final = re.compile(
    rf"\s*-----BEGIN ({LABEL}|ENCRYPTED COSIGN PRIVATE KEY)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\s*\Z",
    re.ASCII,
)
_COST: Final = (65536, 8, 1)
"""N, r, p: what cosign writes."""
_MAX_MEMORY: Final = 256 * 1024 * 1024
"""scrypt takes 128 * N * r bytes: four times what cosign's parameters need, and a bound for what a file may ask of us."""


def is_encrypted_key(pem: bytes) -> bool:
    """Whether ``pem`` is such a file; other private keys are PKCS#8 PEM."""
    return _PEM.match(pem.decode("latin-1")) is not None


def parse_encrypted_key(pem: bytes, passphrase: bytes, *, what: str) -> PrivateKey:
    """The key in a file of cosign's.

    Raises:
        Malformed: not such a file. Refused: another passphrase; a cost that is out of bounds.
    """
    match = _PEM.match(pem.decode("latin-1")) if len(pem) <= limits.TEXT else None
    if match is None:
        raise Malformed(f"{what} is no {LABEL} in PEM")
    document = parse_base64("".join(match[2].split()), what=what)
    fields = Fields.parse(document, what=what, limit=limits.TEXT)
    kdf, cipher = fields.object("kdf"), fields.object("cipher")
    names = kdf.text("name"), cipher.text("name")
    if names != ("scrypt", "nacl/secretbox"):
        raise Malformed(f"{what} is encrypted with {shown(' and '.join(names))}, expected scrypt and nacl/secretbox")
    params = kdf.object("params")
    cost = params.integer("N"), params.integer("r"), params.integer("p")
    salt, nonce = kdf.base64("salt", limit=64), cipher.base64("nonce", limit=secretbox.NONCE_SIZE)
    if len(nonce) != secretbox.NONCE_SIZE:
        raise Malformed(f"{what} has a nonce of {len(nonce)} bytes, expected {secretbox.NONCE_SIZE}")
    box = fields.base64("ciphertext", limit=limits.TEXT)
    try:
        der = secretbox.unseal(box, _derive(passphrase, salt, cost, what), nonce)
    except Refused as error:
        if error.hint:
            raise
        raise Refused(f"{what} cannot be decrypted", "check the passphrase (COSIGN_PASSWORD)") from error
    keys.refuse_pss_alone(der, what)
    try:
        block = serialization.load_der_private_key(der, None).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted once more
        raise Malformed(f"{what} holds no PKCS#8 key under its passphrase") from error
    return keys.parse_private_key(block, what=what)


def encode_encrypted_key(key: PrivateKey, passphrase: bytes, *, salt: bytes, nonce: bytes) -> bytes:
    """The file. ``salt`` (32 bytes) and ``nonce`` (24 bytes) must be fresh random bytes."""
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    box = secretbox.seal(der, _derive(passphrase, salt, _COST, "the new key"), nonce)
    n, r, p = _COST
    document: JSON = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": r, "p": p}, "salt": encode_base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": encode_base64(nonce)},
        "ciphertext": encode_base64(box),
    }
    text = encode_base64(json.dumps(document, separators=(",", ":")).encode("ascii"))
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {LABEL}-----", *lines, f"-----END {LABEL}-----", "")).encode("ascii")


def _derive(passphrase: bytes, salt: bytes, cost: tuple[int, int, int], what: str) -> bytes:
    n, r, p = cost
    if min(cost) < 1 or 128 * n * r > _MAX_MEMORY or p > 16:
        raise Refused(f"{what} asks for scrypt with N={n}, r={r}, p={p}", "cosign writes N=65536, r=8, p=1")
    try:
        return hashlib.scrypt(
            passphrase, salt=salt, n=n, r=r, p=p, dklen=secretbox.KEY_SIZE, maxmem=_MAX_MEMORY + 1024 * 1024
        )
    except ValueError as error:
        raise Malformed(f"{what} asks for scrypt with parameters that are none: {error}") from error
