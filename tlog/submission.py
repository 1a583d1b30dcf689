# SPDX-License-Identifier: Apache-2.0
"""What goes into a log and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sigcore.errors import Refused
from sigcore.values import dataclass

if TYPE_CHECKING:
    from tlog.publish import SigningClock


class Frozen(Refused):
    """The log takes nothing any more."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One entry, validated and canonical.

    ``leaf`` is hashed into the tree and served in entry bundles. ``identity`` (32 bytes) says when two submissions are the
    same entry: the second one gets the index of the first. ``extra`` is kept beside the leaf and is not part of the tree
    (Certificate Transparency: the chain and the promise that was given for it).
    """

    leaf: bytes
    identity: bytes
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Receipt:
    """That the entry ``index`` is in the tree of ``size`` leaves with this ``root``, durably, with the proof.

    The proof leads from ``leaf`` to ``root``, and ``checkpoint`` is the log's signature over ``size`` and ``root``.
    ``duplicate`` says that the entry was there before it was submitted this time; ``leaf`` and ``extra`` are then those of
    the first submission.
    """

    index: int
    leaf: bytes
    size: int
    root: bytes
    proof: tuple[bytes, ...]
    checkpoint: str
    duplicate: bool
    extra: bytes = b""


class Intake(Protocol):
    """Where entries are brought: a :class:`tlog.log.Log`, or the way to one in another process."""

    clock: SigningClock
    """The time that an entry may be signed with before it is brought."""

    @property
    def waiting(self) -> int:
        """Entries that were brought and are not answered yet."""

    async def submit(self, submission: Submission) -> Receipt:
        """Add an entry, or find it. Errors: as :meth:`tlog.sequencer.Sequencer.offer`."""
