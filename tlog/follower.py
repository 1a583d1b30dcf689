# SPDX-License-Identifier: Apache-2.0
"""What a host that does not write knows of a log: the published state, followed commit by commit, and believed only when it fits.

Catching up:

1. Read the head. A smaller one than has been shown here, or another root at the same size, is refused.
2. Read the entries in between, hash them, grow the tree: its root must be the head's, and the checkpoint the log's signature over it.
3. Move this host's anchor: from here on it remembers that the head may have been seen.
4. Publish.
"""

from __future__ import annotations

from typing import Final

from sigcore import merkle
from sigcore.errors import Refused
from sigcore.merkle import Hash
from sigcore.values import dataclass
from tlog.anchor import Anchor, Anchored
from tlog.publish import Publisher
from tlog.recent import Recent
from tlog.recovery import check_signed, keys_of, recover
from tlog.storage.base import Head, LogStore
from tlog.submission import Submission
from tlog.tree import grow
from tlog.view import View

READ_ENTRIES: Final = 2048
"""Entries of one read, about 3 MB."""
FAR_BEHIND: Final = 65_536
"""Entries after which it is cheaper to begin anew than to hash them all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A new entry, as it is in the log."""

    index: int
    entry: Submission
    leaf_hash: Hash


class Follower:
    """Reads from ``store``; ``anchor`` is this host's own, and both are open."""

    view: View
    _recent: Recent

    def __init__(self, store: LogStore, anchor: Anchor, publisher: Publisher) -> None:
        self._store = store
        self._anchor = anchor
        self._publisher = publisher

    async def load(self) -> None:
        """Begin, or begin anew. Refused, Unavailable: as :func:`tlog.recovery.recover`."""
        self.view, self._recent = await recover(self._store, self._anchor, self._publisher)

    def recent(self, key: bytes) -> int | None:
        """The same, of the newest entries only."""
        return self._recent.get(key)

    async def find(self, key: bytes) -> int | None:
        """The index of the published entry with this identity or leaf hash; exact."""
        index = self._recent.get(key)
        return await self.view.find(key) if index is None else index

    async def catch_up(self) -> tuple[Seen, ...]:
        """Publish what has been committed since; the answer is the new entries, or nothing after it began anew.

        Raises:
            Refused: the database is not what it was. Unavailable: it cannot be read.
        """
        head, size = await self._store.head(), self.view.size
        self._check_forward(head)  # (1)
        if head is None or head.size == size:
            return ()
        if head.size - size > FAR_BEHIND:
            await self.load()
            return ()
        seen = await self._read(size, head.size)
        growth = grow(self.view.tree, [one.leaf_hash for one in seen])
        check_signed(head, growth.tree, self._publisher)  # (2)
        await self._anchor.advance(await self._anchor.read(), Anchored(head.size, head.root, head.checkpoint))  # (3)
        self.view.publish(growth, head)  # (4)
        for one in seen:
            self._recent.add(one.index, keys_of(one.entry, one.leaf_hash))
        if self._recent.due():
            self._recent.forget(await self._store.remembered())
        return tuple(seen)

    def _check_forward(self, head: Head | None) -> None:
        size = head.size if head else 0
        if size < self.view.size or (head and size == self.view.size and head.root != self.view.head.root):
            raise Refused(
                f"the log's database has {size} entries and is not the one that had {self.view.size} before",
                "an older copy of the database took its place: bring the newer one back",
            )

    async def _read(self, first: int, end: int) -> list[Seen]:
        seen: list[Seen] = []
        for start in range(first, end, READ_ENTRIES):
            for entry in await self._store.entries(start, min(start + READ_ENTRIES, end)):
                seen.append(Seen(first + len(seen), entry, merkle.hash_leaf(entry.leaf)))
        return seen
