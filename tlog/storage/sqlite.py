# SPDX-License-Identifier: Apache-2.0
"""A log in one SQLite file: one read-write connection on a thread of its own, one read-only connection for everyone else.

Durability: WAL with ``synchronous=FULL``: COMMIT returns after the write-ahead log is on disk (SQLite, "PRAGMA synchronous").
Reads run on the caller's thread: they are point look-ups in cached pages, cheaper than a change of threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar
from urllib.parse import quote

from sigcore.errors import NotFound, Refused, Unavailable
from tlog.storage.base import Batch, Head, Key, damaged, guard_of, nothing
from tlog.storage.lock import FileLock
from tlog.storage.rows import insert_rows
from tlog.storage.worker import Worker
from tlog.submission import Submission

SCHEMA_VERSION: Final = 1
_ROW: Final = 56
"""Tile row ids are ``level << 56 | index``: indexes of a tree of 2**63 leaves have at most 55 bits."""
_PRAGMAS: Final = (
    "page_size = 32768",  # of a new file: entries of 1.4 KB leave a third of smaller pages empty
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 256",  # 8 MiB: folded in often enough that nobody waits long for it
    "trusted_schema = OFF",
    "cell_size_check = ON",
)

_T = TypeVar("_T")


class SqliteStore:
    """A :class:`~tlog.storage.base.LogStore` in the file ``path``; ``path`` + ``.lock`` is its lock file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        self._thread: Worker | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._epoch = 0

    # --- ownership -------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Lock, migrate when due, raise the epoch."""
        self._lock.acquire()
        self._thread = Worker(self._path.name)
        try:
            await self._write(self._connect)
            self._epoch = await self._write(self._take_over)
            self._reader = self._connect_reader()
        except BaseException:
            await self.close()
            raise

    def open_for_reading(self) -> None:
        """Beside whoever owns the log: no lock is taken and nothing written; only the reading calls work."""
        self._reader = self._connect_reader()

    async def reopen(self) -> None:
        """New connections: SQLite must not be asked again about a write whose outcome it does not know.

        The reading one is kept until there is another: what was published never changes, and is read on while the disk
        takes no writes. It keeps the shared memory of the write-ahead log as well, in which a commit that failed is not.
        """
        await self._write(self._disconnect)
        await self._write(self._connect)
        await self._write(self._check_owner)
        reader = self._connect_reader()
        self._close_reader()
        self._reader = reader

    async def close(self) -> None:
        """Fold the write-ahead log into the file, close, unlock."""
        self._close_reader()
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await thread.run(self._disconnect)
            thread.close()
        self._lock.release()

    def _connect(self) -> None:
        with _failures("the log's database cannot be opened"):
            _create(self._path)
            # Two threads have it, one at a time: see ``known``.
            connection = sqlite3.connect(
                self._path, isolation_level=None, cached_statements=32, check_same_thread=False
            )
            self._writer = connection
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise Refused(
                    f"the log's database has format {version}, this program knows formats up to {SCHEMA_VERSION}",
                    "use the newer program that wrote it, or restore a backup of before the update",
                )
            if version < SCHEMA_VERSION:
                from tlog.storage.schema import migrate  # noqa: PLC0415  # sqlite-utils takes 200 ms to import

                migrate(connection)

    def _disconnect(self) -> None:
        connection, self._writer = self._writer, None
        if connection is not None:
            connection.close()  # the last connection also checkpoints and removes the write-ahead log

    def _connect_reader(self) -> sqlite3.Connection:
        with _failures("the log's database cannot be opened for reading"):
            return sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, isolation_level=None)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _take_over(self) -> int:
        with self._transaction() as connection:
            connection.execute("UPDATE head SET epoch = epoch + 1")
            (epoch,) = connection.execute("SELECT epoch FROM head").fetchone()
        return int(epoch)

    def _check_owner(self) -> None:
        """Also that the disk takes writes: of an update that changes nothing SQLite writes nothing, of a header's field a page."""
        with self._transaction() as connection:
            self._fence(connection.execute("UPDATE head SET epoch = epoch WHERE epoch = ?", (self._epoch,)))
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    # --- write -----------------------------------------------------------------------------------------
    async def commit(
        self,
        batch: Batch,
        then: Callable[[], None] = nothing,
        check: Callable[[], object] = nothing,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """See :class:`~tlog.storage.base.LogStore`."""
        checked = SimpleQueue[bool]()

        def work() -> None:
            self._commit(batch, checked.get)
            then()

        stored = self._start(work)
        try:
            check()
        except BaseException:
            checked.put(False)
            with suppress(Refused, Unavailable):  # what the check has raised says more
                await stored
            raise
        checked.put(True)
        try:
            meanwhile()
        finally:
            await stored

    def _commit(self, batch: Batch, checked: Callable[[], bool]) -> None:
        head = batch.head
        if head.size != batch.first + len(batch.entries):
            raise Refused(f"the batch has {len(batch.entries)} entries from {batch.first}, and a head of {head.size}")
        values = [
            value
            for index, entry in enumerate(batch.entries, batch.first)
            for value in (index, entry.identity, guard_of(entry.identity, entry.extra), entry.leaf, entry.extra)
        ]
        with self._transaction() as connection:
            self._fence(
                connection.execute(
                    "UPDATE head SET size = ?, root = ?, timestamp_ms = ?, checkpoint = ? WHERE epoch = ? AND size = ?",
                    (head.size, head.root, head.timestamp_ms, head.checkpoint, self._epoch, batch.first),
                ),
                batch.first,
            )
            insert_rows(connection, "INSERT INTO entry (idx, identity, guard, leaf, extra)", 5, values)
            tiles = [value for tile in batch.tiles for value in (tile.level << _ROW | tile.index, tile.hashes)]
            insert_rows(connection, "INSERT INTO tile (id, hashes)", 2, tiles)
            if not checked():
                raise Refused("the batch was taken back")

    async def remember(self, keys: Sequence[Key], upto: int | None = None) -> None:
        """See :class:`~tlog.storage.base.LogStore`."""
        await self._write(lambda: self._remember(keys, upto))

    def _remember(self, keys: Sequence[Key], upto: int | None) -> None:
        with self._transaction() as connection:
            self._fence(
                connection.execute(
                    "UPDATE head SET remembered = coalesce(?, remembered) WHERE epoch = ?", (upto, self._epoch)
                )
            )
            values = [value for key in keys for value in (key.prefix, key.index)]
            insert_rows(connection, "INSERT OR IGNORE INTO seen (prefix, idx)", 2, values)

    async def _write(self, work: Callable[[], _T]) -> _T:
        return await self._start(work)

    def _start(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        if self._thread is None:
            raise Unavailable("the log's database is not open")
        return self._thread.start(work)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise Unavailable("the log's database is not open")
        connection = self._writer
        with _failures("the log's database failed"):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # After a failed COMMIT there may be no transaction left, or one whose fate only a new connection can tell.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _fence(self, cursor: sqlite3.Cursor, size: int | None = None) -> None:
        if cursor.rowcount == 1:
            return
        (epoch, found) = cursor.execute("SELECT epoch, size FROM head").fetchone()
        if epoch != self._epoch:
            raise Refused("the log has a new owner", "one log has one writer; stop this process")
        raise Refused(f"the batch begins at entry {size}, the log has {found}")

    # --- read ------------------------------------------------------------------------------------------
    async def head(self) -> Head | None:
        """See :class:`~tlog.storage.base.LogStore`."""
        query = "SELECT size, root, timestamp_ms, checkpoint FROM head"
        size, root, timestamp_ms, checkpoint = self._read_head(query, int, bytes, int, str)
        return Head(size, root, timestamp_ms, checkpoint) if size else None

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """See :class:`~tlog.storage.base.LogStore`; what was changed outside this program is Unavailable."""
        rows = self._read(
            "SELECT idx, leaf, identity, extra, guard FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", first, end
        )
        if len(rows) != end - first:
            raise NotFound(f"the entries {first} to {end - 1} are not all in the log")
        for index, (place, leaf, identity, extra, guard) in enumerate(rows, first):
            # A row whose key was changed is still met in its old place, and not found under either key.
            if place != index or not isinstance(leaf, bytes) or guard_of(identity, extra) != guard:
                raise damaged(f"an entry from {first} to {end - 1}")
        return tuple(Submission(leaf, identity, extra) for _, leaf, identity, extra, _ in rows)

    async def tile(self, level: int, index: int) -> bytes:
        """See :class:`~tlog.storage.base.LogStore`."""
        rows = self._read("SELECT hashes FROM tile WHERE id = ?", level << _ROW | index)
        if not rows:
            raise NotFound(f"the tile {level}/{index} is not complete")
        ((hashes,),) = rows
        if not isinstance(hashes, bytes):
            raise damaged(f"the tile {level}/{index}")
        return hashes

    async def candidates(self, prefix: int) -> tuple[int, ...]:
        """See :class:`~tlog.storage.base.LogStore`."""
        return tuple(index for (index,) in self._read("SELECT idx FROM seen WHERE prefix = ? ORDER BY idx", prefix))

    async def known(self, prefixes: Sequence[int]) -> tuple[Key, ...]:
        """See :class:`~tlog.storage.base.LogStore`.

        Asked of the writing connection: what it has written last is in its cache, and has left every other one's.
        """
        if len(prefixes) == 1:  # a lone entry waits for this, and a list takes longer
            rows = self._read("SELECT prefix, idx FROM seen WHERE prefix = ?", prefixes[0], connection=self._writer)
        else:
            query = "SELECT prefix, idx FROM seen WHERE prefix IN (SELECT value FROM json_each(?))"
            rows = self._read(query, json.dumps(list(prefixes)), connection=self._writer)
        return tuple(Key(*row) for row in rows)

    async def remembered(self) -> int:
        """See :class:`~tlog.storage.base.LogStore`."""
        (remembered,) = self._read_head("SELECT remembered FROM head", int)
        return int(remembered)

    def _read_head(self, query: str, *kinds: type) -> tuple[Any, ...]:
        rows = self._read(query)
        if len(rows) != 1 or not all(map(isinstance, rows[0], kinds)):
            raise damaged("the head of the log")
        return rows[0]

    def _read(
        self, query: str, *parameters: int | str, connection: sqlite3.Connection | None = None
    ) -> list[tuple[Any, ...]]:
        connection = connection or self._reader
        if connection is None:
            raise Unavailable("the log's database is not open")
        with _failures("the log's database cannot be read"):
            return connection.execute(query, parameters).fetchall()


def _create(path: Path) -> None:
    """An empty file that only its owner may read; SQLite gives its companions the same mode."""
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{what}: {error}", "check the disk; nothing is answered before it is stored") from error
