# SPDX-License-Identifier: Apache-2.0
"""Where accounts are kept: in memory, or in the SQLite file of :mod:`oidc_dev.account_file`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from oidc_dev.account_file import AccountFile
from oidc_dev.accounts import Account, email_key
from sigcore.errors import NotFound, Refused
from sigcore.strict import encode_time, parse_time

_COLUMNS: Final = "email, password, verified, created, disabled, one_time"


class Accounts(Protocol):
    """Accounts by email, capitals ignored. Every call may block; it raises Unavailable when the storage fails.

    What changes an account answers with what it is now, or raises NotFound: there is none.
    """

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
        """Remove it and say what it was."""
        ...

    def set_password(self, email: str, hashed: str, *, was: str = "") -> Account:
        """Give it another password. With ``was``, one whose hash is another than that counts as none."""
        ...

    def set_disabled(self, email: str, *, disabled: bool) -> Account:
        """Lock it out, or let it in again."""
        ...

    def set_one_time(self, email: str, sealed: bytes) -> Account:
        """Ask it for one-time passwords of this sealed secret from now on; empty: not any more."""
        ...

    def last_step(self, email: str) -> int:
        """The time step of the last one-time password that it used; 0 where there is none."""
        ...

    def use_step(self, email: str, step: int) -> bool:
        """Spend this time step and all before it. False: it was spent already, by whoever was faster."""
        ...


class MemoryAccounts:
    """:class:`Accounts` that last as long as the object."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._steps: dict[str, int] = {}

    def find(self, email: str) -> Account | None:
        """See :class:`Accounts`."""
        return self._accounts.get(email_key(email))

    def list(self) -> tuple[Account, ...]:
        """See :class:`Accounts`."""
        return tuple(self._accounts[key] for key in sorted(self._accounts))

    def add(self, account: Account) -> None:
        """See :class:`Accounts`."""
        if self._accounts.setdefault(account.key, account) is not account:
            raise account_exists(account.email)

    def remove(self, email: str) -> Account:
        """See :class:`Accounts`."""
        return _known(self._accounts.pop(email_key(email), None), email)

    def set_password(self, email: str, hashed: str, *, was: str = "") -> Account:
        """See :class:`Accounts`."""
        account = _known(self.find(email), email)
        return self._set(replace(_known(account if was in ("", account.password) else None, email), password=hashed))

    def set_disabled(self, email: str, *, disabled: bool) -> Account:
        """See :class:`Accounts`."""
        return self._set(replace(_known(self.find(email), email), disabled=disabled))

    def set_one_time(self, email: str, sealed: bytes) -> Account:
        """See :class:`Accounts`."""
        self._steps.pop(email_key(email), None)
        return self._set(replace(_known(self.find(email), email), one_time=sealed))

    def last_step(self, email: str) -> int:
        """See :class:`Accounts`."""
        return self._steps.get(email_key(email), 0)

    def use_step(self, email: str, step: int) -> bool:
        """See :class:`Accounts`."""
        fresh = step > self.last_step(email)
        self._steps[email_key(email)] = max(step, self.last_step(email))
        return fresh

    def _set(self, account: Account) -> Account:
        self._accounts[account.key] = account
        return account


class SqliteAccounts:
    """:class:`Accounts` in the file ``path``, which the first account creates."""

    def __init__(self, path: Path) -> None:
        self._file = AccountFile(path)

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    def find(self, email: str) -> Account | None:
        """See :class:`Accounts`."""
        return next(iter(self._rows("WHERE key = ?", email_key(email))), None)

    def list(self) -> tuple[Account, ...]:
        """See :class:`Accounts`."""
        return self._rows("ORDER BY key")

    def add(self, account: Account) -> None:
        """See :class:`Accounts`."""
        values = (account.email, account.password, account.verified, encode_time(account.created))
        with self._file.writing() as database:
            added = database.execute(
                f"INSERT INTO account (key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",  # noqa: S608 - constants
                (account.key, *values, account.disabled, account.one_time),
            )
            if not added.rowcount:
                raise account_exists(account.email)

    def remove(self, email: str) -> Account:
        """See :class:`Accounts`."""
        return self._change("DELETE FROM account WHERE key = ?", email_key(email))

    def set_password(self, email: str, hashed: str, *, was: str = "") -> Account:
        """See :class:`Accounts`."""
        statement = "UPDATE account SET password = ? WHERE ? IN ('', password) AND key = ?"
        return self._change(statement, hashed, was, email_key(email))

    def set_disabled(self, email: str, *, disabled: bool) -> Account:
        """See :class:`Accounts`."""
        return self._change("UPDATE account SET disabled = ? WHERE key = ?", disabled, email_key(email))

    def set_one_time(self, email: str, sealed: bytes) -> Account:
        """See :class:`Accounts`."""
        return self._change("UPDATE account SET one_time = ?, step = 0 WHERE key = ?", sealed, email_key(email))

    def last_step(self, email: str) -> int:
        """See :class:`Accounts`."""
        with self._file.reading() as database:
            row = (
                database and database.execute("SELECT step FROM account WHERE key = ?", (email_key(email),)).fetchone()
            )
        return int(row[0]) if row else 0

    def use_step(self, email: str, step: int) -> bool:
        """See :class:`Accounts`."""
        statement = "UPDATE account SET step = ? WHERE key = ? AND step < ?"
        with self._file.writing() as database:
            return database.execute(statement, (step, email_key(email), step)).rowcount == 1

    def _change(self, statement: str, *values: str | bytes | bool) -> Account:
        with self._file.writing() as database:
            changed = [_account(row) for row in database.execute(f"{statement} RETURNING {_COLUMNS}", values)]
        return _known(changed[0] if changed else None, str(values[-1]))

    def _rows(self, clause: str, *values: str) -> tuple[Account, ...]:
        with self._file.reading() as database:
            if database is None:
                return ()
            return tuple(map(_account, database.execute(f"SELECT {_COLUMNS} FROM account {clause}", values)))  # noqa: S608 - constants


def _account(row: tuple[str, str, int, str, int, bytes]) -> Account:
    email, password, verified, created, disabled, one_time = row
    when = parse_time(created, what="the time of an account")
    return Account(email, password, bool(verified), when, bool(disabled), one_time)


def _known(account: Account | None, email: str) -> Account:
    if account is None:
        raise NotFound(f"there is no account of {email}", "sigbox user list shows those that are there")
    return account


def account_exists(email: str) -> Refused:
    """The refusal of a second account."""
    return Refused(f"there is an account of {email} already", "sigbox user passwd changes its password")
