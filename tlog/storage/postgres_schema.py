# SPDX-License-Identifier: Apache-2.0
"""The tables of a log in PostgreSQL: a schema of its own for each log.

| table  | what                                                                                                    |
|--------|---------------------------------------------------------------------------------------------------------|
| entry  | one row for each log entry, by its index; no other index on it                                            |
| tile   | complete hash tiles                                                                                       |
| head   | one row: the last head, the epoch of the owner, and which line of servers it was elected on                |
| seen   | hash prefix -> entry index, filled behind; ``head.remembered`` says how far                                |
| inbox  | what front ends have brought and nobody has taken yet; lost with a crash, and brought again               |
| host   | every host that has shown a checkpoint, and the line of servers on which it found nothing missing         |
|        | (``name`` is random, ``label`` for people, ``joined`` counts; ``postgres_hosts.py``)                      |

``entry.guard`` is the CRC-32 of what the Merkle tree does not cover (identity and extra).
"""

from __future__ import annotations

from typing import Final

from sigcore.errors import Refused
from tlog.storage.postgres_session import Session, failures, lock_key

SCHEMA_VERSION: Final = 1
MAKE_S: Final = 30.0
"""A disk that others keep busy takes its time for files, and nobody is kept waiting by a start."""
_V1: Final = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}.entry (
    idx bigint PRIMARY KEY, identity bytea NOT NULL, guard bigint NOT NULL, leaf bytea NOT NULL, extra bytea NOT NULL
);
CREATE TABLE {schema}.tile (level smallint, idx bigint, hashes bytea NOT NULL, PRIMARY KEY (level, idx));
ALTER TABLE {schema}.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE TABLE {schema}.head (
    id smallint PRIMARY KEY CHECK (id = 1), version integer NOT NULL, size bigint NOT NULL, root bytea NOT NULL,
    timestamp_ms bigint NOT NULL, checkpoint text NOT NULL, epoch bigint NOT NULL, remembered bigint NOT NULL,
    lineage text NOT NULL
) WITH (fillfactor = 20);
INSERT INTO {schema}.head VALUES (1, 1, 0, '', 0, '', 0, 0, '');
CREATE TABLE {schema}.seen (prefix bigint, idx bigint, PRIMARY KEY (prefix, idx));
CREATE UNLOGGED TABLE {schema}.inbox (identity bytea PRIMARY KEY, leaf bytea NOT NULL, extra bytea NOT NULL, at_ms bigint NOT NULL);
CREATE TABLE {schema}.host (
    name text PRIMARY KEY, lineage text NOT NULL, size bigint NOT NULL, at timestamptz NOT NULL,
    label text NOT NULL DEFAULT '', joined bigint NOT NULL DEFAULT 0
);
"""
_MAKE: Final = """
SELECT pg_advisory_xact_lock({kind}, {name});
DO $make$ BEGIN IF NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = '{schema}' AND tablename = 'head') THEN
{tables}
END IF; END $make$
"""
"""One request, so one transaction; the second statement sees what was made while the first one waited."""
_LABELLED: Final = """
SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'host' AND column_name = 'joined'
"""
_LABELS: Final = """
ALTER TABLE {schema}.host ADD COLUMN IF NOT EXISTS label text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS joined bigint NOT NULL DEFAULT 0
"""
"""What the first hosts did not say of themselves. They go on beside others that do, so this is no new format."""


async def migrate(session: Session, schema: str) -> None:
    """Make the tables, unless they are there; hosts that start together wait for each other.

    Raises:
        Refused: they are of a newer program. Unavailable: the database fails, or does not let us.
    """
    with failures("the log's tables cannot be made"):
        version = await _version(session, schema)
        if version == 0:
            kind, name = _making(schema)
            tables = _V1.format(schema=schema)
            await session.execute(_MAKE.format(kind=kind, name=name, schema=schema, tables=tables), timeout=MAKE_S)
            version = await _version(session, schema)
        if version == SCHEMA_VERSION and not await session.fetchval(_LABELLED, schema):
            await session.execute(_LABELS.format(schema=schema), timeout=MAKE_S)
    if version > SCHEMA_VERSION:
        raise Refused(
            f"the log's database has format {version}, this program knows formats up to {SCHEMA_VERSION}",
            "use the newer program that wrote it, or restore a backup of before the update",
        )


def _making(schema: str) -> tuple[int, int]:
    kind, name = lock_key(schema)
    return kind + 1, name


async def _version(session: Session, schema: str) -> int:
    """0 where there are no tables."""
    # Not to_regclass(): it may remember that there was no such table while another host makes it.
    there = "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'head'"
    if not await session.fetchval(there, schema):
        return 0
    return int(await session.fetchval(f"SELECT version FROM {schema}.head"))  # noqa: S608 - a name of ours
