# SPDX-License-Identifier: Apache-2.0
"""A log in PostgreSQL: one session that writes, holding the log's advisory lock, and a few that read.

Durability: COMMIT returns after the write-ahead log is on the server's disk; a server that is set to promise less is refused.
The lock ends with its session, however that ends. A writer that has lost it and does not know yet is stopped by the epoch, which
each of its statements compares within its own transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sigcore.errors import NotFound, Refused, Unavailable
from tlog.storage.base import Batch, Head, Key, damaged, guard_of, nothing
from tlog.storage.postgres_schema import migrate
from tlog.storage.postgres_session import (
    Readers,
    Session,
    check_durable,
    connect,
    failures,
    lock_key,
    schema_of,
)
from tlog.storage.worker import Worker
from tlog.submission import Submission

LOOKS: Final = 10
LOOK_S: Final = 0.05
"""A writer that has just ended holds its lock until the server has noticed."""
_COMMIT: Final = """
WITH fenced AS (
    UPDATE head SET size = $1, root = $2, timestamp_ms = $3, checkpoint = $4 WHERE epoch = $5 AND size = $6 RETURNING 1
), entries AS (
    INSERT INTO entry (idx, identity, guard, leaf, extra)
    SELECT $6 + place - 1, identity, guard, leaf, extra
    FROM unnest($7::bytea[], $8::bigint[], $9::bytea[], $10::bytea[]) WITH ORDINALITY
        AS new (identity, guard, leaf, extra, place)
    WHERE EXISTS (SELECT FROM fenced)
), tiles AS (
    INSERT INTO tile (level, idx, hashes)
    SELECT * FROM unnest($11::smallint[], $12::bigint[], $13::bytea[]) WHERE EXISTS (SELECT FROM fenced)
)
SELECT pg_notify($14, '') FROM fenced
"""
"""One statement, so one transaction and one exchange with the server; readers hear of it when it is committed."""
_REMEMBER: Final = """
WITH fenced AS (UPDATE head SET remembered = coalesce($1, remembered) WHERE epoch = $2 RETURNING 1), keys AS (
    INSERT INTO seen (prefix, idx) SELECT * FROM unnest($3::bigint[], $4::bigint[]) WHERE EXISTS (SELECT FROM fenced)
    ON CONFLICT DO NOTHING
)
SELECT 1 FROM fenced
"""
_HOLDER: Final = """
SELECT pid, coalesce(host(client_addr), 'this machine') AS place,
    CASE WHEN state LIKE 'idle%' OR wait_event_type = 'Client'
    THEN extract(epoch FROM clock_timestamp() - state_change)::float8 ELSE 0 END AS silent_s
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: the server's process for it, where it is, and for how long it has not said anything."""

    pid: int
    place: str
    silent_s: float


class InUse(Refused):
    """Somebody else writes to the log."""


