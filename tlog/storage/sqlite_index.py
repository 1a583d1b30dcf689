# SPDX-License-Identifier: Apache-2.0
"""The search index in a SQLite file. A commit need not reach the disk at once (``synchronous=NORMAL``); it is whole or not there."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from sigcore.errors import Unavailable
from tlog.storage.rows import insert_rows
from tlog.storage.search_index import MAX_KEYS, Position
from tlog.storage.worker import Worker

FORMAT: Final = 1

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class SqliteIndex:
    """A :class:`~tlog.storage.search_index.SearchIndex` in the file ``path``: written on one thread, read on another. A wide search takes its time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing: Worker | None = None
        self._reading: Worker | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    # --- open and close ----------------------------------------------------------------------------------
    async def open(self, log_id: bytes) -> Position:
        """See :class:`~tlog.storage.search_index.SearchIndex`."""
        self._writing, self._reading = Worker(f"{self._path.name} (write)"), Worker(f"{self._path.name} (read)")
        try:
            position = await self._writing.run(lambda: self._connect(log_id))
            await self._reading.run(self._connect_reader)
        except BaseException:
            await self.close()
            raise
        return position

    async def close(self) -> None:
        """See :class:`~tlog.storage.search_index.SearchIndex`."""
        reading, self._reading = self._reading, None
        writing, self._writing = self._writing, None
        if reading is not None:
            await reading.run(self._disconnect_reader)
            reading.close()
        if writing is not None:
            await writing.run(self._disconnect)
            writing.close()

    def _connect_reader(self) -> None:
        with _failures(self._path):
            uri = f"file:{quote(str(self._path))}?mode=ro"
            self._reader = sqlite3.connect(uri, uri=True, isolation_level=None)

    def _disconnect_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _disconnect(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _connect(self, log_id: bytes) -> Position:
        with _failures(self._path):
            try:
                position = self._read_position(log_id)
            except sqlite3.DatabaseError as error:
                _log.warning("the search index %s is made anew: %s", self._path, error)
                position = None
            return position or self._make(log_id)

    def _read_position(self, log_id: bytes) -> Position | None:
        if not self._path.exists():
            return None
        self._open()
        if self._execute("PRAGMA user_version") != [(FORMAT,)]:
            return None
        rows = self._execute("SELECT size, mark FROM position WHERE log = ?", log_id)
        return Position(*rows[0]) if rows else None

    def _make(self, log_id: bytes) -> Position:
        self._disconnect()
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._open()
        with self._transaction() as writer:
            writer.execute(
                "CREATE TABLE found (key BLOB NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (key, idx)) WITHOUT ROWID"
            )
            writer.execute(
                "CREATE TABLE position (id INTEGER PRIMARY KEY CHECK (id = 1), log BLOB NOT NULL, size INTEGER NOT NULL,"
                " mark BLOB NOT NULL)"
            )
            writer.execute("INSERT INTO position VALUES (1, ?, 0, x'')", (log_id,))
            writer.execute("PRAGMA user_version = 1")
        return Position()

    def _open(self) -> None:
        self._writer = sqlite3.connect(self._path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "trusted_schema = OFF"):
            self._writer.execute(f"PRAGMA {pragma}")

    # --- write -------------------------------------------------------------------------------------------
    async def add(self, rows: Sequence[tuple[bytes, int]], position: Position) -> None:
        """See :class:`~tlog.storage.search_index.SearchIndex`."""
        await self._run(lambda: self._add(rows, position))

    async def clear(self) -> None:
        """See :class:`~tlog.storage.search_index.SearchIndex`."""
        await self._run(self._clear)

    def _add(self, rows: Sequence[tuple[bytes, int]], position: Position) -> None:
        with _failures(self._path), self._transaction() as writer:
            insert_rows(writer, "INSERT OR IGNORE INTO found", 2, [value for row in rows for value in row])
            writer.execute("UPDATE position SET size = ?, mark = ?", (position.size, position.mark))

    def _clear(self) -> None:
        with _failures(self._path), self._transaction() as writer:
            writer.execute("DELETE FROM found")
            writer.execute("UPDATE position SET size = 0, mark = x''")

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._writing is None:
            raise Unavailable("the search index is not open")
        return await self._writing.run(work)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise Unavailable("the search index is not open")
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _execute(self, statement: str, *parameters: bytes) -> list[tuple[Any, ...]]:
        if self._writer is None:
            raise Unavailable("the search index is not open")
        return self._writer.execute(statement, parameters).fetchall()

    # --- read --------------------------------------------------------------------------------------------
    async def find(self, keys: Sequence[bytes], *, every: bool, limit: int) -> set[int]:
        """See :class:`~tlog.storage.search_index.SearchIndex`."""
        if self._reading is None:
            raise Unavailable("the search index is not open")
        return await self._reading.run(lambda: self._find(keys, every=every, limit=limit))

    def _find(self, keys: Sequence[bytes], *, every: bool, limit: int) -> set[int]:
        if self._reader is None:
            raise Unavailable("the search index is not open")
        repeated = [keys[0]] * (MAX_KEYS - len(keys))
        needed = len(keys) if every else 1
        with _failures(self._path):
            rows = self._reader.execute(
                "SELECT idx FROM found WHERE key IN (?, ?, ?, ?) GROUP BY idx HAVING count(*) >= ? ORDER BY idx LIMIT ?",
                (*keys, *repeated, needed, limit),
            ).fetchall()
        return {index for (index,) in rows}


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "the file can be deleted while nothing runs: it is made anew from the log"
        raise Unavailable(f"the search index {path} failed: {error}", hint) from error
