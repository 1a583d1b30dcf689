# SPDX-License-Identifier: Apache-2.0
"""Search: entries by digest, identity, key or subject. A follower of the log, never in the way of an entry.

1. The stored index covers the entries below ``_stored``; it is written a batch at a time, when enough have gathered.
2. The entries from there on are in memory (the tail), as far as somebody has read them out of the log.
3. A look-up first reads the tail up to the published size, then asks both. So it sees every entry that was acknowledged.
4. What is moved from the tail to the store is in both for a moment, and never in neither.

At the start the stored index is compared with the log; one that covers other entries than the log has is made anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from sigcore import limits, merkle
from sigcore.errors import Malformed, SigError, Unavailable
from tlog.log import Log, Submission
from tlog.storage.search_index import Position, SearchIndex

BATCH_ENTRIES: Final = 1024
"""Entries of one transaction of the index; so many wait in the log before it is written."""
LAG_ENTRIES: Final = 8 * BATCH_ENTRIES
"""A look-up reads at most so many entries for itself; further behind, the index is being made anew."""
READ_ENTRIES: Final = 256
"""Entries that are read at once before others get their turn."""

KeysOf: TypeAlias = Callable[[Submission], Iterable[bytes]]
_log = logging.getLogger(__name__)


class Search:
    """The index of one log.

    Args:
        log: which; open from before :meth:`start` until after :meth:`stop`.
        log_id: what an index on disk is recognised by.
        index: where it is stored.
        keys_of: the digests of the keys that an entry is found by.
    """

    def __init__(self, log: Log, log_id: bytes, index: SearchIndex, keys_of: KeysOf) -> None:
        self._of = log
        self._log_id = log_id
        self._index = index
        self._keys_of = keys_of
        self._stored = 0
        self._tail: list[tuple[bytes, ...]] = []
        """The keys of the entries from ``_stored`` on."""
        self._by_key: dict[bytes, list[int]] = {}
        self._reading = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    # --- start and stop ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open the index, compare it with the log, begin to follow. Unavailable: the storage failed."""
        position = await self._index.open(self._log_id)
        if position != await self._position_at(position.size):
            _log.warning("the search index of %s is not of this log's entries: made anew", self._of.publisher.origin)
            await self._index.clear()
            position = Position()
        self._stored = position.size
        self._task = asyncio.create_task(self._follow(), name=f"search index of {self._of.publisher.origin}")
        self.nudge()

    async def _position_at(self, size: int) -> Position | None:
        if not 0 < size <= self._of.size:
            return Position() if size == 0 else None
        (last,) = await self._of.entries(size - 1, size)
        return Position(size, merkle.hash_leaf(last.leaf))

    async def stop(self) -> None:
        """Store what is left, so that the next start has nothing to read again."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            task, self._task = self._task, None
            await task
        await self._index.close()

    # --- follow ------------------------------------------------------------------------------------------
    def nudge(self) -> None:
        """The log has grown: write a batch when there are enough for one."""
        if self._of.size - self._stored >= BATCH_ENTRIES:
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._of.size - self._stored >= (1 if self._stopping else BATCH_ENTRIES):
                    await self._store_batch()
            except SigError as error:
                _log.warning("the search index of %s is behind: %s", self._of.publisher.origin, error)
            if self._stopping:
                return

    async def _store_batch(self) -> None:
        first, end = self._stored, min(self._stored + BATCH_ENTRIES, self._of.size)
        await self._read_to(end)
        keys = self._tail[: end - first]
        rows = sorted((key, index) for index, found in enumerate(keys, first) for key in found)
        position = await self._position_at(end)
        await self._index.add(rows, position or Position())
        # The store answers for them now: from here to the end without giving way.
        self._stored = end
        del self._tail[: end - first]
        for key, _ in rows:
            indexes = self._by_key[key]
            del indexes[0]
            if not indexes:
                del self._by_key[key]

    async def _read_to(self, end: int) -> None:
        async with self._reading:
            while (first := self._stored + len(self._tail)) < end:
                for entry in await self._of.entries(first, min(first + READ_ENTRIES, end)):
                    self._remember(self._stored + len(self._tail), tuple(dict.fromkeys(self._keys_of(entry))))
                await asyncio.sleep(0)

    def _remember(self, index: int, keys: tuple[bytes, ...]) -> None:
        self._tail.append(keys)
        for key in keys:
            self._by_key.setdefault(key, []).append(index)

    # --- look up -----------------------------------------------------------------------------------------
    async def find(self, keys: Sequence[bytes], *, every: bool = False) -> tuple[int, ...]:
        """The entries under one of the keys, or under ``every`` one, oldest first.

        Raises:
            Malformed: more than ``limits.SEARCH_RESULTS`` entries. Unavailable: the index is being made anew, or failed.
        """
        keys = tuple(dict.fromkeys(keys))
        if not keys:
            return ()
        size = self._of.size
        self.nudge()  # where other hosts add entries, nobody else does
        if size - self._stored > LAG_ENTRIES:
            raise Unavailable(f"the search index is at entry {self._stored} of {size}", "try again in a moment")
        await self._read_to(size)
        # The tail first: what moves to the store meanwhile is in both answers, and never in neither.
        recent = [set(self._by_key.get(key, ())) for key in keys]
        found = set.intersection(*recent) if every else set.union(*recent)
        found |= await self._index.find(keys, every=every, limit=limits.SEARCH_RESULTS + 1)
        if len(found) > limits.SEARCH_RESULTS:
            raise Malformed(
                f"the search matches more than {limits.SEARCH_RESULTS} entries", 'narrow it with "operator": "and"'
            )
        return tuple(sorted(found))
