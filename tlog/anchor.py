# SPDX-License-Identifier: Apache-2.0
"""The anchor: the last signed checkpoint, kept outside the log's database and its backups.

A log that is restored from a backup looks whole and lacks its last entries; going on with it would sign a second history
under the same key. The anchor remembers what has been shown to the world: a log that is behind it is refused.
"""

from __future__ import annotations

from typing import Protocol

from sigcore.errors import Refused
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Anchored:
    """A checkpoint that may have been seen by someone: its size, root and signed text."""

    size: int
    root: bytes
    checkpoint: str


class Anchor(Protocol):
    """Durable memory of one checkpoint, moved by compare-and-swap."""

    async def open(self) -> None:
        """Make it usable. Unavailable when the storage fails; so do the other calls."""
        ...

    async def read(self) -> Anchored | None:
        """What was recorded last; None when nothing was."""
        ...

    async def advance(self, previous: Anchored | None, current: Anchored) -> None:
        """Record ``current`` durably if ``previous`` is what is recorded; Refused otherwise."""
        ...

    def advance_here(self, previous: Anchored | None, current: Anchored) -> None:
        """:meth:`advance`, on the thread of the caller, who waits."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class MemoryAnchor:
    """An :class:`Anchor` that lasts as long as the object: for tests and ephemeral stacks."""

    def __init__(self) -> None:
        self._anchored: Anchored | None = None

    async def open(self) -> None:
        """Nothing to open."""

    async def read(self) -> Anchored | None:
        """See :class:`Anchor`."""
        return self._anchored

    async def advance(self, previous: Anchored | None, current: Anchored) -> None:
        """See :class:`Anchor`."""
        self.advance_here(previous, current)

    def advance_here(self, previous: Anchored | None, current: Anchored) -> None:
        """See :class:`Anchor`."""
        if self._anchored != previous:
            raise moved(previous)
        self._anchored = current

    async def close(self) -> None:
        """Nothing to close."""


def moved(previous: Anchored | None) -> Refused:
    """What a compare-and-swap says that found another checkpoint than ``previous``."""
    return Refused(
        f"the anchor is not at size {previous.size if previous else 0} any more: another process signs for this log",
        "stop that process; one log has one signer",
    )
