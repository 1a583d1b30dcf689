# SPDX-License-Identifier: Apache-2.0
"""The tables of a log in SQLite, and how they came to be. Imported only when a migration is due.

| table  | what                                                                                             |
|--------|--------------------------------------------------------------------------------------------------|
| entry  | one row for each log entry; the row id is the index, assigned by us; no other index on it         |
| tile   | complete hash tiles; the row id is ``level << 56 or index``                                       |
| head   | one row: the last head and the epoch of the owner                                                 |
| seen   | hash prefix -> entry index, filled behind; one row: how far                                       |

``entry.guard`` is the CRC-32 of what the Merkle tree does not cover (identity and extra).
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("tlog")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to date; each step is one transaction that also sets ``user_version``."""
    migrations.apply(Database(connection))


@migrations()
def v1_entries_tiles_head(db: Database) -> None:
    """The first layout."""
    db.table("entry").create(
        {"idx": int, "identity": bytes, "guard": int, "leaf": bytes, "extra": bytes},
        pk="idx",
        not_null=("identity", "guard", "leaf", "extra"),
    )
    db.table("tile").create({"id": int, "hashes": bytes}, pk="id", not_null=("hashes",))
    db.table("head").create(
        {
            "id": int,
            "size": int,
            "root": bytes,
            "timestamp_ms": int,
            "checkpoint": str,
            "epoch": int,
            "remembered": int,
        },
        pk="id",
        not_null=("size", "root", "timestamp_ms", "checkpoint", "epoch", "remembered"),
    )
    db.table("head").insert(
        {"id": 1, "size": 0, "root": b"", "timestamp_ms": 0, "checkpoint": "", "epoch": 0, "remembered": 0}
    )
    # Two columns and no row id: the primary key is the table, 16 bytes an entry.
    db.execute(
        "CREATE TABLE seen (prefix INTEGER NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (prefix, idx)) WITHOUT ROWID"
    )
    db.execute("PRAGMA user_version = 1")
