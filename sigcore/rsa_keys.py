# SPDX-License-Identifier: Apache-2.0
"""Signatures by RSA keys: PKCS#1 v1.5 and PSS (RFC 8017 section 8). :mod:`sigcore.keys` says which a key may make.

A module of its own, which is imported when an RSA key is met: the library's part for RSA is a tenth of a verifier's start, and
Sigstore's keys are ECDSA and Ed25519 nearly always.
"""

from __future__ import annotations

from contextlib import suppress

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from sigcore.errors import Refused

_Hash = hashes.HashAlgorithm | utils.Prehashed


def is_public(kind: type) -> bool:
    """Whether ``kind`` is a class of public RSA keys."""
    return issubclass(kind, rsa.RSAPublicKey)


def is_private(kind: type) -> bool:
    """Whether ``kind`` is a class of private RSA keys, ours for a KMS or token among them."""
    return issubclass(kind, rsa.RSAPrivateKey)


def sign(key: rsa.RSAPrivateKey, data: bytes, hashing: _Hash) -> bytes:
    """PKCS#1 v1.5 over ``data``, or over what it is the digest of."""
    return key.sign(data, padding.PKCS1v15(), hashing)


def verify(key: rsa.RSAPublicKey, signature: bytes, data: bytes, hashing: _Hash) -> None:
    """PKCS#1 v1.5 over ``data``, or over what it is the digest of. Raises the library's InvalidSignature."""
    key.verify(signature, data, padding.PKCS1v15(), hashing)


def verify_pss(key: rsa.RSAPublicKey, signature: bytes, digest: bytes, hashing: hashes.HashAlgorithm) -> None:
    """PSS over what has this digest, with a salt as long as it. Raises the library's InvalidSignature."""
    key.verify(
        signature, digest, padding.PSS(padding.MGF1(hashing), padding.PSS.DIGEST_LENGTH), utils.Prehashed(hashing)
    )


def refuse_pss(
    key: rsa.RSAPublicKey, signature: bytes, digest: bytes, hashing: hashes.HashAlgorithm, what: str
) -> None:
    """A better word for a signature that did not verify, if it is a good one of the scheme that nobody takes."""
    pss = padding.PSS(padding.MGF1(hashing), padding.PSS.AUTO)
    with suppress(InvalidSignature):
        key.verify(signature, digest, pss, utils.Prehashed(hashing))
        raise Refused(f"{what} is RSA-PSS, expected RSA with PKCS#1 v1.5", "sign with PKCS#1 v1.5")
