# SPDX-License-Identifier: Apache-2.0
"""A log takes no entries while its disk is nearly full, or may only be read. So the database is never met by the wall.

A write that fails has an unknown outcome: the log closes, and takes nothing until it has read back what is stored. What is kept
free here is room for a batch, the write-ahead log and the anchor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stack.shards import Shard

if TYPE_CHECKING:
    from stack.trees import Growing
    from tlog.log import Log

SPARE: Final = 16 * 2**20
"""Bytes that stay free: twice what SQLite's write-ahead log holds between two checkpoints."""
LOOK_S: Final = 0.25
"""Between two looks at the disk."""


class Room:
    """Why there is no room in ``folder``, as text; empty while there is, and where it cannot be found out."""

    __slots__ = ("_folder", "_looked", "_reason")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._looked = -LOOK_S
        self._reason = ""

    def __call__(self) -> str:
        """As it was within the last :data:`LOOK_S`."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked, self._reason = now, self._look()
        return self._reason

    def _look(self) -> str:
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return ""
        if disk.f_flag & os.ST_RDONLY:
            return "the file system is read-only"
        free = disk.f_bavail * disk.f_frsize
        return "" if free >= SPARE else f"the disk is full: {free >> 20} MiB are free, {SPARE >> 20} are kept"


def watch_room(home: Path, logs: Mapping[str, Log], trees: Iterable[Growing] = ()) -> None:
    """Let each of ``logs``, and of those that come to ``trees`` later, look at its disk before it takes an entry."""

    def watch(shard: Shard, log: Log) -> None:
        log.heed(Room(home / ("anchor" if log.shared else shard.place)))

    for name, log in logs.items():
        watch(Shard.of(name), log)
    for one in trees:
        one.arrivals.append(watch)
