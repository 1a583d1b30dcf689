# SPDX-License-Identifier: Apache-2.0
"""A log in PostgreSQL that several hosts serve: the database is also how they hear of each other.

One of them writes; the others bring their entries to ``inbox`` and are notified of every commit. Nothing needs to be durable there:
who brings an entry keeps it until it is in the log, and brings it again.

After a failover the database may be older than what hosts have shown. Each host knows for itself (its anchor); so whoever wants to
write on another line of servers than the last writer waits until every host that ever served has said that nothing is missing
(``postgres_hosts.py``). All sessions of a host lead to the line that it has joined; where a new one does not, it joins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from sigcore.errors import Unavailable
from tlog.host_file import HostFile, Member
from tlog.storage.base import Shared
from tlog.storage.postgres import Holder, PostgresStore, evict, holder
from tlog.storage.postgres_hosts import LINEAGE, check_all_in, check_in, check_memory, hold, spellings
from tlog.storage.postgres_schema import migrate
from tlog.storage.postgres_session import Session, check_durable, connect, failures, lock_key
from tlog.submission import Submission

TAKEN: Final = 1024
"""Entries that are taken out of the inbox at once."""
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


class SharedStore(PostgresStore, Shared):
    """The store of ``log`` as one host sees it, whose identity is in ``host``."""

    def __init__(self, url: str, log: str, *, host: HostFile) -> None:
        super().__init__(url, log)
        self._host = host
        self._member = Member("", 0)
        self._bus: Session | None = None
        self._bus_pid = 0
        """The server's process for it, or for the one before."""
        self._line = ""
        """The line of servers that was joined."""
        self._shown = -1
        """As :meth:`join` was told."""

    # --- the others ------------------------------------------------------------------------------------
    async def join(self, on_head: Callable[[], None], on_inbox: Callable[[], None], shown: int) -> None:
        """Read, and be told of commits and of what is brought; make the tables where they are not there.

        Args:
            on_head: is called when something was committed.
            on_inbox: is called when something was brought.
            shown: the size that this host's anchor remembers; -1 where it remembers nothing.

        Raises:
            Unavailable: the database cannot be reached. Refused: it is of a newer program, or may lose what it acknowledges; or this
                host is a copy of another one.
        """
        self._bus = bus = await connect(self.url, self.schema)
        await check_durable(bus)
        await migrate(bus, self.schema)
        with failures("the log's database failed"):
            self._line, self._shown = await bus.fetchval(LINEAGE), shown
        await self._be_somebody(bus)
        self.open_for_reading()
        with failures("the log's database failed"):
            await bus.execute("SET synchronous_commit = off")  # nothing that goes this way needs to last
            await bus.add_listener(self.schema, lambda *_: on_head())
            await bus.add_listener(self._inbox, lambda *_: on_inbox())

    async def _be_somebody(self, bus: Session) -> None:
        self._member = await asyncio.to_thread(self._host.load)
        await hold(bus, self.schema, self._host, self._member, self._bus_pid)
        self._bus_pid = bus.get_server_pid()
        await check_memory(bus, self.schema, self._host, self._member, line=self._line, shown=self._shown)

    async def close(self) -> None:
        """See :class:`PostgresStore`."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.terminate()
        await super().close()

    async def holder(self) -> Holder | None:
        """Who writes now."""
        return await holder(self._listening(), lock_key(self.schema))

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
        ((read,),) = await self._read(LINEAGE)
        self._check_line(read)
        self._member = await check_in(
            self._listening(), self._host, self._member, line=self._line, size=size, shown=self._shown
        )

    async def call_roll(self) -> None:
        """For the owner, before it writes: has every host checked in on this line of servers?

        Raises:
            Unavailable: one has not; it may have shown what this database lacks.
        """
        async with self._write() as session:
            if await session.fetchval("SELECT lineage FROM head") not in ("", *spellings(self._line)):
                await check_all_in(session, self.schema, self._line)
            await session.execute("UPDATE head SET lineage = $1 WHERE epoch = $2", self._line, self._epoch)

    async def moved(self) -> bool:
        """Whether who connects now gets to another line of servers than was joined. Unavailable: to none."""
        session = await connect(self.url, self.schema)
        try:
            with failures("the log's database cannot be read"):
                found = await session.fetchval(LINEAGE)
        finally:
            session.terminate()
        return bool(found != self._line)

    async def _connect(self) -> None:
        """To write; Unavailable also on another line of servers: there the roll has to be called first."""
        await super()._connect()
        with failures("the log's database cannot be read"):
            self._check_line(await self._session().fetchval(LINEAGE))

    def _check_line(self, found: str) -> None:
        if found != self._line:
            raise Unavailable(f"the log's database was failed over from {self._line} to {found}", "the hosts join anew")
