# SPDX-License-Identifier: Apache-2.0
"""Signature algorithms as X.509 and CMS name them: AlgorithmIdentifier <-> how to sign and verify.

Other than ``keys``, where the key alone decides, here the signer said which hash was used: a P-384 CA may sign with SHA-256.

Sources: RFC 5758 section 3.2 (ECDSA: no parameters), RFC 4055 section 5 (RSA PKCS#1 v1.5: parameters NULL),
RFC 8410 section 3 (Ed25519: no parameters).
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from sigcore import der, keys
from sigcore.algorithms import HashAlgorithm
from sigcore.ecdsa import Ecdsa
from sigcore.errors import Refused
from sigcore.keys import PrivateKey, PublicKey
from sigcore.values import dataclass

_ECDSA_KEY: Final = "ECDSA"
_RSA_KEY: Final = "RSA"
_ED25519_KEY: Final = "Ed25519"


@dataclass(frozen=True, slots=True)
class _Algorithm:
    oid: str
    key: str
    """The kind of key that it needs."""
    hash: hashes.HashAlgorithm | None

    def encode(self) -> bytes:
        parameters = der.null() if self.key is _RSA_KEY else b""
        return der.sequence(der.oid(self.oid), parameters)


_ALGORITHMS = (
    _Algorithm("1.2.840.10045.4.3.2", _ECDSA_KEY, hashes.SHA256()),
    _Algorithm("1.2.840.10045.4.3.3", _ECDSA_KEY, hashes.SHA384()),
    _Algorithm("1.2.840.10045.4.3.4", _ECDSA_KEY, hashes.SHA512()),
    _Algorithm("1.2.840.113549.1.1.11", _RSA_KEY, hashes.SHA256()),
    _Algorithm("1.2.840.113549.1.1.12", _RSA_KEY, hashes.SHA384()),
    _Algorithm("1.2.840.113549.1.1.13", _RSA_KEY, hashes.SHA512()),
    _Algorithm("1.3.101.112", _ED25519_KEY, None),
)
_BY_DER = {algorithm.encode(): algorithm for algorithm in _ALGORITHMS}
_ECDSA = {name: Ecdsa(row.hash) for name, row in _BY_DER.items() if row.key is _ECDSA_KEY and row.hash}
_PREHASHED = {
    name: (hash_, Ecdsa(utils.Prehashed(ecdsa.algorithm)))  # type: ignore[arg-type]  # a hash: it was made with one above
    for name, ecdsa in _ECDSA.items()
    for hash_ in HashAlgorithm
    if hash_.hashlib_name == ecdsa.algorithm.name  # type: ignore[union-attr]  # the same
}

ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512, RSA_WITH_SHA256, RSA_WITH_SHA384, RSA_WITH_SHA512, ED25519 = (
    _BY_DER
)
"""AlgorithmIdentifiers in DER, parameters as their RFC demands."""

_ECDSA_BY_CURVE = {"secp256r1": ECDSA_WITH_SHA256, "secp384r1": ECDSA_WITH_SHA384, "secp521r1": ECDSA_WITH_SHA512}


def algorithm_for(key: PrivateKey | PublicKey) -> bytes:
    """The AlgorithmIdentifier (DER) that a key signs with when nothing else is said: ECDSA with its curve's hash.

    Raises:
        Refused: the key is too weak for a signature of ours.
    """
    public = key.public_key() if hasattr(key, "public_key") else key
    keys.check_strength(public, what="the signing key")
    if keys.is_ecdsa(public):
        return _ECDSA_BY_CURVE[public.curve.name]
    return ED25519 if isinstance(public, ed25519.Ed25519PublicKey) else RSA_WITH_SHA256


def sign(algorithm: bytes, key: PrivateKey, message: bytes, *, repeatable: bool = False) -> bytes:
    """The signature of ``message`` by ``key`` as ``algorithm`` (AlgorithmIdentifier DER) says.

    ``repeatable`` makes ECDSA give the same bytes every time (RFC 6979), as the other algorithms do anyway.

    Raises:
        Refused: the algorithm is none of the table, or does not fit the key.
    """
    ecdsa = _ECDSA.get(algorithm)
    # The usual case first: each question about an abstract class costs as much as ten calls.
    if ecdsa is not None and isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(ecdsa.algorithm, deterministic_signing=True) if repeatable else ecdsa)
    row = _row(algorithm, "the new signature")
    if row.key is _ED25519_KEY and isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if row.key is not _RSA_KEY or row.hash is None or not keys.is_private_rsa(key):
        raise _unfit(row, "the new signature")
    from sigcore import rsa_keys  # noqa: PLC0415 - see there

    return rsa_keys.sign(key, message, row.hash)


def verify(algorithm: bytes, key: PublicKey, signature: bytes, message: bytes, *, what: str) -> None:
    """Check ``signature`` over ``message`` by ``key`` as ``algorithm`` (AlgorithmIdentifier DER) says.

    Raises:
        Refused: the algorithm is none of the table or does not fit the key, the key is weak, or the signature does not
            verify. ``what`` names the signature in the message.
    """
    ecdsa = _PREHASHED.get(algorithm)
    try:
        if ecdsa is not None and keys.is_ecdsa(key) and key.curve.name in _ECDSA_BY_CURVE:
            hashing, prehashed = ecdsa
            key.verify(signature, hashing.digest(message), prehashed)  # as keys.verify: made here, it costs less
            return
        row = _row(algorithm, what)
        if row.key is _ED25519_KEY and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
            return
        _verify_rarely(row, key, signature, message, what)
    except InvalidSignature as error:
        raise Refused(f"{what} does not verify") from error


def _verify_rarely(row: _Algorithm, key: PublicKey, signature: bytes, message: bytes, what: str) -> None:
    """RSA; and what must be refused: an unfit key, a curve that is not of the registry."""
    fits = keys.is_ecdsa(key) if row.key is _ECDSA_KEY else row.key is _RSA_KEY and keys.is_rsa(key)
    if not fits:
        raise _unfit(row, what)
    keys.check_strength(key, what=f"the key of {what}")
    if row.hash is None or not keys.is_rsa(key):
        raise _unfit(row, what)
    from sigcore import rsa_keys  # noqa: PLC0415 - see there

    rsa_keys.verify(key, signature, message, row.hash)


def _row(algorithm: bytes, what: str) -> _Algorithm:
    row = _BY_DER.get(algorithm)
    if row is None:
        raise Refused(
            f"{what} uses an algorithm that is not supported: {algorithm.hex()}",
            "use ECDSA or RSA PKCS#1 v1.5 with SHA-256, SHA-384 or SHA-512, or Ed25519",
        )
    return row


def _unfit(row: _Algorithm, what: str) -> Refused:
    return Refused(f"{what} names the algorithm {row.oid}, which does not fit the signer's key")
