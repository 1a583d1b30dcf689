# SPDX-License-Identifier: Apache-2.0
"""Who may write into a log: what it asks before it takes an entry whose signatures hold.

Without such rules it vouches for nothing but what was verified: anybody may add any well-formed entry.
"""

from __future__ import annotations

from typing import Protocol

from sigcore.errors import Refused


class Unwelcome(Refused):
    """The entry is sound, and this log is not for whoever signed it. Sending it again does not help."""


class Writers(Protocol):
    """The rules of one stack."""

    def check_certificate(self, der: bytes) -> None:
        """Raises Unwelcome where entries that this certificate verifies are not taken."""

    def check_key(self, spki: bytes) -> None:
        """Raises Unwelcome where entries that this bare public key (DER) verifies are not taken."""
