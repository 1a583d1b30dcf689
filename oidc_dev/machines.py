# SPDX-License-Identifier: Apache-2.0
"""Machines that prove who they are by a secret of their own (client credentials, RFC 6749 section 4.4).

A secret names its machine: ``NAME.SECRET``. So it can be given together with the client id ``sigstore``, whose tokens count at
the certificate authority; that is how cosign sends it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from oidc_dev.account_file import AccountFile
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.patterns import pattern
from sigcore.strict import encode_time, parse_time, shown
from sigcore.values import dataclass

_NAME: Final = pattern(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z", re.ASCII)
_SUBJECT: Final = pattern(
    r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@/-]*)?\Z", re.ASCII
)
"""What the authority writes into a certificate as a URI."""
_COLUMNS: Final = "name, subject, secret, created, disabled"


@dataclass(frozen=True, slots=True)
class Machine:
    """A program that may have tokens about itself. ``secret`` is the SHA-256 of 256 random bits: nothing to be guessed."""

    name: str
    subject: str
    secret: bytes
    created: datetime
    disabled: bool = False


class Machines(Protocol):
    """Machines by name. Every call may block; it raises Unavailable when the storage fails."""

    def find(self, name: str) -> Machine | None:
        """The machine of that name, or None."""
        ...


class SqliteMachines:
    """:class:`Machines` beside the accounts, in the file ``path``. What changes one raises NotFound: there is none."""

    def __init__(self, path: Path) -> None:
        self._file = AccountFile(path)

    def find(self, name: str) -> Machine | None:
        """See :class:`Machines`."""
        return next(iter(self._rows("WHERE name = ?", name)), None)

    def list(self) -> tuple[Machine, ...]:
        """All of them, by name."""
        return self._rows("ORDER BY name")

    def add(self, machine: Machine) -> None:
        """Store a new one. Refused: there is one of that name."""
        values = (machine.name, machine.subject, machine.secret, encode_time(machine.created), machine.disabled)
        with self._file.writing() as database:
            statement = f"INSERT INTO machine ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING"  # noqa: S608 - constants
            if not database.execute(statement, values).rowcount:
                hint = "sigbox client secret gives it another secret"
                raise Refused(f"there is a client {machine.name} already", hint)

    def remove(self, name: str) -> Machine:
        """Remove it and say what it was."""
        return self._change("DELETE FROM machine WHERE name = ?", name)

    def set_secret(self, name: str, secret: bytes) -> Machine:
        """Give it another secret; the one before is no good any more."""
        return self._change("UPDATE machine SET secret = ? WHERE name = ?", secret, name)

    def set_disabled(self, name: str, *, disabled: bool) -> Machine:
        """Lock it out, or let it in again."""
        return self._change("UPDATE machine SET disabled = ? WHERE name = ?", disabled, name)

    def _change(self, statement: str, *values: str | bytes | bool) -> Machine:
        with self._file.writing() as database:
            changed = [_machine(row) for row in database.execute(f"{statement} RETURNING {_COLUMNS}", values)]
        if not changed:
            raise NotFound(f"there is no client {values[-1]!s}", "sigbox client list shows those that are there")
        return changed[0]

    def _rows(self, clause: str, *values: str) -> tuple[Machine, ...]:
        with self._file.reading() as database:
            if database is None:
                return ()
            return tuple(map(_machine, database.execute(f"SELECT {_COLUMNS} FROM machine {clause}", values)))  # noqa: S608 - constants


def new_secret(name: str) -> tuple[str, bytes]:
    """A fresh secret of the machine ``name``: the text for the machine, and what is kept of it."""
    text = f"{name}.{secrets.token_urlsafe(32)}"
    return text, _hashed(text)


def machine_of(secret: str) -> str:
    """The name in a secret; empty where it holds none."""
    name, dot, _ = secret.partition(".")
    return name if dot and _NAME.match(name) else ""


def secret_holds(machine: Machine | None, secret: str) -> bool:
    """Whether ``secret`` is that of ``machine``, which may be None or disabled: the answer is no, after the same work."""
    kept = machine.secret if machine else bytes(32)
    return hmac.compare_digest(kept, _hashed(secret)) and machine is not None and not machine.disabled


def parse_machine_name(text: str) -> str:
    """``text`` as it is, if it is a name: up to 63 of a-z, 0-9 and inner dashes.

    Raises:
        Malformed: names it.
    """
    if not _NAME.match(text):
        raise Malformed(f"the client is named {shown(text)}", "expected up to 63 of a-z, 0-9 and inner dashes")
    return text


def parse_machine_subject(text: str) -> str:
    """``text`` as it is, if it is a URI that a certificate can name: http or https, with a host, without query and fragment.

    Raises:
        Malformed: names it.
    """
    if len(text) > 1024 or not _SUBJECT.match(text):
        hint = "for example https://ci.example.com/release: it will stand in certificates"
        raise Malformed(f"the subject is {shown(text)}, expected an http or https URI", hint)
    return text


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8")).digest()


def _machine(row: tuple[str, str, bytes, str, int]) -> Machine:
    name, subject, secret, created, disabled = row
    return Machine(name, subject, secret, parse_time(created, what="the time of a client"), bool(disabled))
