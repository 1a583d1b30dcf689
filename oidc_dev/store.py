# SPDX-License-Identifier: Apache-2.0
"""Where accounts are kept: in memory, or in a SQLite file that ``sigbox user`` writes and a running provider reads.

Each operation opens the file anew, so the provider sees an account as soon as the command has ended. The rollback journal
with ``synchronous=EXTRA`` is durable and leaves no second file behind; write-ahead logging would want one process only.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from oidc_dev.accounts import Account, email_key
from sigcore.errors import NotFound, Refused, Unavailable
from sigcore.strict import encode_time, parse_time

FORMAT: Final = 1
_WAIT_S: Final = 5
"""For another process that writes at this moment."""
_COLUMNS: Final = "email, password, verified, created"


class Accounts(Protocol):
    """Accounts by email, capitals ignored. Every call may block; it raises Unavailable when the storage fails."""

    def find(self, email: str) -> Account | None:
        """The account of ``email``, or None."""
        ...

    def list(self) -> tuple[Account, ...]:
        """All of them, by email."""
        ...

    def add(self, account: Account) -> None:
        """Store a new one. Refused: there is one of that email."""
        ...

    def remove(self, email: str) -> Account:
        """Remove it and say what it was. NotFound: there is none."""
        ...

    def set_password(self, email: str, hashed: str) -> Account:
        """Give it another password. NotFound: there is none."""
        ...


class MemoryAccounts:
    """:class:`Accounts` that last as long as the object."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def find(self, email: str) -> Account | None:
        """See :class:`Accounts`."""
        return self._accounts.get(email_key(email))

    def list(self) -> tuple[Account, ...]:
        """See :class:`Accounts`."""
        return tuple(self._accounts[key] for key in sorted(self._accounts))

    def add(self, account: Account) -> None:
        """See :class:`Accounts`."""
        if self._accounts.setdefault(email_key(account.email), account) is not account:
            raise account_exists(account.email)

    def remove(self, email: str) -> Account:
        """See :class:`Accounts`."""
        return self._known(self._accounts.pop(email_key(email), None), email)

    def set_password(self, email: str, hashed: str) -> Account:
        """See :class:`Accounts`."""
        changed = replace(self._known(self.find(email), email), password=hashed)
        self._accounts[email_key(email)] = changed
        return changed

    @staticmethod
    def _known(account: Account | None, email: str) -> Account:
        if account is None:
            raise _there_is_none(email)
        return account


class SqliteAccounts:
    """:class:`Accounts` in the file ``path``, which the first account creates."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, email: str) -> Account | None:
        """See :class:`Accounts`."""
        return next(iter(self._rows("WHERE key = ?", email_key(email))), None)

    def list(self) -> tuple[Account, ...]:
        """See :class:`Accounts`."""
        return self._rows("ORDER BY key")

    def add(self, account: Account) -> None:
        """See :class:`Accounts`."""
        values = (email_key(account.email), account.email, account.password, account.verified)
        with self._writing() as database:
            try:
                database.execute("INSERT INTO account VALUES (?, ?, ?, ?, ?)", (*values, encode_time(account.created)))
            except sqlite3.IntegrityError as error:
                raise account_exists(account.email) from error

    def remove(self, email: str) -> Account:
        """See :class:`Accounts`."""
        return self._change("DELETE FROM account WHERE key = ?", email_key(email))

    def set_password(self, email: str, hashed: str) -> Account:
        """See :class:`Accounts`."""
        return self._change("UPDATE account SET password = ? WHERE key = ?", hashed, email_key(email))

    def _change(self, statement: str, *values: str) -> Account:
        with self._writing() as database:
            changed = [_account(row) for row in database.execute(f"{statement} RETURNING {_COLUMNS}", values)]
        if not changed:
            raise _there_is_none(values[-1])
        return changed[0]

    def _rows(self, clause: str, *values: str) -> tuple[Account, ...]:
        """Read over a connection that can write nothing; no file, or one that is being made, holds no account."""
        if not self.path.exists():
            return ()
        with self._connected("ro") as database:
            if not _format(database):
                return ()
            return tuple(map(_account, database.execute(f"SELECT {_COLUMNS} FROM account {clause}", values)))  # noqa: S608 - constants

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the block ends."""
        _make_file(self.path)
        with self._connected("rw") as database:
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("PRAGMA synchronous = EXTRA")
            with database:
                database.execute("BEGIN IMMEDIATE")
                _create(database)
                yield database

    @contextmanager
    def _connected(self, mode: str) -> Iterator[sqlite3.Connection]:
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
    """The format of the table; 0 where there is none."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise Refused(f"the accounts have format {found}, this version knows {FORMAT}", "use a newer sigbox")
    return int(found)


def _create(database: sqlite3.Connection) -> None:
    if not _format(database):
        database.execute(
            "CREATE TABLE account (key TEXT PRIMARY KEY, email TEXT NOT NULL, password TEXT NOT NULL,"
            " verified INTEGER NOT NULL, created TEXT NOT NULL) STRICT"
        )
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


def _account(row: tuple[str, str, int, str]) -> Account:
    email, password, verified, created = row
    return Account(email, password, bool(verified), parse_time(created, what="the time of an account"))


def account_exists(email: str) -> Refused:
    """The refusal of a second account."""
    return Refused(f"there is an account of {email} already", "sigbox user passwd changes its password")


def _there_is_none(email: str) -> NotFound:
    return NotFound(f"there is no account of {email}", "sigbox user list shows those that are there")
