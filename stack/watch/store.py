# SPDX-License-Identifier: Apache-2.0
"""Where alerts are kept: a SQLite file of its own, or memory. One thread; every call blocks.

What was judged and what came of it are one transaction, so an entry that was judged is never judged again, and one whose alert
was lost in a power cut (``synchronous=NORMAL``) is.

``position``  how many entries of each log were judged
``alert``     what was found, and how far it was told
``tally``     how many alerts were dropped, because there were too many
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sigcore.errors import Unavailable
from sigcore.values import dataclass

FORMAT: Final = 1
MOST: Final = 10_000
"""Alerts that are kept; beyond it the oldest goes, those that were told before those that wait."""
_SCHEMA: Final = (
    "CREATE TABLE position (log TEXT PRIMARY KEY, size INTEGER NOT NULL)",
    (
        "CREATE TABLE alert (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, log TEXT NOT NULL, idx INTEGER NOT NULL,"
        " identity TEXT NOT NULL, issuer TEXT NOT NULL, expected INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
        " found_ms INTEGER NOT NULL, state INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0,"
        " said TEXT NOT NULL DEFAULT '', UNIQUE (rule, log, idx))"
    ),
    "CREATE INDEX waiting ON alert (state, next_ms)",
    "CREATE TABLE tally (name TEXT PRIMARY KEY, number INTEGER NOT NULL)",
    f"PRAGMA user_version = {FORMAT}",
)
_NONE: Final = MappingProxyType[str, str]({})
_ALERT: Final = "id, rule, log, idx, identity, issuer, expected, time_ms, found_ms, state, tries, said"


class State(IntEnum):
    """How far an alert was told: it waits, was taken, was tried often enough, or there is no webhook."""

    WAITING = 0
    DELIVERED = 1
    GIVEN_UP = 2
    KEPT = 3


@dataclass(frozen=True, slots=True)
class Alert:
    """``time_ms`` is the entry's time, ``found_ms`` when it was judged (Unix, milliseconds); ``said`` is the last failure."""

    id: int
    rule: str
    log: str
    index: int
    identity: str
    issuer: str
    expected: bool
    time_ms: int
    found_ms: int
    state: State
    tries: int = 0
    said: str = ""

    @property
    def name(self) -> str:
        """What a receiver knows it by: the same at every try."""
        return f"{self.log}:{self.index}:{self.rule}"


@dataclass(frozen=True, slots=True)
class Watched:
    """What a page shows: the newest alerts, how many there are by state, how many were dropped, how far the logs were judged."""

    alerts: tuple[Alert, ...]
    numbers: Mapping[State, int]
    dropped: int
    judged: Mapping[str, int]


class AlertStore:
    """The file ``path``, or memory for None. Every call raises Unavailable when the storage fails."""

    def __init__(self, path: Path | None, *, most: int = MOST) -> None:
        self._path = path
        self._most = most
        self._opened: sqlite3.Connection | None = None

    def open(self, sizes: dict[str, int], *, told: bool, follows: Mapping[str, str] = _NONE) -> dict[str, int]:
        """How many entries of each log were judged; a log that was never watched begins at its size of now.

        One that ``follows`` another one, which was watched, begins at 0: nothing lies between the two. What waits or was given
        up is tried anew when ``told`` says that there is a webhook.
        """
        with self._transaction() as db:
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in _SCHEMA:
                    db.execute(statement)
            known = {log for (log,) in db.execute("SELECT log FROM position")}
            for log, size in sizes.items():
                begin = 0 if follows.get(log) in known else size
                db.execute("INSERT OR IGNORE INTO position VALUES (?, ?)", (log, begin))
                db.execute("UPDATE position SET size = ? WHERE log = ? AND size > ?", (size, log, size))
            if told:
                db.execute(
                    "UPDATE alert SET state = 0, tries = 0, next_ms = 0 WHERE state IN (?, ?)",
                    (State.WAITING, State.GIVEN_UP),
                )
            found = dict(db.execute("SELECT log, size FROM position").fetchall())
        return {log: found[log] for log in sizes}

    def close(self) -> None:
        """Harmless when it is not open."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def add(self, log: str, size: int, alerts: Sequence[Alert]) -> None:
        """The entries of ``log`` up to ``size`` were judged, and these are the alerts; their ids are not looked at."""
        with self._transaction() as db:
            for one in alerts:
                values = (
                    one.rule,
                    one.log,
                    one.index,
                    one.identity,
                    one.issuer,
                    one.expected,
                    one.time_ms,
                    one.found_ms,
                )
                db.execute(
                    "INSERT OR IGNORE INTO alert (rule, log, idx, identity, issuer, expected, time_ms, found_ms, state)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*values, one.state),
                )
            db.execute("UPDATE position SET size = ? WHERE log = ?", (size, log))
            if alerts:
                self._trim(db)

    def _trim(self, db: sqlite3.Connection) -> None:
        (number,) = db.execute("SELECT count(*) FROM alert").fetchone()
        if number <= self._most:
            return
        rows = db.execute(
            "SELECT id, state FROM alert ORDER BY state = 0, id LIMIT ?", (number - self._most,)
        ).fetchall()
        db.executemany("DELETE FROM alert WHERE id = ?", [(identifier,) for identifier, _ in rows])
        lost = sum(state == State.WAITING for _, state in rows)
        db.execute(
            "INSERT INTO tally VALUES ('dropped', ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number",
            (lost,),
        )

    def due(self) -> tuple[int, Alert] | None:
        """The alert that is to be told next, and when (Unix, milliseconds)."""
        with self._reading() as db:
            row = db.execute(
                f"SELECT next_ms, {_ALERT} FROM alert WHERE state = ? ORDER BY next_ms, id LIMIT 1",  # noqa: S608 - fixed names
                (State.WAITING,),
            ).fetchone()
        return None if row is None else (row[0], _alert(row[1:]))

    def settle(self, identifier: int, state: State, *, next_ms: int = 0, said: str = "") -> None:
        """What came of one more try."""
        with self._transaction() as db:
            db.execute(
                "UPDATE alert SET state = ?, tries = tries + 1, next_ms = ?, said = ? WHERE id = ?",
                (state, next_ms, said, identifier),
            )

    def newest(self, number: int) -> tuple[Alert, ...]:
        """The last ``number`` alerts, the newest first."""
        with self._reading() as db:
            rows = db.execute(f"SELECT {_ALERT} FROM alert ORDER BY id DESC LIMIT ?", (number,)).fetchall()  # noqa: S608 - fixed names
        return tuple(map(_alert, rows))

    def numbers(self) -> tuple[dict[State, int], int]:
        """How many alerts are kept in each state, and how many were dropped before anybody was told."""
        with self._reading() as db:
            rows = db.execute("SELECT state, count(*) FROM alert GROUP BY state").fetchall()
            dropped = db.execute("SELECT number FROM tally WHERE name = 'dropped'").fetchone()
        return {State(state): number for state, number in rows}, dropped[0] if dropped else 0

    # --- the connection ----------------------------------------------------------------------------------
    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connected()
        except (sqlite3.Error, OSError) as error:
            hint = "move the file away while nothing runs: the rules begin anew at the end of the logs"
            raise Unavailable(f"the alerts {self._path or 'in memory'} failed: {error}", hint) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _connected(self) -> sqlite3.Connection:
        if self._opened is None:
            if self._path is not None:
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._opened = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "trusted_schema = OFF"):
                self._opened.execute(f"PRAGMA {pragma}")
        return self._opened


def _alert(row: Sequence[Any]) -> Alert:
    return replace(Alert(*row), state=State(row[9]))
