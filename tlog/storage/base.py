# SPDX-License-Identifier: Apache-2.0
"""LogStore: what a log asks of its database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from zlib import crc32

from sigcore.errors import Unavailable
from sigcore.values import dataclass
from tlog.submission import Submission
from tlog.tree import FullTile


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a log after one batch.

    ``timestamp_ms`` (Unix time in milliseconds) is when it was signed and never decreases from one head to the next;
    ``checkpoint`` is the signed text that covers exactly ``size`` and ``root``.
    """

    size: int
    root: bytes
    timestamp_ms: int
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Batch:
    """One step of the log: ``entries`` take the indexes from ``first`` on, ``tiles`` become complete, ``head`` is the new head."""

    first: int
    entries: tuple[Submission, ...]
    tiles: tuple[FullTile, ...]
    head: Head


@dataclass(frozen=True, slots=True)
class Key:
    """An entry can be found by this 63-bit prefix of a 32-byte hash."""

    prefix: int
    index: int


def prefix_of(hash_: bytes) -> int:
    """The first 63 bits of a hash: what fits a signed 64-bit column."""
    return int.from_bytes(hash_[:8], "big") >> 1


def guard_of(identity: object, extra: object) -> int:
    """The CRC-32 of what the Merkle tree does not cover; -1, which no row has, where one of them is no bytes."""
    return crc32(extra, crc32(identity)) if isinstance(identity, bytes) and isinstance(extra, bytes) else -1


def damaged(what: str) -> Unavailable:
    """What is stored is not what was written."""
    return Unavailable(f"{what} is damaged", "restore the log from a backup")


def nothing() -> None:
    """What follows a commit when nothing does."""


class Shared:
    """A store that several hosts have: a log in it is served by :class:`tlog.elected.Elected`, on one of them at a time."""


class LogStore(Protocol):
    """Durable storage of one log, with exactly one writer.

    The consistency model, which ``tests/unit/tlog/test_storage.py`` checks on every store:

    1. Atomic. A batch (entries, tiles, head) is stored as a whole or not at all. Indexes are assigned by the caller and
       are dense: ``batch.first`` is the stored size, and ``batch.head.size`` is ``batch.first + len(batch.entries)``.
    2. Durable. When :meth:`commit` returns, the batch survives the loss of power.
    3. Committed reads. A reader sees the state after some batch, and never an earlier state than it has already seen.
    4. One writer. :meth:`open` takes the log over and raises its fencing epoch, which every write checks inside its own
       transaction: an older owner's next write is Refused and changes nothing.
    5. Unknown outcome. When :meth:`commit` or :meth:`remember` raises anything but Refused, the write may have happened.
       The caller stops writing, calls :meth:`reopen` and reads what is there; it never repeats the call in place.
    6. Immutable. What was committed never changes; there is no call that could.

    Beside the log stands an index of hashes, filled behind it in transactions of its own: :meth:`candidates` may name
    entries that only share the prefix, and may miss those from :meth:`remembered` on. Who wants an exact answer compares
    the entries and remembers the rest.

    Every call raises Unavailable when the storage fails, with what it said.
    """

    async def open(self) -> None:
        """Become the owner. Refused when another process is, or when the stored format is newer than this program."""
        ...

    async def reopen(self) -> None:
        """Forget everything that is not durable, connections included. Refused when the ownership was lost meanwhile."""
        ...

    async def close(self) -> None:
        """Give the ownership up; harmless when it is not held."""
        ...

    async def head(self) -> Head | None:
        """The head of the last batch; None before the first."""
        ...

    async def commit(
        self,
        batch: Batch,
        then: Callable[[], None] = nothing,
        check: Callable[[], object] = nothing,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """Store ``batch``; once it is durable call ``then``, which may block, and return when it has returned.

        What the caller has still to do need not be waited for twice: ``check`` and then ``meanwhile`` are called here, on the
        thread of the caller, as soon as a thread of the store has something to do. Nothing is committed before ``check`` has
        returned; what it raises is raised, and nothing is stored. ``meanwhile`` may be called while the disk is.

        Refused, with nothing stored, when the batch does not follow the stored head or the epoch is over. What ``then`` or
        ``meanwhile`` raises is raised; the batch may be stored all the same.
        """
        ...

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """The entries [first, end). NotFound when one of them is not there."""
        ...

    async def tile(self, level: int, index: int) -> bytes:
        """The hashes of a complete tile. NotFound when it is not there."""
        ...

    async def candidates(self, prefix: int) -> tuple[int, ...]:
        """The indexes remembered under ``prefix``, lowest first."""
        ...

    async def known(self, prefixes: Sequence[int]) -> tuple[Key, ...]:
        """:meth:`candidates` of many prefixes at once, in no order; for the writer, while it writes nothing."""
        ...

    async def remembered(self) -> int:
        """All keys of the entries below this index are in the index of hashes."""
        ...

    async def remember(self, keys: Sequence[Key], upto: int | None = None) -> None:
        """Add ``keys`` (known ones are ignored); with ``upto`` also move :meth:`remembered` there."""
        ...