class PostgresStore:
    """A :class:`~tlog.storage.base.LogStore` in the database ``url``, in the schema of ``log``."""

    def __init__(self, url: str, log: str) -> None:
        self.url = url
        self.schema = schema_of(log)
        self._thread: Worker | None = None
        self._writer: Session | None = None
        self._pid = 0
        """The server's process for the writer."""
        self._writing = asyncio.Lock()
        self._readers = Readers(url, self.schema)
        self._epoch = 0

    # --- ownership -------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Lock, migrate when due, raise the epoch."""
        try:
            await self.take_over()
            self._readers.open()
        except BaseException:
            await self.close()
            raise

    async def take_over(self) -> None:
        """Become the owner. InUse: another one is. Refused: the server may lose what it acknowledges. Then nothing has changed."""
        try:
            await self._connect()
            await self._lock()
            with failures("the log's database failed"):
                self._epoch = await self._session().fetchval("UPDATE head SET epoch = epoch + 1 RETURNING epoch")
            self._thread = Worker(self.schema)
        except BaseException:
            await self.release()
            raise

    def open_for_reading(self) -> None:
        """Beside whoever owns the log: no lock is taken and nothing written; only the reading calls work."""
        self._readers.open()

    async def reopen(self) -> None:
        """New sessions: of the old ones nobody knows what they still do, so the server is told to end the one that wrote."""
        await self._readers.close()
        self._drop_writer()
        await self._connect()
        found = await holder(self._session(), lock_key(self.schema))
        if found is not None and found.pid == self._pid:
            await evict(self._session(), found)
        await self._check_owner()
        await self._lock()
        # A write, not a look: it returns when everything before it is as durable, and as replicated, as the server is set to make it.
        with failures("the log's database failed"):
            still = await self._session().fetch(
                "UPDATE head SET epoch = epoch WHERE epoch = $1 RETURNING 1", self._epoch
            )
        if not still:
            raise _replaced()
        self._readers.open()

    async def release(self) -> None:
        """Give the ownership up; reading goes on."""
        session, self._writer = self._writer, None
        if session is not None:
            try:
                with failures("the lock cannot be given back"):
                    await session.execute("SELECT pg_advisory_unlock_all()")
                    await session.close(timeout=1)
            except BaseException as error:
                session.terminate()  # the server gives it back when it notices
                if not isinstance(error, Unavailable):
                    raise
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.close()

    async def close(self) -> None:
        """Let go of the lock, end all sessions."""
        await self.release()
        await self._readers.close()

    async def _connect(self) -> None:
        self._writer = session = await connect(self.url, self.schema)
        await check_durable(session)
        await migrate(session, self.schema)

    async def _lock(self) -> None:
        session = self._session()
        for look in range(LOOKS):
            with failures("the log's database failed"):
                if await session.fetchval("SELECT pg_try_advisory_lock($1, $2)", *lock_key(self.schema)):
                    self._pid = session.get_server_pid()
                    return
            if look < LOOKS - 1:
                await asyncio.sleep(LOOK_S)
        found = await holder(session, lock_key(self.schema))
        where = f"process {found.pid} of the database server, for {found.place}" if found else "another process"
        raise InUse(f"the log is in use by {where}", "one log has one writer at a time; the others stand by")

    def _drop_writer(self) -> None:
        session, self._writer = self._writer, None
        if session is not None:
            session.terminate()

    async def _check_owner(self) -> None:
        with failures("the log's database failed"):
            epoch = await self._session().fetchval("SELECT epoch FROM head")
        if epoch != self._epoch:
            raise _replaced()

    def _session(self) -> Session:
        if self._writer is None:
            raise Unavailable("the log's database is not open")
        return self._writer

    # --- write -----------------------------------------------------------------------------------------
    async def beat(self) -> None:
        """Show the others that the writer lives. Unavailable: the session does not."""
        if not self._writing.locked():
            async with self._write() as session:
                await session.fetchval("SELECT 1")

    async def commit(
        self,
        batch: Batch,
        then: Callable[[], None] = nothing,
        check: Callable[[], object] = nothing,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """See :class:`~tlog.storage.base.LogStore`. One statement stores a batch, so both are called before it is sent."""
        check()
        meanwhile()
        head, entries, tiles = batch.head, batch.entries, batch.tiles
        if head.size != batch.first + len(entries):
            raise Refused(f"the batch has {len(entries)} entries from {batch.first}, and a head of {head.size}")
        async with self._write() as session:
            done = await session.fetch(
                _COMMIT,
                *(head.size, head.root, head.timestamp_ms, head.checkpoint, self._epoch, batch.first),
                [entry.identity for entry in entries],
                [guard_of(entry.identity, entry.extra) for entry in entries],
                [entry.leaf for entry in entries],
                [entry.extra for entry in entries],
                [tile.level for tile in tiles],
                [tile.index for tile in tiles],
                [tile.hashes for tile in tiles],
                self.schema,
            )
            if not done:
                raise await self._refusal(session, batch.first)
        if then is not nothing:
            await self._here(then)

    async def remember(self, keys: Sequence[Key], upto: int | None = None) -> None:
        """See :class:`~tlog.storage.base.LogStore`."""
        async with self._write() as session:
            prefixes, indexes = [key.prefix for key in keys], [key.index for key in keys]
            if not await session.fetch(_REMEMBER, upto, self._epoch, prefixes, indexes):
                raise await self._refusal(session)

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Session]:
        async with self._writing:
            with failures("the log's database failed"):
                yield self._session()

    async def _here(self, then: Callable[[], None]) -> None:
        if self._thread is None:
            raise Unavailable("the log's database is not open")
        await self._thread.run(then)

    async def _refusal(self, session: Session, size: int | None = None) -> Refused:
        epoch, found = await session.fetchrow("SELECT epoch, size FROM head")
        if epoch != self._epoch:
            return _replaced()
        return Refused(f"the batch begins at entry {size}, the log has {found}")

    # --- read ------------------------------------------------------------------------------------------
    async def head(self) -> Head | None:
        """See :class:`~tlog.storage.base.LogStore`."""
        ((size, root, timestamp_ms, checkpoint),) = await self._read(
            "SELECT size, root, timestamp_ms, checkpoint FROM head"
        )
        return Head(size, root, timestamp_ms, checkpoint) if size else None

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """See :class:`~tlog.storage.base.LogStore`; what was changed outside this program is Unavailable."""
        if first == end:
            return ()
        rows = await self._read(
            "SELECT leaf, identity, extra, guard FROM entry WHERE idx >= $1 AND idx < $2 ORDER BY idx", first, end
        )
        if len(rows) != end - first:
            raise NotFound(f"the entries {first} to {end - 1} are not all in the log")
        if any(guard_of(identity, extra) != guard for _, identity, extra, guard in rows):
            raise damaged(f"an entry from {first} to {end - 1}")
        return tuple(Submission(leaf, identity, extra) for leaf, identity, extra, _ in rows)

    async def tile(self, level: int, index: int) -> bytes:
        """See :class:`~tlog.storage.base.LogStore`."""
        rows = await self._read("SELECT hashes FROM tile WHERE level = $1 AND idx = $2", level, index)
        if not rows:
            raise NotFound(f"the tile {level}/{index} is not complete")
        return bytes(rows[0][0])

    async def candidates(self, prefix: int) -> tuple[int, ...]:
        """See :class:`~tlog.storage.base.LogStore`."""
        return tuple(
            index for (index,) in await self._read("SELECT idx FROM seen WHERE prefix = $1 ORDER BY idx", prefix)
        )

    async def known(self, prefixes: Sequence[int]) -> tuple[Key, ...]:
        """See :class:`~tlog.storage.base.LogStore`."""
        if not prefixes:
            return ()
        query = "SELECT prefix, idx FROM seen WHERE prefix = ANY($1::bigint[])"
        return tuple(Key(*row) for row in await self._read(query, prefixes))

    async def remembered(self) -> int:
        """See :class:`~tlog.storage.base.LogStore`."""
        ((remembered,),) = await self._read("SELECT remembered FROM head")
        return int(remembered)

    async def _read(self, query: str, *parameters: Any) -> list[Any]:
        async with self._readers.session() as session:
            return list(await session.fetch(query, *parameters))


def _replaced() -> Refused:
    return Refused("the log has a new owner", "one log has one writer; stop this process")


async def holder(session: Session, key: tuple[int, int]) -> Holder | None:
    """Who has the advisory lock ``key`` now."""
    with failures("the log's database cannot be read"):
        row = await session.fetchrow(_HOLDER, *key)
    return Holder(*row) if row else None


async def evict(session: Session, found: Holder) -> None:
    """End a session; its lock is free when this returns, or soon after."""
    with failures("the session that holds a lock cannot be ended"):
        await session.execute("SELECT pg_terminate_backend($1, 1000)", found.pid)
