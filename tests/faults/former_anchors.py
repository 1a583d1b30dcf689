# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults.former_anchors DATA``: the anchors of a stopped stack, as versions before the file of two slots kept them."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tlog.anchor import Anchored
from tlog.anchor_file import load_anchored

TABLE = (
    "CREATE TABLE anchor (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL,"
    " checkpoint TEXT NOT NULL)"
)


def write_former(path: Path, anchored: Anchored | None) -> None:
    """A database in ``path`` that holds ``anchored``."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(TABLE)
        if anchored is not None:
            values = (anchored.size, anchored.root, anchored.checkpoint)
            connection.execute("INSERT INTO anchor VALUES (1, ?, ?, ?)", values)


def main() -> None:
    """Turn each anchor back."""
    for path in (Path(sys.argv[1]) / "anchor").glob("*.checkpoint"):
        write_former(path.with_suffix(".db"), load_anchored(path))
        path.unlink()


if __name__ == "__main__":
    main()
