# SPDX-License-Identifier: Apache-2.0
"""What a witness has cosigned, in one SQLite file. ``synchronous=FULL``: a swap is on the disk when it returns.

The file is opened by the first request: most stacks are nobody's witness.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from sigcore.errors import Refused, Unavailable
from tlog.storage.worker import Worker
from tlog.witness import Seen

MEMORY: Final = "witness.db"
"""Its name among the anchors."""
FORMAT: Final = 1
_PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF", "busy_timeout = 5000")
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,"
    " time_ms INTEGER NOT NULL) WITHOUT ROWID"
)
_INSERT: Final = "INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_UPDATE: Final = (
    "UPDATE seen SET size = ?, root = ?, time_ms = ? WHERE origin = ? AND size = ? AND root = ? AND time_ms = ?"
)
_LATER: Final = (
    "INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET size = excluded.size, root = excluded.root,"
    " time_ms = max(time_ms, excluded.time_ms) WHERE excluded.size >= size"
)

_T = TypeVar("_T")


class SqliteWitnessStore:
    """A :class:`~tlog.witness.WitnessStore` in the file ``path``, on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: Worker | None = None
        self._connection: sqlite3.Connection | None = None

    async def read(self, origin: str) -> Seen | None:
        """See :class:`~tlog.witness.WitnessStore`."""
        return await self._run(lambda database: _read(database, origin))

    async def swap(self, origin: str, previous: Seen | None, current: Seen) -> bool:
        """See :class:`~tlog.witness.WitnessStore`."""
        return await self._run(lambda database: _swap(database, origin, previous, current))

    async def latest_ms(self) -> int:
        """See :class:`~tlog.witness.WitnessStore`."""
        return await self._run(_latest_ms)

    async def close(self) -> None:
        """Release the file; harmless where it is not open."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.run(self._disconnect)
            thread.close()

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._thread is None:
            self._thread = Worker(self._path.name)
        return await self._thread.run(lambda: self._do(work))

    def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with _failures(self._path):
            try:
                return work(self._connect())
            except (sqlite3.Error, OSError):
                self._disconnect()  # SQLite must not be asked again about a write whose outcome it does not know
                raise

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connected(self._path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _read(database: sqlite3.Connection, origin: str) -> Seen | None:
    row = database.execute("SELECT size, root, time_ms FROM seen WHERE origin = ?", (origin,)).fetchone()
    return Seen(*row) if row else None


def _swap(database: sqlite3.Connection, origin: str, previous: Seen | None, current: Seen) -> bool:
    """One statement is one transaction."""
    values = (current.size, current.root, current.time_ms)
    if previous is None:
        return database.execute(_INSERT, (origin, *values)).rowcount == 1
    expected = (origin, previous.size, previous.root, previous.time_ms)
    return database.execute(_UPDATE, (*values, *expected)).rowcount == 1


def _latest_ms(database: sqlite3.Connection) -> int:
    (latest,) = database.execute("SELECT coalesce(max(time_ms), 0) FROM seen").fetchone()
    return int(latest)


def keep_memory(restored: Path, left: Path) -> None:
    """``restored`` remembers of each log what ``left`` does, where that is more; nothing is done where ``left`` is not there.

    Raises:
        Unavailable: one of them cannot be read or written.
    """
    if not left.exists():
        return
    with _failures(restored), closing(_connected(restored)) as database:
        with closing(sqlite3.connect(f"file:{quote(str(left))}?mode=ro", uri=True)) as other:
            rows = other.execute("SELECT origin, size, root, time_ms FROM seen").fetchall()
        database.executemany(_LATER, rows)


def _connected(path: Path) -> sqlite3.Connection:
    """The file, made where it is not there. Refused: it has a newer format."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise Refused(f"{path} has format {version}, this program knows {FORMAT}", "use a newer sigbox")
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    return connection


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "nothing is cosigned until it can be written"
        raise Unavailable(f"the witness's memory {path} failed: {error}", hint) from error
