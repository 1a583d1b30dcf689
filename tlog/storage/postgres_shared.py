# SPDX-License-Identifier: Apache-2.0
"""A log in PostgreSQL that several hosts serve: the database is also how they hear of each other.

One of them writes; the others bring their entries to ``inbox`` and are notified of every commit. Nothing needs to be durable there:
who brings an entry keeps it until it is in the log, and brings it again.

After a failover the database may be older than what hosts have shown. Each host knows for itself (its anchor); so whoever wants to
write on another line of servers than the last writer waits until every host that ever served has said that nothing is missing.
A line is a cluster and its timeline, which PostgreSQL raises with every promotion and every recovery to a point in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sigcore.errors import Refused, Unavailable
from tlog.storage.base import Shared
from tlog.storage.postgres import Holder, PostgresStore, evict, holder
from tlog.storage.postgres_schema import migrate
from tlog.storage.postgres_session import Session, check_durable, connect, failures
from tlog.submission import Submission

TAKEN: Final = 1024
"""Entries that are taken out of the inbox at once."""
_LINEAGE: Final = """
SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()
"""
_BRING: Final = """
WITH brought AS (
    INSERT INTO inbox (identity, leaf, extra, at_ms)
    SELECT identity, leaf, extra, $4 FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS new (identity, leaf, extra)
    ON CONFLICT DO NOTHING
)
SELECT pg_notify($5, '')
"""
_TAKE: Final = """
DELETE FROM inbox WHERE identity IN (SELECT identity FROM inbox LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING leaf, identity, extra, at_ms
"""
_CHECK_IN: Final = """
INSERT INTO host (name, lineage, size, at) VALUES ($1, $2, $3, now())
ON CONFLICT (name) DO UPDATE SET lineage = excluded.lineage, size = excluded.size, at = excluded.at
"""


class SharedStore(PostgresStore, Shared):
    """The store of ``log`` as ``host`` (a name that no other one has) sees it."""

    def __init__(self, url: str, log: str, *, host: str) -> None:
        super().__init__(url, log)
        self._host = host
        self._bus: Session | None = None
        self._lineage = ""
        """The line of servers on which the roll was called."""

    # --- the others ------------------------------------------------------------------------------------
    async def join(self, on_head: Callable[[], None], on_inbox: Callable[[], None]) -> None:
        """Read, and be told of commits and of what is brought; make the tables where they are not there.

        Raises:
            Unavailable: the database cannot be reached. Refused: it is of a newer program, or may lose what it acknowledges.
        """
        self._bus = await connect(self.url, self.schema)
        await check_durable(self._bus)
        await migrate(self._bus, self.schema)
        self.open_for_reading()
        with failures("the log's database failed"):
            await self._bus.execute("SET synchronous_commit = off")  # nothing that goes this way needs to last
            await self._bus.add_listener(self.schema, lambda *_: on_head())
            await self._bus.add_listener(self._inbox, lambda *_: on_inbox())

    async def close(self) -> None:
        """See :class:`PostgresStore`."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.terminate()
        await super().close()

    async def holder(self) -> Holder | None:
        """Who writes now."""
        return await holder(self._listening(), self.schema)

    async def evict(self, found: Holder) -> None:
        """End the session of a writer that says nothing any more."""
        await evict(self._listening(), found)

    def _listening(self) -> Session:
        if self._bus is None or self._bus.is_closed():
            raise Unavailable("the connection to the log's database was lost")
        return self._bus

    @property
    def _inbox(self) -> str:
        return f"{self.schema}_inbox"

    # --- entries ---------------------------------------------------------------------------------------
    async def bring(self, entries: Sequence[Submission], at_ms: int) -> None:
        """Put ``entries`` where the writer finds them, with the time of this host; those that are there already stay."""
        columns = zip(*((entry.identity, entry.leaf, entry.extra) for entry in entries), strict=True)
        with failures("the entries cannot be brought to the writer"):
            await self._listening().execute(_BRING, *map(list, columns), at_ms, self._inbox)

    async def take(self) -> tuple[tuple[Submission, int], ...]:
        """What was brought and when, at most :data:`TAKEN`; nobody else gets it."""
        with failures("the entries of other hosts cannot be read"):
            rows = await self._listening().fetch(_TAKE, TAKEN)
        return tuple((Submission(leaf, identity, extra), at_ms) for leaf, identity, extra, at_ms in rows)

    # --- after a failover ------------------------------------------------------------------------------
    async def check_in(self, size: int) -> None:
        """Say that on this line of servers nothing is missing of the ``size`` entries that this host has shown.

        Raises:
            Unavailable: it cannot be written, or what was read came from another server than is written to.
        """
        session = self._listening()
        ((read,),) = await self._read(_LINEAGE)
        with failures("the host cannot be written down"):
            lineage = await session.fetchval(_LINEAGE)
            if read != lineage:
                raise Unavailable(f"the log's database was failed over from {read} to {lineage}", "the hosts join anew")
            async with session.transaction():
                await session.execute("SET LOCAL synchronous_commit = on")
                await session.execute(_CHECK_IN, self._host, lineage, size)

    async def call_roll(self) -> None:
        """For the owner, before it writes: has every host checked in on this line of servers?

        Raises:
            Unavailable: one has not; it may have shown what this database lacks.
        """
        async with self._write() as session:
            lineage = await session.fetchval(_LINEAGE)
            before = await session.fetchval("SELECT lineage FROM head")
            if before not in ("", lineage):
                missing = await session.fetch("SELECT name FROM host WHERE lineage <> $1 ORDER BY name", lineage)
                if missing:
                    raise _unheard(self.schema, [name for (name,) in missing])
            await session.execute("UPDATE head SET lineage = $1 WHERE epoch = $2", lineage, self._epoch)
            self._lineage = lineage

    async def reopen(self) -> None:
        """See :class:`PostgresStore`. Refused also on another line of servers: there the roll has to be called first."""
        await super().reopen()
        async with self._write() as session:
            lineage = await session.fetchval(_LINEAGE)
        if lineage != self._lineage:
            raise Refused(
                f"the log's database was failed over from {self._lineage} to {lineage}", "the hosts join anew"
            )


def _unheard(schema: str, names: Sequence[str]) -> Unavailable:
    forget = f"DELETE FROM {schema}.host WHERE name = '...'"  # noqa: S608 - for people to type
    return Unavailable(
        f"the database was failed over or restored, and not every host has said that nothing is missing: {', '.join(names)}",
        "start these hosts; one that refuses has shown more than this database holds, so bring that database back."
        f" Only for a host that is gone for good: {forget}",
    )
