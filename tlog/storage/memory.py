# SPDX-License-Identifier: Apache-2.0
"""A log in memory: for tests and ephemeral stacks. It is as durable as the object."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sigcore.errors import NotFound, Refused
from tlog.storage.base import Batch, Head, Key, nothing
from tlog.submission import Submission


class Memory:
    """What several :class:`MemoryStore` share, as several processes share a file."""

    def __init__(self) -> None:
        self.entries: list[Submission] = []
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.head: Head | None = None
        self.keys: dict[int, list[int]] = {}
        self.remembered = 0
        self.epoch = 0


class MemoryStore:
    """A :class:`~tlog.storage.base.LogStore` over a :class:`Memory`."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or Memory()
        self._epoch = 0

    async def open(self) -> None:
        """Raise the epoch. There is no lock: an owner that was replaced finds out with its next write."""
        self._memory.epoch += 1
        self._epoch = self._memory.epoch

    async def reopen(self) -> None:
        """Nothing to forget."""
        self._check_owner()

    async def close(self) -> None:
        """Nothing to close."""
        self._epoch = 0

    async def head(self) -> Head | None:
        """See :class:`~tlog.storage.base.LogStore`."""
        return self._memory.head

    async def commit(
        self,
        batch: Batch,
        then: Callable[[], None] = nothing,
        check: Callable[[], object] = nothing,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """See :class:`~tlog.storage.base.LogStore`."""
        self._check_owner()
        check()
        memory = self._memory
        if (batch.first, batch.head.size) != (len(memory.entries), len(memory.entries) + len(batch.entries)):
            raise Refused(
                f"the batch leads from {batch.first} to {batch.head.size} entries, the log has {len(memory.entries)}"
            )
        memory.entries.extend(batch.entries)
        memory.tiles.update(((tile.level, tile.index), tile.hashes) for tile in batch.tiles)
        memory.head = batch.head
        meanwhile()
        then()

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """See :class:`~tlog.storage.base.LogStore`."""
        found = tuple(self._memory.entries[first:end])
        if len(found) != end - first:
            raise NotFound(f"the entries {first} to {end - 1} are not all in the log")
        return found

    async def tile(self, level: int, index: int) -> bytes:
        """See :class:`~tlog.storage.base.LogStore`."""
        try:
            return self._memory.tiles[level, index]
        except KeyError as error:
            raise NotFound(f"the tile {level}/{index} is not complete") from error

    async def candidates(self, prefix: int) -> tuple[int, ...]:
        """See :class:`~tlog.storage.base.LogStore`."""
        return tuple(sorted(self._memory.keys.get(prefix, ())))

    async def known(self, prefixes: Sequence[int]) -> tuple[Key, ...]:
        """See :class:`~tlog.storage.base.LogStore`."""
        return tuple(Key(prefix, index) for prefix in set(prefixes) for index in self._memory.keys.get(prefix, ()))

    async def remembered(self) -> int:
        """See :class:`~tlog.storage.base.LogStore`."""
        return self._memory.remembered

    async def remember(self, keys: Sequence[Key], upto: int | None = None) -> None:
        """See :class:`~tlog.storage.base.LogStore`."""
        self._check_owner()
        for key in keys:
            known = self._memory.keys.setdefault(key.prefix, [])
            if key.index not in known:
                known.append(key.index)
        if upto is not None:
            self._memory.remembered = upto

    def _check_owner(self) -> None:
        if self._epoch != self._memory.epoch:
            raise Refused("the log has a new owner", "one log has one writer; stop this process")
