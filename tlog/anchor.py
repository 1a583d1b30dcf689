# SPDX-License-Identifier: Apache-2.0
"""The anchor: the last signed checkpoint, kept outside the log's database and its backups.

A log that is restored from a backup looks whole and lacks its last entries; going on with it would sign a second history
under the same key. The anchor remembers what has been shown to the world: a log that is behind it is refused.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from sigcore.errors import Refused, Unavailable
from sigcore.values import dataclass

_T = TypeVar("_T")


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
            raise _moved(previous)
        self._anchored = current

    async def close(self) -> None:
        """Nothing to close."""


class SqliteAnchor:
    """An :class:`Anchor` in a small SQLite database of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or create the file, readable by its owner only."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._path.name)
        try:
            await self._run(self._connect)
        except BaseException:
            await self.close()
            raise

    async def read(self) -> Anchored | None:
        """See :class:`Anchor`."""
        return await self._run(self._read)

    async def advance(self, previous: Anchored | None, current: Anchored) -> None:
        """See :class:`Anchor`."""
        await self._run(lambda: self.advance_here(previous, current))

    async def close(self) -> None:
        """Close the file; harmless when it is not open."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown()

    def _connect(self) -> None:
        with _failures():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # Used on two threads, which SQLite serialises (threading mode 3).
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS anchor (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL,"
                " root BLOB NOT NULL, checkpoint TEXT NOT NULL)"
            )

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _read(self) -> Anchored | None:
        with _failures():
            row = self._open().execute("SELECT size, root, checkpoint FROM anchor").fetchone()
        return Anchored(*row) if row else None

    def advance_here(self, previous: Anchored | None, current: Anchored) -> None:
        """See :class:`Anchor`. The commit that is to be anchored was made on the thread that calls: no time is lost between."""
        values = (current.size, current.root, current.checkpoint)
        with _failures():
            # One statement outside a transaction: SQLite commits it, and with FULL returns when it is on disk.
            if previous is None:
                cursor = self._open().execute("INSERT OR IGNORE INTO anchor VALUES (1, ?, ?, ?)", values)
            else:
                cursor = self._open().execute(
                    "UPDATE anchor SET size = ?, root = ?, checkpoint = ? WHERE size = ? AND root = ?",
                    (*values, previous.size, previous.root),
                )
        if cursor.rowcount != 1:
            raise _moved(previous)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unavailable("the anchor is not open")
        return self._connection

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._thread is None:
            raise Unavailable("the anchor is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def load_anchored(path: Path) -> Anchored | None:
    """What the :class:`SqliteAnchor` in ``path`` holds, without a change to it; None where there is none.

    Raises:
        Unavailable: it cannot be read.
    """
    if not path.exists():
        return None
    with _failures(), closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT size, root, checkpoint FROM anchor").fetchone()
    return Anchored(*row) if row else None


def _moved(previous: Anchored | None) -> Refused:
    return Refused(
        f"the anchor is not at size {previous.size if previous else 0} any more: another process signs for this log",
        "stop that process; one log has one signer",
    )


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"the anchor failed: {error}", "check the disk that holds it") from error
