# SPDX-License-Identifier: Apache-2.0
"""Claims -> a signed ID token, and the key set that verifies it (RFC 7515, RFC 7517, RFC 7518 section 3.3).

RS256 and nothing else: openid-client and go-oidc expect it where discovery is silent, and cosign recognises a token on its
command line by that algorithm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from sigcore.keys import RSA_EXPONENT
from sigcore.strict import JSON, encode_base64url

ALGORITHM: Final = "RS256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key and the ``kid`` that it is published under."""

    key: rsa.RSAPrivateKey
    id: str

    @classmethod
    def of(cls, key: rsa.RSAPrivateKey) -> SigningKey:
        """``key`` under its RFC 7638 thumbprint: the same key has the same id after every start."""
        modulus, exponent = _numbers(key)
        canonical = f'{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}'
        return cls(key, encode_base64url(hashlib.sha256(canonical.encode("ascii")).digest()))


def generate_rsa() -> rsa.RSAPrivateKey:
    """A fresh RSA-2048 key."""
    return rsa.generate_private_key(RSA_EXPONENT, 2048)


def mint(claims: Mapping[str, JSON], signing_key: SigningKey) -> str:
    """The ID token: a JWS in compact serialization."""
    # Deferred: PyJWT takes 60 ms to import, a tenth of a start; a stack imports it once it is ready.
    import jwt  # noqa: PLC0415 - see the line above

    return jwt.encode(dict(claims), signing_key.key, ALGORITHM, {"kid": signing_key.id})


def jwks(keys: Iterable[SigningKey]) -> dict[str, JSON]:
    """The JWK set of the public halves."""
    return {"keys": [_jwk(key) for key in keys]}


def _jwk(signing_key: SigningKey) -> JSON:
    modulus, exponent = _numbers(signing_key.key)
    return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": signing_key.id, "n": modulus, "e": exponent}


def _numbers(key: rsa.RSAPrivateKey) -> tuple[str, str]:
    """Modulus and exponent as Base64urlUInt (RFC 7518 section 2)."""
    numbers = key.public_key().public_numbers()
    octets = [encode_base64url(n.to_bytes((n.bit_length() + 7) // 8, "big")) for n in (numbers.n, numbers.e)]
    return octets[0], octets[1]
