# SPDX-License-Identifier: Apache-2.0
"""``--seed N``: the same keys and chains at every start of an ephemeral stack; a test can keep its trust root in a file.

A key is HMAC-SHA256 of its name under the seed: Ed25519 takes 32 bytes as they are, P-256 takes 48 bytes modulo the order
(FIPS 186-5 appendix A.2.1, whose bias of 2**-128 nobody can see). Whoever knows the number knows every key: that is the
point, and why only an ephemeral stack, UNTRUSTED in every certificate, takes one. The provider's RSA key is made by
:mod:`stack.seeded_rsa`. Random stays what users have of their own, and what lasts for one start: a certificate of TLS, keys of
other issuers, the next key of the provider after a rotation.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import keys
from sigcore.values import dataclass

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SEED_BITS: Final = 63
RSA_BITS: Final = 2048
CREATED: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""When a seeded stack says that it was made: the trust root is the same on every day."""
LIFE: Final = timedelta(days=36525)
"""Its authorities and its first TUF root live a century, since they are born old."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Makes the keys and serial numbers of a stack by name; ``seed`` None makes them at random."""

    seed: int | None = None

    def p256(self, name: str) -> ec.EllipticCurvePrivateKey:
        """An ECDSA P-256 key."""
        if self.seed is None:
            return keys.generate_p256()
        number = int.from_bytes(self._bytes(f"{name}/1") + self._bytes(f"{name}/2")[:16], "big")
        return ec.derive_private_key(number % (P256_ORDER - 1) + 1, ec.SECP256R1())

    def ed25519(self, name: str) -> ed25519.Ed25519PrivateKey:
        """An Ed25519 key."""
        generate: Callable[[], ed25519.Ed25519PrivateKey] = ed25519.Ed25519PrivateKey.generate
        return generate() if self.seed is None else ed25519.Ed25519PrivateKey.from_private_bytes(self._bytes(name))

    def rsa2048(self, name: str) -> rsa.RSAPrivateKey:
        """An RSA key, as the provider has it."""
        if self.seed is None:
            return rsa.generate_private_key(keys.RSA_EXPONENT, RSA_BITS)
        from stack.seeded_rsa import make_rsa  # noqa: PLC0415 - few stacks have a seed

        return make_rsa(lambda part: self._bytes(f"{name}/{part}"))

    def serial(self, name: str) -> int | None:
        """The serial number of a certificate; None where it shall be random."""
        return None if self.seed is None else int.from_bytes(self._bytes(f"serial of {name}")[:16], "big") + 1

    def _bytes(self, name: str) -> bytes:
        return hmac.digest(f"sigbox seed {self.seed}".encode(), name.encode(), hashlib.sha256)
