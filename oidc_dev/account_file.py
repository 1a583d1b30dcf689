# SPDX-License-Identifier: Apache-2.0
"""The SQLite file that accounts and machines are kept in: ``sigbox user`` and ``sigbox client`` write it, a running provider reads it.

Each operation opens the file anew, so the provider sees a change as soon as the command has ended. The rollback journal with
``synchronous=EXTRA`` is durable and leaves no second file behind; write-ahead logging would want one process only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sigcore.errors import Refused, Unavailable

if TYPE_CHECKING:
    import sqlite3

FORMAT: Final = 2
_WAIT_S: Final = 5
"""For another process that writes at this moment."""
_STEPS: Final = (
    (
        """CREATE TABLE account (key TEXT PRIMARY KEY, email TEXT NOT NULL, password TEXT NOT NULL,
        verified INTEGER NOT NULL, created TEXT NOT NULL) STRICT""",
    ),
    (
        "ALTER TABLE account ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN one_time BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE account ADD COLUMN step INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE machine (name TEXT PRIMARY KEY, subject TEXT NOT NULL, secret BLOB NOT NULL,
        created TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0) STRICT""",
    ),
)
"""What leads from each format to the next one."""


class AccountFile:
    """The file ``path``, which the first write creates."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that can write nothing; None where no file is, or one that is being made.

        A file of an older format is brought to ours first, so that no reader needs to know two.
        """
        found = self._found()
        if 0 < found < FORMAT:
            with self.writing():
                pass
        if not found:
            yield None
            return
        with self._connected("ro") as database:
            yield database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the block ends."""
        _make_file(self.path)
        with self._connected("rw") as database:
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("PRAGMA synchronous = EXTRA")
            with database:
                database.execute("BEGIN IMMEDIATE")
                _bring_up(database)
                yield database

    def _found(self) -> int:
        if not self.path.exists():
            return 0
        with self._connected("ro") as database:
            return _format(database)

    @contextmanager
    def _connected(self, mode: str) -> Iterator[sqlite3.Connection]:
        # Deferred: a start reads no accounts, and few ephemeral stacks have any.
        import sqlite3  # noqa: PLC0415 - see the line above

        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        try:
            database = sqlite3.connect(uri, timeout=_WAIT_S, isolation_level=None, uri=True)
            try:
                yield database
            finally:
                database.close()
        except sqlite3.Error as error:
            message = f"the accounts in {self.path} cannot be used: {error}"
            raise Unavailable(message, "look at the file's owner, its mode and the room on the disk") from error


def _format(database: sqlite3.Connection) -> int:
    """The format of the tables; 0 where there are none."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise Refused(f"the accounts have format {found}, this version knows {FORMAT}", "use a newer sigbox")
    return int(found)


def _bring_up(database: sqlite3.Connection) -> None:
    found = _format(database)
    for statement in (statement for step in _STEPS[found:] for statement in step):
        database.execute(statement)
    if found < FORMAT:
        database.execute(f"PRAGMA user_version = {FORMAT}")


def _make_file(path: Path) -> None:
    """An empty file for its owner alone. What root makes for a service belongs to the service, like the folder around it."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    try:
        folder = path.parent.stat()
        if os.geteuid() != folder.st_uid:
            os.fchown(handle, folder.st_uid, folder.st_gid)
    finally:
        os.close(handle)
