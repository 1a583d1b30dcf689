# SPDX-License-Identifier: Apache-2.0
"""Keys of the newest entries, and how they move to the stored index of hashes.

A random index beside the entries would cost more than all other work of a commit together. So keys gather here first, and
when enough have gathered they are swept into the store: sorted by prefix, so that each small transaction touches few pages,
and with the position moved by the last one only. Until then a key is answered from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tlog.storage.base import Key, prefix_of

SWEEP_KEYS: Final = 32_768
"""Keys that start a sweep: about 6 MB of memory, and the most that a start after a crash has to read again, twice."""
CHUNK_KEYS: Final = 1_024
"""Keys in one transaction of a sweep: it holds up the next batch for a few milliseconds."""


class Recent:
    """Keys (32-byte hashes) of the entries from ``position`` on, each with its index."""

    def __init__(self, position: int, *, sweep_keys: int = SWEEP_KEYS, chunk_keys: int = CHUNK_KEYS) -> None:
        self._end = position
        self._gathering: dict[bytes, int] = {}
        self._sweeping: dict[bytes, int] = {}
        self._chunks: list[list[Key]] = []
        self._upto = position
        self._sweep_keys = sweep_keys
        self._chunk_keys = chunk_keys

    def add(self, index: int, keys: Iterable[bytes]) -> None:
        """The entry ``index``, which follows the last one that was added, has ``keys``. The first entry keeps a key."""
        for key in keys:
            self._gathering.setdefault(key, index)
        self._end = index + 1

    def get(self, key: bytes) -> int | None:
        """The index of the entry with ``key``, if it is a recent one."""
        index = self._sweeping.get(key)
        return self._gathering.get(key) if index is None else index

    def forget(self, position: int) -> None:
        """The store answers for the entries below ``position``: somebody else has stored their keys."""
        self._gathering = {key: index for key, index in self._gathering.items() if index >= position}

    def due(self) -> bool:
        """There is a chunk to store now."""
        return bool(self._chunks) or len(self._gathering) >= self._sweep_keys

    def begin(self) -> None:
        """Start a sweep of what has gathered, unless one is under way or there is nothing."""
        if self._chunks or not self._gathering:
            return
        self._sweeping, self._gathering = self._gathering, {}
        self._upto = self._end
        keys = sorted((prefix_of(key), index) for key, index in self._sweeping.items())
        step = self._chunk_keys
        self._chunks = [[Key(*key) for key in keys[start : start + step]] for start in range(0, len(keys), step)]
        self._chunks.reverse()

    def next(self) -> tuple[list[Key], int | None]:
        """The chunk to store next, and the new position when it is the last one. Call :meth:`stored` afterwards."""
        return self._chunks[-1], self._upto if len(self._chunks) == 1 else None

    def stored(self) -> None:
        """The chunk is in the store; after the last one the store answers for its keys."""
        self._chunks.pop()
        if not self._chunks:
            self._sweeping = {}
