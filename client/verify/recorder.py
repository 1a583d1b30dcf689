# SPDX-License-Identifier: Apache-2.0
"""What the steps of a verification have found so far: the flow recorder that ``--explain`` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.verify.entry import VerifiedEntry
from client.verify.identity import Signer
from client.verify.scts import VerifiedSct
from client.verify.signed import Signed
from client.verify.times import VerifiedTime
from sigcore.x509 import Certificate

if TYPE_CHECKING:
    from client.verify.witnessed import Witnessed


class Recorder:
    """What each step has found, as soon as it has: also there when a later step refuses.

    It decides nothing. A verification without a refusal is a :class:`client.verify.Verified`, and nothing else is.
    """

    __slots__ = ("chain", "decision", "entries", "scts", "signed", "signer", "times", "witnessed")

    def __init__(self) -> None:
        self.witnessed: tuple[Witnessed, ...] = ()
        self.signed: Signed | None = None
        self.times: tuple[VerifiedTime, ...] = ()
        self.chain: tuple[Certificate, ...] = ()
        self.scts: tuple[VerifiedSct, ...] = ()
        self.signer: Signer | None = None
        self.entries: tuple[VerifiedEntry, ...] = ()
        self.decision: tuple[tuple[str, str], ...] = ()
        """What a policy said, as (name, value) pairs; empty where none was asked."""
