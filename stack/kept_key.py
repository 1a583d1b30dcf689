# SPDX-License-Identifier: Apache-2.0
"""Private keys that never leave where they are kept: what they share, beside signing, with the keys of ``cryptography``."""

from __future__ import annotations

from typing import Any, NoReturn, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sigcore.errors import Refused


class KeptKey:
    """What such a key can only refuse. ``kept`` says which it is and where, for people."""

    kept = ("the key", "its place")

    def private_numbers(self) -> NoReturn:
        """Not for these keys."""
        self._never()

    def private_bytes(
        self,
        encoding: serialization.Encoding,  # noqa: ARG002 - the interface's
        format: serialization.PrivateFormat,  # noqa: A002, ARG002 - the interface's
        encryption_algorithm: serialization.KeySerializationEncryption,  # noqa: ARG002 - the interface's
    ) -> NoReturn:
        """Not for these keys."""
        self._never()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def _never(self) -> NoReturn:
        key, place = self.kept
        raise Refused(f"{key} does not leave {place}", "it signs there, and does nothing else")


class KeptEcdsaKey(KeptKey, ec.EllipticCurvePrivateKey):
    """An ECDSA key, whose public half is ``public_key``; whoever inherits it signs."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey) -> None:
        self._public_key = public_key

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """That of the public half."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits of the order."""
        return self._public_key.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:  # noqa: ARG002 - the interface's
        """Not for these keys."""
        self._never()


class KeptRsaKey(KeptKey, rsa.RSAPrivateKey):
    """An RSA key, the same."""

    def __init__(self, public_key: rsa.RSAPublicKey) -> None:
        self._public_key = public_key

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public_key

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public_key.key_size

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> NoReturn:  # noqa: ARG002 - the interface's
        """Not for these keys."""
        self._never()
