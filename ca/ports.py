# SPDX-License-Identifier: Apache-2.0
"""What the authority needs from others. Structural: whoever has the methods fits, no import needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sigcore.keys import PublicKey
from sigcore.sct import SignedCertificateTimestamp
from sigcore.values import dataclass


class CertificateLog(Protocol):
    """A certificate-transparency log that takes precertificates (RFC 6962 section 4.2)."""

    async def add_pre_chain(self, chain: Sequence[bytes]) -> SignedCertificateTimestamp:
        """Log ``chain`` (DER: precertificate, issuer, ..., root) durably, then answer with its SCT.

        Raises:
            Unavailable: the log took nothing, or it is not known whether it did.
            Refused: the log does not accept this chain.
        """


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A public key and the one JWS algorithm that it is used with."""

    key: PublicKey
    algorithm: str


class KeySet(Protocol):
    """The keys of one issuer. An id means something only inside the set of its issuer."""

    async def find(self, key_id: str) -> TokenKey:
        """The key with exactly this ``kid``.

        Raises:
            Refused: the set has no such key.
            Unavailable: the set could not be read.
        """


class Fetch(Protocol):
    """Reads a document of an issuer."""

    async def __call__(self, url: str, *, limit: int) -> bytes:
        """The body of ``url``, at most ``limit`` bytes. No redirect leaves the host.

        Raises:
            SigError: there is no such answer in time; the message is for the operator.
        """
