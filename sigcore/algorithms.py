# SPDX-License-Identifier: Apache-2.0
"""The algorithm registry: hash algorithms and key details as Sigstore names and numbers them.

Source: sigstore protobuf-specs ``sigstore_common.proto`` (HashAlgorithm, PublicKeyDetails).
"""

from __future__ import annotations

import hashlib
from enum import Enum

from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass


class HashAlgorithm(Enum):
    """Value: (protobuf number, hashlib name, digest size in bytes, OID)."""

    SHA2_256 = (1, "sha256", 32, "2.16.840.1.101.3.4.2.1")
    SHA2_384 = (2, "sha384", 48, "2.16.840.1.101.3.4.2.2")
    SHA2_512 = (3, "sha512", 64, "2.16.840.1.101.3.4.2.3")

    # Attributes of each member, not properties: ``value`` costs a call whenever it is asked.
    def __init__(self, number: int, hashlib_name: str, size: int, oid: str) -> None:
        self.number = number
        self.hashlib_name = hashlib_name
        """The name that ``hashlib.new`` takes, also Rekor v1's spelling."""
        self.size = size
        """Digest length in bytes."""
        self.oid = oid
        """NIST object identifier (RFC 5754)."""
        self._hash = getattr(hashlib, hashlib_name)

    def digest(self, data: bytes) -> bytes:
        """The hash of ``data``."""
        digest: bytes = self._hash(data).digest()
        return digest

    @classmethod
    def parse(cls, name: str, *, what: str) -> HashAlgorithm:
        """By protobuf name, for example ``SHA2_256``; Malformed otherwise."""
        try:
            return cls[name]
        except KeyError as error:
            raise Malformed(f"{what} is {shown(name)}, expected one of {', '.join(cls.__members__)}") from error

    @classmethod
    def by_oid(cls, oid: str, *, what: str) -> HashAlgorithm:
        """By object identifier; Malformed when it is none of the SHA-2 family above."""
        algorithm = _BY_OID.get(oid)
        if algorithm is not None:
            return algorithm
        raise Malformed(f"{what} is {oid}, expected SHA-256, SHA-384 or SHA-512")


_BY_OID = {algorithm.oid: algorithm for algorithm in HashAlgorithm}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one PublicKeyDetails value signs. ``size`` is the curve's or the modulus' length in bits."""

    number: int
    family: str
    """``ecdsa``, ``ed25519``, ``ed25519ph``, ``rsa-pkcs1v15`` or ``rsa-pss``."""
    size: int
    hash: HashAlgorithm


class KeyDetails(Enum):
    """PublicKeyDetails that this project signs or verifies with."""

    PKIX_ECDSA_P256_SHA_256 = Scheme(5, "ecdsa", 256, HashAlgorithm.SHA2_256)
    PKIX_ECDSA_P384_SHA_384 = Scheme(12, "ecdsa", 384, HashAlgorithm.SHA2_384)
    PKIX_ECDSA_P521_SHA_512 = Scheme(13, "ecdsa", 521, HashAlgorithm.SHA2_512)
    PKIX_ED25519 = Scheme(7, "ed25519", 256, HashAlgorithm.SHA2_512)
    PKIX_ED25519_PH = Scheme(8, "ed25519ph", 256, HashAlgorithm.SHA2_512)
    PKIX_RSA_PKCS1V15_2048_SHA256 = Scheme(9, "rsa-pkcs1v15", 2048, HashAlgorithm.SHA2_256)
    PKIX_RSA_PKCS1V15_3072_SHA256 = Scheme(10, "rsa-pkcs1v15", 3072, HashAlgorithm.SHA2_256)
    PKIX_RSA_PKCS1V15_4096_SHA256 = Scheme(11, "rsa-pkcs1v15", 4096, HashAlgorithm.SHA2_256)
    PKIX_RSA_PSS_2048_SHA256 = Scheme(16, "rsa-pss", 2048, HashAlgorithm.SHA2_256)
    PKIX_RSA_PSS_3072_SHA256 = Scheme(17, "rsa-pss", 3072, HashAlgorithm.SHA2_256)
    PKIX_RSA_PSS_4096_SHA256 = Scheme(18, "rsa-pss", 4096, HashAlgorithm.SHA2_256)

    @property
    def hash(self) -> HashAlgorithm:
        """The hash that goes with the scheme."""
        return self.value.hash

    @classmethod
    def parse(cls, name: str, *, what: str) -> KeyDetails:
        """By protobuf name; Malformed otherwise."""
        try:
            return cls[name]
        except KeyError as error:
            raise Malformed(f"{what} is {shown(name)}, expected one of {', '.join(cls.__members__)}") from error
