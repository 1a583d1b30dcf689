# SPDX-License-Identifier: Apache-2.0
"""That the witnesses of a policy have cosigned the checkpoints of a bundle: the log shows everybody the tree that holds the entry.

Imported only where a witness policy is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from client.verify.bodies import kind_of
from client.verify.entry import VerifiedEntry
from sigcore.cosignature import Cosignature
from sigcore.errors import Refused
from sigcore.log_entry import LogEntry
from sigcore.strict import encode_time, shown
from sigcore.tlog_policy import TlogPolicy, describe_quorum, verify_witnessed
from sigcore.values import dataclass

_V1: Final = "a log of Rekor v1 asks no witnesses: sign into one of Rekor v2 that does, with --rekor-version 2"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """One cosignature, by the witness that the policy calls ``name``."""

    name: str
    found: Cosignature

    @property
    def time(self) -> str:
        """When it was made, as the witness says."""
        try:
            return encode_time(datetime.fromtimestamp(self.found.time_s, UTC))
        except (ValueError, OverflowError, OSError):
            return f"{self.found.time_s} s, no moment of the calendar"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The tree of ``size`` leaves at ``log`` is cosigned as ``rule`` demands."""

    log: str
    size: int
    rule: str
    cosignatures: tuple[Cosigned, ...]


def verify_witnesses(
    entries: Sequence[LogEntry], verified: Sequence[VerifiedEntry], policy: TlogPolicy
) -> tuple[Witnessed, ...]:
    """What the witnesses say of each of ``entries``, which ``verified`` says hold.

    1. Every entry has a checkpoint. A promise of Rekor v1 alone is none: nobody but the log has seen anything.
    2. Each checkpoint is of a log of the policy and cosigned by its quorum.

    Every one, and not some: an entry that nobody has witnessed is no more trusted because it stands beside another one.

    Raises:
        Refused: one of these does not hold. Malformed: as :func:`sigcore.tlog_policy.verify_witnessed`.
    """
    return tuple(_witnessed(entry, one, policy) for entry, one in zip(entries, verified, strict=True))


def _witnessed(entry: LogEntry, verified: VerifiedEntry, policy: TlogPolicy) -> Witnessed:
    if entry.proof is None or not entry.proof.checkpoint:  # 1
        raise Refused(
            f"the log entry has no checkpoint, only a promise of the log {shown(verified.log)}, "
            f"expected one that is cosigned: {describe_quorum(policy)}",
            _V1,
        )
    try:
        return witnessed_head(entry.proof.checkpoint, verified.log, verified.size, policy)  # 2
    except Refused as error:
        if kind_of(entry).generation == 1:
            raise type(error)(error.message, _V1) from error
        raise


def witnessed_head(envelope: str, log: str, size: int, policy: TlogPolicy) -> Witnessed:
    """The signed checkpoint in ``envelope`` with those who have cosigned it. Errors as :func:`sigcore.tlog_policy.verify_witnessed`.

    What the caller must do: verify that it is signed by the log at ``log`` and of ``size`` leaves.
    """
    found = verify_witnessed(envelope, policy)
    cosigned = tuple(Cosigned(one.name, cosignature) for one, cosignature in found)
    return Witnessed(log, size, describe_quorum(policy), cosigned)
