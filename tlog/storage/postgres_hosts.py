# SPDX-License-Identifier: Apache-2.0
"""The list of the hosts of a log: who each is, and on which line of servers it last found nothing missing.

A line is a cluster, its timeline, which PostgreSQL raises with every promotion and every recovery to a point in time, and the number of
the table ``head``, which is another one after the restore of a dump. Earlier versions did not write the third part.

One identity is one host. While a host is there its session holds an advisory lock for it; a second one is refused. What cannot be there
at the same time is told apart by what the row remembers: a folder that has joined less often than the row says is an older copy, and
an anchor that remembers less than the row, on a new line, cannot vouch for it.

Rows of an earlier version are called by the machine's name and the path (``label`` is empty). A host takes its own one over, once, if
its anchor remembers as much as the row says was shown there. A row that nobody takes over stays, and is waited for.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from typing import Final

from sigcore.errors import Refused, Unavailable
from tlog.host_file import HostFile, Member
from tlog.storage.postgres import evict, holder
from tlog.storage.postgres_session import Session, failures, lock_key

FREED_S: Final = 6.0
"""A session whose machine is gone keeps its locks until the server has noticed, which takes about four seconds."""
_LOOK_S: Final = 0.1
LINEAGE: Final = """
SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || 'head'::regclass::oid
FROM pg_control_system()
"""
_TAKE_OVER: Final = """
DELETE FROM host WHERE name = $2 AND label = '' AND size <= $3 AND NOT EXISTS (SELECT FROM host WHERE name = $1)
"""
_CHECK_IN: Final = """
INSERT INTO host (name, label, joined, lineage, size, at) VALUES ($1, $2, $3, $4, $5, now())
ON CONFLICT (name) DO UPDATE SET label = excluded.label, joined = excluded.joined, lineage = excluded.lineage,
    size = excluded.size, at = excluded.at
"""
_MISSING: Final = """
SELECT name, CASE label WHEN '' THEN name ELSE label || ' [' || name || ']' END FROM host
WHERE lineage <> ALL ($1) ORDER BY 2
"""


def spellings(line: str) -> tuple[str, str]:
    """How ``line`` stands in rows: as this version writes it, and as earlier ones did."""
    return line, line.rpartition("/")[0]


def host_key(schema: str, member: Member) -> tuple[int, int]:
    """The advisory lock of a host's identity, of another class than those of ``lock_key`` and of making tables."""
    kind, _ = lock_key(schema)
    return kind + 2, zlib.crc32(f"{schema} {member.name}".encode()) & 0x7FFFFFFF


async def hold(session: Session, schema: str, file: HostFile, member: Member, before: int) -> None:
    """Be ``member`` as long as ``session`` lasts; ``before`` is the server's process for the session that this one follows.

    Raises:
        Refused: somebody else is. Unavailable: the database fails.
    """
    key, deadline = host_key(schema, member), time.monotonic() + FREED_S
    while True:
        with failures("the identity of this host cannot be taken"):
            if await session.fetchval("SELECT pg_try_advisory_lock($1, $2)", *key):
                return
        found = await holder(session, key)
        if found is not None and found.pid == before:
            await evict(session, found)
        elif time.monotonic() > deadline:
            whose = f"process {found.pid} of the database server, for {found.place}" if found else "another process"
            raise _copied(file, f"is used by another one now ({whose})")
        await asyncio.sleep(_LOOK_S)


async def check_memory(session: Session, schema: str, file: HostFile, member: Member, *, line: str, shown: int) -> None:
    """Before anything is read back: is this folder the host that the list knows? ``shown`` is the size that its anchor remembers.

    Raises:
        Refused: it is an older copy, or its anchor is. Unavailable: the database fails.
    """
    with failures("the list of hosts cannot be read"):
        row = await session.fetchrow("SELECT joined, lineage, size FROM host WHERE name = $1", member.name)
    if row is None:
        return
    joined, lineage, size = row
    if joined > member.joined:
        raise _copied(file, "has been used elsewhere since this copy was made")
    remembered = max(shown, 0)
    if lineage not in spellings(line) and size > remembered:
        raise Refused(
            f"the anchor beside {file.path} remembers {remembered} entries, but this host has shown {size}, and the database"
            " was failed over or restored since: it cannot say what is missing",
            f"put the newer anchor back; only if it is gone for good: {_striking(schema, member.name)}",
        )


def _copied(file: HostFile, what: str) -> Refused:
    return Refused(
        f"this data directory is a copy of another host's: the identity in {file.path} {what}",
        "is the other one to go on? Then remove that file here: at its next start this host joins as one of its own."
        " Is this one to take its place? Stop the other one, and start from its newest copy",
    )


async def check_in(session: Session, file: HostFile, member: Member, *, line: str, size: int, shown: int) -> Member:
    """Say that on ``line`` nothing is missing of the ``size`` entries shown by this host; ``shown`` as in :func:`check_memory`.

    1. Count the joining in the file.
    2. Take a row of an earlier version over, and write the own one; both or neither.

    Raises:
        Unavailable: the database or the disk fails.
    """
    counted = Member(member.name, member.joined + 1)
    await asyncio.to_thread(file.save, counted)  # 1
    with failures("the host cannot be written down"):  # 2
        async with session.transaction():
            await session.execute("SET LOCAL synchronous_commit = on")
            await session.execute(_TAKE_OVER, counted.name, file.label, shown)
            await session.execute(_CHECK_IN, counted.name, file.label, counted.joined, line, size)
    return counted


async def check_all_in(session: Session, schema: str, line: str) -> None:
    """Unavailable: a host has not checked in on ``line``; it may have shown what this database lacks."""
    missing = await session.fetch(_MISSING, spellings(line))
    if missing:
        raise _unheard(schema, missing)


def _unheard(schema: str, missing: Sequence[tuple[str, str]]) -> Unavailable:
    name = missing[0][0] if len(missing) == 1 else "..."
    return Unavailable(
        "the database was failed over or restored, and not every host has said that nothing is missing: "
        + ", ".join(text for _, text in missing),
        "start these hosts; one that refuses has shown more than this database holds, so bring that database back."
        f" Only for a host that is gone for good: {_striking(schema, name)}",
    )


def _striking(schema: str, name: str) -> str:
    quoted = name.replace("'", "''")
    return f"DELETE FROM {schema}.host WHERE name = '{quoted}'"  # noqa: S608 - for people to type
