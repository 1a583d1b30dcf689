# SPDX-License-Identifier: Apache-2.0
"""Shell lines: openssl and coreutils, for ``sh``."""

from __future__ import annotations

import shlex

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.keys import PublicKey


def verify_message(key: PublicKey, *, pub: str, signature: str, message: str) -> str:
    """That the file ``signature`` is by the key in ``pub`` over the file ``message``."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return f"openssl pkeyutl -verify -pubin -inkey {pub} -rawin -in {message} -sigfile {signature}"
    hashing = keys.default_details(key).hash.hashlib_name
    return f"openssl dgst -{hashing} -verify {pub} -signature {signature} {message}"


def verify_digest(key: PublicKey, *, pub: str, signature: str, digest: str, hashing: HashAlgorithm) -> tuple[str, ...]:
    """The same over a file that holds a digest; nothing for Ed25519ph, which openssl 3.0 does not know."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return ()
    option = f" -pkeyopt digest:{hashing.hashlib_name}" if isinstance(key, rsa.RSAPublicKey) else ""
    return (f"openssl pkeyutl -verify -pubin -inkey {pub}{option} -in {digest} -sigfile {signature}",)


def key_hash(pub: str, expected: bytes) -> str:
    """That SHA-256 of the key (SPKI, DER) in ``pub`` is ``expected``."""
    return f"openssl pkey -pubin -in {pub} -outform DER | sha256sum | grep -F {expected.hex()}"


def contains(text: str, file: str) -> str:
    """That ``file`` contains ``text``."""
    return f"grep -a -c -F -e {shlex.quote(text)} {file}"


def printable(text: str) -> bool:
    """Whether ``text`` can stand in a line that is shown and typed: nothing in it moves a cursor or hides."""
    return text.isascii() and text.isprintable()
