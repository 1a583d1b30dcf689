# SPDX-License-Identifier: Apache-2.0
"""Connections to PostgreSQL: bounded in time, checked for what a log needs of its server, with our kind of error."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final, Protocol

import asyncpg

from sigcore.errors import Malformed, Refused, Unavailable

CONNECT_S: Final = 2.0
COMMAND_S: Final = 4.0
"""A network that is cut answers nothing: what takes longer has an unknown outcome."""
READERS: Final = 4
"""Connections for reading; more callers wait for one."""
_SESSION: Final = {
    # The server notices within about four seconds that a host is gone, and lets its lock go.
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "4000",
    # A host that hangs within a transaction keeps nobody waiting for its rows for longer.
    "idle_in_transaction_session_timeout": "10000",
    "jit": "off",
}
_LOCK_CLASS: Final = 0x5167B0


class Session(Protocol):
    """What we use of asyncpg's connection; one call at a time."""

    async def execute(self, query: str, *values: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 - asyncpg's own name
        """The server's word for what was done; ``timeout`` in place of :data:`COMMAND_S`."""
        ...

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """All rows."""
        ...

    async def fetchrow(self, query: str, *values: Any) -> Any:
        """The first row; None where there is none."""
        ...

    async def fetchval(self, query: str, *values: Any) -> Any:
        """Its first column."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Committed at the end of the block, taken back when it raises."""
        ...

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        """Call back for each notification."""
        ...

    def get_server_pid(self) -> int:
        """The process of the server for this session."""
        ...

    def is_closed(self) -> bool:
        """It has ended, as far as is known here."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's own name
        """End it in order."""
        ...

    def terminate(self) -> None:
        """End it at once; its socket is closed at the next turn of the event loop."""
        ...


@contextmanager
def failures(what: str) -> Iterator[None]:
    """Whatever the server, the driver or the network says becomes Unavailable."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{what}: no answer in time", "check the network and the database server") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError) as error:
        raise Unavailable(
            f"{what}: {error}", "check the database server; nothing is answered before it is stored"
        ) from error


def says_no_tables(error: Unavailable) -> bool:
    """Whether what failed is that no log was ever opened in this database under this name."""
    return isinstance(error.__cause__, asyncpg.UndefinedTableError)


def schema_of(log: str) -> str:
    """The schema that holds the tables of ``log``, a name of ours."""
    return f"sigbox_{log.replace('-', '_')}"


def lock_key(schema: str) -> tuple[int, int]:
    """The advisory lock of a log's writer, as PostgreSQL's two 32-bit keys."""
    return _LOCK_CLASS, zlib.crc32(schema.encode()) & 0x7FFFFFFF


async def connect(url: str, schema: str, **settings: str) -> Session:
    """A session with this log's tables in reach.

    Args:
        url: ``postgresql://...``, with the parameters that libpq knows (``passfile``, ``sslmode``, several hosts).
        schema: of the log.
        settings: of the server, for this session.

    Raises:
        Unavailable: it cannot be reached, refuses us, or only stands by for another server. Malformed: the URL is not understood.
    """
    session = await _connect(url, {**_SESSION, "application_name": schema, "search_path": schema, **settings})
    try:
        with failures("the log's database cannot be read"):
            standby = await session.fetchval("SELECT pg_is_in_recovery()")
        if standby:
            raise Unavailable(
                "the log's database only stands by for another server",
                "promote it, or name all servers and target_session_attrs=primary in the database's URL",
            )
    except BaseException:
        session.terminate()
        raise
    return session


async def _connect(url: str, settings: Mapping[str, str]) -> Session:
    try:
        with failures("the log's database cannot be reached"):
            session: Session = await asyncpg.connect(
                url, timeout=CONNECT_S, command_timeout=COMMAND_S, server_settings=settings
            )
            return session
    except (ValueError, LookupError, OverflowError):
        # Ports that are no numbers, empty names, brackets. What the driver says may repeat a part of the URL.
        raise Malformed(
            "the URL of the log's database is not understood",
            "expected postgresql://USER@HOST[:PORT][,HOST[:PORT]]/NAME",
        ) from None


async def check_durable(session: Session) -> None:
    """Refused when the server would acknowledge what a loss of power takes back."""
    with failures("the log's database cannot be read"):
        found = {
            name: await session.fetchval(f"SHOW {name}") for name in ("fsync", "full_page_writes", "synchronous_commit")
        }
    check_settings(found)


def check_settings(found: Mapping[str, str]) -> None:
    """The same, of settings by name.

    Raises:
        Refused: one of them is off; it says how to set it.
    """
    off = [name for name, value in found.items() if value == "off"]
    if off:
        changes = " ".join(f"ALTER SYSTEM SET {name} = on;" for name in off)
        raise Refused(
            f"the database server runs with {', '.join(f'{name} = off' for name in off)}:"
            " what it acknowledges does not survive a loss of power",
            f"as its administrator: {changes} SELECT pg_reload_conf(); (and look for settings of the role or the database)",
        )


async def look_at(url: str, log: str) -> str:
    """What a server of ``url`` says of itself: its version, and whether the way to it is encrypted. Nothing is changed.

    Raises:
        Unavailable, Malformed: as :func:`connect`. Refused: as :func:`check_durable`.
    """
    session = await connect(url, schema_of(log), default_transaction_read_only="on")
    try:
        await check_durable(session)
        with failures("the log's database cannot be read"):
            version = await session.fetchval("SHOW server_version")
            encrypted = await session.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return f"PostgreSQL {version}, {'over TLS' if encrypted else 'without TLS'}"
    finally:
        session.terminate()
        await asyncio.sleep(0)  # the socket is closed by the event loop


class Readers:
    """Up to :data:`READERS` sessions for reading, each made when it is first needed and dropped when it fails."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._free: list[Session] = []
        self._room = asyncio.Semaphore(READERS)
        self._open = False

    def open(self) -> None:
        """From now on sessions are made."""
        self._open = True

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """One session for the length of a block. Unavailable: it failed, or reading was closed."""
        async with self._room:
            if not self._open:
                raise Unavailable("the log's database is not open")
            session = self._free.pop() if self._free else None
            if session is None or session.is_closed():
                session = await connect(self._url, self._schema, default_transaction_read_only="on")
            try:
                with failures("the log's database cannot be read"):
                    yield session
            except BaseException:
                session.terminate()
                raise
            if self._open:
                self._free.append(session)
            else:
                session.terminate()

    async def close(self) -> None:
        """End them; those in use end with their block."""
        self._open = False
        while self._free:
            self._free.pop().terminate()
        await asyncio.sleep(0)  # the sockets are closed by the event loop
