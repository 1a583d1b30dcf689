# SPDX-License-Identifier: Apache-2.0
"""Where the search index is stored: in memory, or in a SQLite file of its own (:mod:`tlog.storage.sqlite_index`).

Nothing here is the only copy of anything: what is damaged, older, or of another log is thrown away and made anew from the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sigcore.values import dataclass

MAX_KEYS: Final = 4
"""Keys of one search; the statements have as many places."""


@dataclass(frozen=True, slots=True)
class Position:
    """The index covers the first ``size`` entries; ``mark`` is the leaf hash of the last one (empty at 0)."""

    size: int = 0
    mark: bytes = b""


class SearchIndex(Protocol):
    """Entries by key. Every call raises Unavailable when the storage fails."""

    async def open(self, log_id: bytes) -> Position:
        """Begin; an index of another log, or in another format, is emptied first."""
        ...

    async def add(self, rows: Sequence[tuple[bytes, int]], position: Position) -> None:
        """Store ``rows`` (key, entry) and ``position``, all or nothing."""
        ...

    async def clear(self) -> None:
        """Empty it."""
        ...

    async def find(self, keys: Sequence[bytes], *, every: bool, limit: int) -> set[int]:
        """At most ``limit`` of the entries under one of the (at most ``MAX_KEYS``, distinct) keys, or under ``every`` one."""
        ...

    async def close(self) -> None:
        """End; harmless when it is not open."""
        ...


class MemoryIndex:
    """A :class:`SearchIndex` that lasts as long as the object."""

    def __init__(self) -> None:
        self._log_id = b""
        self._position = Position()
        self._found: dict[bytes, set[int]] = {}

    async def open(self, log_id: bytes) -> Position:
        """See :class:`SearchIndex`."""
        if log_id != self._log_id:
            await self.clear()
            self._log_id = log_id
        return self._position

    async def add(self, rows: Sequence[tuple[bytes, int]], position: Position) -> None:
        """See :class:`SearchIndex`."""
        for key, index in rows:
            self._found.setdefault(key, set()).add(index)
        self._position = position

    async def clear(self) -> None:
        """See :class:`SearchIndex`."""
        self._found, self._position = {}, Position()

    async def find(self, keys: Sequence[bytes], *, every: bool, limit: int) -> set[int]:
        """See :class:`SearchIndex`."""
        found = [self._found.get(key, set()) for key in keys]
        both = set.intersection(*found) if every else set.union(*found)
        return set(sorted(both)[:limit])

    async def close(self) -> None:
        """Nothing to close."""
