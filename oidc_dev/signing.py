# SPDX-License-Identifier: Apache-2.0
"""Claims -> a signed ID token, and the key set that verifies it (RFC 7515, RFC 7517, RFC 7518 section 3.3).

RS256 and nothing else: openid-client and go-oidc expect it where discovery is silent, and cosign recognises a token on its
command line by that algorithm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from oidc_dev.claims import LIFETIME_S
from sigcore.keys import RSA_EXPONENT
from sigcore.strict import JSON, encode_base64url
from sigcore.values import dataclass

ALGORITHM: Final = "RS256"
OVERLAP: Final = timedelta(seconds=LIFETIME_S + 60)
"""A key stays published for as long after its last token was signed: that token's life, and a minute for clocks."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key and the ``kid`` that it is published under."""

    key: rsa.RSAPrivateKey
    id: str

    @classmethod
    def of(cls, key: rsa.RSAPrivateKey) -> SigningKey:
        """``key`` under the id of its public half: the same key has the same id after every start."""
        return cls(key, key_id(key.public_key()))


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A public key of ours that does not sign now: it will, or it did and is good until ``until``."""

    key: rsa.RSAPublicKey
    id: str
    until: datetime | None = None

    @classmethod
    def of(cls, key: rsa.RSAPublicKey, until: datetime | None = None) -> PublishedKey:
        """``key`` under its id."""
        return cls(key, key_id(key), until)


class KeyRing:
    """The keys of a provider: one signs; the next one and those before it are published beside it.

    So a rotation refuses no token: whoever has read the key set knows the next key already, and finds the last one until its
    tokens have ended.
    """

    def __init__(self, signing: SigningKey, others: Iterable[PublishedKey] = ()) -> None:
        self.signing = signing
        self._others = tuple(others)

    @classmethod
    def of(cls, key: rsa.RSAPrivateKey) -> KeyRing:
        """A ring of one key."""
        return cls(SigningKey.of(key))

    def replace(self, signing: SigningKey, others: Iterable[PublishedKey], *, now: datetime) -> None:
        """Sign with ``signing`` from ``now`` on.

        The key that signed up to now stays published for as long as its last token lives, whatever ``others`` say.
        """
        kept = list(others)
        if signing.id != self.signing.id:
            kept.append(PublishedKey.of(self.signing.key.public_key(), now + OVERLAP))
            kept += [one for one in self._others if one.until is not None]
        self.signing, self._others = signing, tuple(kept)

    @property
    def others(self) -> tuple[PublishedKey, ...]:
        """Those that do not sign now."""
        return self._others

    def published(self, now: datetime) -> dict[str, rsa.RSAPublicKey]:
        """The public keys by id, that which signs first."""
        found = {self.signing.id: self.signing.key.public_key()}
        for one in self._others:
            if one.until is None or now < one.until:
                found.setdefault(one.id, one.key)
        return found


def generate_rsa() -> rsa.RSAPrivateKey:
    """A fresh RSA-2048 key."""
    return rsa.generate_private_key(RSA_EXPONENT, 2048)


def mint(claims: Mapping[str, JSON], signing_key: SigningKey) -> str:
    """The ID token: a JWS in compact serialization."""
    # Deferred: PyJWT takes 60 ms to import, a tenth of a start; a stack imports it once it is ready.
    import jwt  # noqa: PLC0415 - see the line above

    return jwt.encode(dict(claims), signing_key.key, ALGORITHM, {"kid": signing_key.id})


def jwks(keys: Mapping[str, rsa.RSAPublicKey]) -> dict[str, JSON]:
    """The JWK set of ``keys``, by id."""
    return {"keys": [_jwk(name, key) for name, key in keys.items()]}


def key_id(key: rsa.RSAPublicKey) -> str:
    """The RFC 7638 thumbprint of ``key``."""
    modulus, exponent = _numbers(key)
    canonical = f'{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}'
    return encode_base64url(hashlib.sha256(canonical.encode("ascii")).digest())


def _jwk(name: str, key: rsa.RSAPublicKey) -> JSON:
    modulus, exponent = _numbers(key)
    return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": name, "n": modulus, "e": exponent}


def _numbers(key: rsa.RSAPublicKey) -> tuple[str, str]:
    """Modulus and exponent as Base64urlUInt (RFC 7518 section 2)."""
    numbers = key.public_numbers()
    octets = [encode_base64url(n.to_bytes((n.bit_length() + 7) // 8, "big")) for n in (numbers.n, numbers.e)]
    return octets[0], octets[1]
