# SPDX-License-Identifier: Apache-2.0
"""Where the catalogue is stored: a SQLite file of its own, or memory. One thread; what is written and what is asked take turns.

Nothing here is the only copy of anything: what is damaged or older is thrown away and made anew from the logs. So a commit
need not reach the disk at once (``synchronous=NORMAL``).

``hash``      what has no order and is sought whole (digests, keys, serial numbers, commits, entries): 16 bytes of it -> entry
``text``      each identity, issuer and repository once, in small letters
``fragment``  which texts hold which three characters in a row (FTS5, trigram)
``posting``   text -> entries by time; text 0 has every entry
``day``       how many entries of each log have a time on that day
``position``  how much of each log is covered
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from sigcore.errors import Unavailable
from sigcore.values import dataclass
from tlog.catalog.facts import Facts, Kind, Term
from tlog.catalog.query import TEXTS, Part, longest_literal, matches
from tlog.storage.rows import insert_rows
from tlog.storage.search_index import Position

FORMAT: Final = 2
MOST_TEXTS: Final = 500
"""A pattern stands for at most so many texts, the youngest ones."""
MOST_CANDIDATES: Final = 4000
"""Entries that are looked at for one answer where several parts must hold."""
EVERY: Final = 0
DAY_MS: Final = 86_400_000
_KEY: Final = 16
"""A collision takes 2**64 hashes, and its reward is one entry too many in an answer."""
_KINDS: Final = {kind: number for number, kind in enumerate(Kind)}
_PLACE: Final = "time INTEGER NOT NULL, log INTEGER NOT NULL, idx INTEGER NOT NULL"
_ORDER: Final = "time, log, idx"
_SCHEMA: Final = (
    f"CREATE TABLE hash (key BLOB NOT NULL, {_PLACE}, PRIMARY KEY (key, {_ORDER})) WITHOUT ROWID",
    "CREATE TABLE text (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, folded TEXT NOT NULL, UNIQUE (kind, folded))",
    "CREATE VIRTUAL TABLE fragment USING fts5 (folded, content='text', tokenize='trigram')",
    f"CREATE TABLE posting (key INTEGER NOT NULL, {_PLACE}, PRIMARY KEY (key, {_ORDER})) WITHOUT ROWID",
    "CREATE TABLE day (log INTEGER, day INTEGER, number INTEGER NOT NULL, PRIMARY KEY (log, day)) WITHOUT ROWID",
    "CREATE TABLE position (log INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mark BLOB NOT NULL)",
    f"PRAGMA user_version = {FORMAT}",
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """An entry: its time (Unix, milliseconds), the number of its log, its index. In the order of an answer when reversed."""

    time_ms: int
    log: int
    index: int

    def __lt__(self, other: Place) -> bool:
        return (self.time_ms, self.log, self.index) < (other.time_ms, other.log, other.index)


@dataclass(frozen=True, slots=True)
class Places:
    """The youngest first. ``cut`` says that a pattern stands for more texts than were sought, ``last`` where to go on."""

    found: tuple[Place, ...]
    cut: bool = False
    last: Place | None = None


class CatalogStore:
    """The file ``path``, or memory for None. Every call raises Unavailable when the storage fails; all of them block."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._opened: sqlite3.Connection | None = None
        self._logs: dict[str, int] = {}

    # --- open and close ----------------------------------------------------------------------------------
    def open(self, names: Sequence[str]) -> dict[str, Position]:
        """How far each of these logs is covered."""
        with _failures(self._path):
            try:
                self._connect()
                current = self._db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
            except sqlite3.DatabaseError as error:
                _log.warning("the catalogue %s is made anew: %s", self._path, error)
                current = False
            if not current:
                self._make()
            with self._transaction() as db:
                for name in names:
                    db.execute("INSERT OR IGNORE INTO position (name, size, mark) VALUES (?, 0, x'')", (name,))
            rows = self._db.execute("SELECT log, name, size, mark FROM position").fetchall()
        self._logs = {name: log for log, name, _, _ in rows}
        return {name: Position(size, mark) for _, name, size, mark in rows}

    def close(self) -> None:
        """Harmless when it is not open."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def names(self) -> Mapping[int, str]:
        """The names of the logs by their numbers."""
        return {log: name for name, log in self._logs.items()}

    @property
    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            raise Unavailable("the catalogue is not open")
        return self._opened

    def _connect(self) -> None:
        if self._path is not None:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._opened = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "trusted_schema = OFF", "cache_size = -32768"):
            self._opened.execute(f"PRAGMA {pragma}")

    def _make(self) -> None:
        self.close()
        if self._path is not None:
            for ending in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        self._connect()
        with self._transaction() as db:
            for statement in _SCHEMA:
                db.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- write -------------------------------------------------------------------------------------------
    def add(self, name: str, entries: Sequence[tuple[int, int, Facts]], position: Position) -> None:
        """Store (index, time in milliseconds, facts) of entries of a log, and its position, all or nothing."""
        log = self._logs[name]
        with _failures(self._path), self._transaction() as db:
            hashes: list[object] = []
            postings: list[object] = []
            for index, time_ms, facts in entries:
                postings += (EVERY, time_ms, log, index)
                for term in facts.terms:
                    if term.kind in TEXTS:
                        postings += (self._text_id(db, term), time_ms, log, index)
                    else:
                        hashes += (_key(term), time_ms, log, index)
            days = Counter(time_ms // DAY_MS for _, time_ms, _ in entries)
            db.executemany(
                "INSERT INTO day VALUES (?, ?, ?) ON CONFLICT (log, day) DO UPDATE SET number = number + excluded.number",
                [(log, day, number) for day, number in days.items()],
            )
            insert_rows(db, "INSERT OR IGNORE INTO hash", 4, hashes)
            insert_rows(db, "INSERT OR IGNORE INTO posting", 4, postings)
            db.execute("UPDATE position SET size = ?, mark = ? WHERE log = ?", (position.size, position.mark, log))

    def _text_id(self, db: sqlite3.Connection, term: Term) -> int:
        folded = term.value.casefold()
        known = self._known(term.kind, folded)
        if known is not None:
            return known
        made = db.execute("INSERT INTO text (kind, folded) VALUES (?, ?)", (_KINDS[term.kind], folded)).lastrowid or 0
        db.execute("INSERT INTO fragment (rowid, folded) VALUES (?, ?)", (made, folded))
        return made

    def _known(self, kind: Kind, folded: str) -> int | None:
        row = self._db.execute("SELECT id FROM text WHERE kind = ? AND folded = ?", (_KINDS[kind], folded)).fetchone()
        return None if row is None else int(row[0])

    def clear(self, name: str) -> None:
        """Forget what is stored of one log."""
        log = self._logs[name]
        with _failures(self._path), self._transaction() as db:
            for table in ("hash", "posting", "day"):
                db.execute(f"DELETE FROM {table} WHERE log = ?", (log,))  # noqa: S608 - fixed names
            db.execute("UPDATE position SET size = 0, mark = x'' WHERE log = ?", (log,))

    # --- find --------------------------------------------------------------------------------------------
    def count(self, first_day: int) -> dict[tuple[str, int], int]:
        """Entries by log and day, from ``first_day`` on; days are counted from 1970-01-01."""
        names = self.names
        with _failures(self._path):
            rows = self._db.execute("SELECT log, day, number FROM day WHERE day >= ?", (first_day,)).fetchall()
        return {(names[log], day): number for log, day, number in rows}

    def find(self, parts: Sequence[Part], *, before: Place, since_ms: int, limit: int) -> Places:
        """The youngest ``limit`` entries before ``before`` and not before ``since_ms`` for which every part holds.

        1. A part is the union of lists by time, one a term.
        2. The part with the fewest lists is gone through, youngest first; for each entry the other parts are asked.
        3. After ``MOST_CANDIDATES`` entries the answer is what was found, and where to go on.
        """
        if limit < 1:
            raise ValueError(f"a search for {limit} entries would never have enough")
        with _failures(self._path):
            sought = sorted((self._lists(part) for part in parts), key=lambda one: len(one.lists)) or [
                _Sought((_EVERY,))
            ]
            cut = any(one.cut for one in sought)
            first, others = sought[0], sought[1:]
            found: list[Place] = []
            place, looked = before, 0
            for place in islice(self._merged(first, before, since_ms), MOST_CANDIDATES):
                looked += 1
                if all(self._holds(one, place) for one in others):
                    found.append(place)
                if len(found) == limit:
                    return Places(tuple(found), cut, place)
            return Places(tuple(found), cut, place if looked == MOST_CANDIDATES else None)

    def _lists(self, part: Part) -> _Sought:
        """(1)"""
        if part.pattern:
            return self._matching(part)
        lists: list[_List] = []
        for term in part.exact:
            if term.kind not in TEXTS:
                lists.append(_List("hash", _key(term)))
            elif (known := self._known(term.kind, term.value.casefold())) is not None:
                lists.append(_List("posting", known))
        return _Sought(tuple(lists))

    def _matching(self, part: Part) -> _Sought:
        folded, kinds = part.pattern.casefold(), {_KINDS[kind] for kind in part.kinds}
        rows = self._db.execute(
            "SELECT text.id, text.kind, text.folded FROM fragment JOIN text ON text.id = fragment.rowid"
            " WHERE fragment MATCH ? ORDER BY fragment.rowid DESC",
            ('"' + longest_literal(folded).replace('"', '""') + '"',),
        )
        matching = (found for found, kind, text in rows if kind in kinds and matches(folded, text))
        ids = list(islice(matching, MOST_TEXTS + 1))
        return _Sought(tuple(_List("posting", found) for found in ids[:MOST_TEXTS]), cut=len(ids) > MOST_TEXTS)

    def _merged(self, sought: _Sought, before: Place, since_ms: int) -> Iterator[Place]:
        """(2) Every entry once."""
        previous = None
        for place in heapq.merge(*(self._walk(one, before, since_ms) for one in sought.lists), reverse=True):
            if place != previous:
                yield place
            previous = place

    def _walk(self, one: _List, before: Place, since_ms: int) -> Iterator[Place]:
        rows = self._db.execute(
            f"SELECT {_ORDER} FROM {one.table} WHERE key = ? AND time >= ? AND ({_ORDER}) < (?, ?, ?)"  # noqa: S608 - fixed names
            " ORDER BY time DESC, log DESC, idx DESC",
            (one.key, since_ms, before.time_ms, before.log, before.index),
        )
        return (Place(*row) for row in rows)

    def _holds(self, sought: _Sought, place: Place) -> bool:
        return any(
            self._db.execute(
                f"SELECT 1 FROM {one.table} WHERE key = ? AND ({_ORDER}) = (?, ?, ?)",  # noqa: S608 - fixed names
                (one.key, place.time_ms, place.log, place.index),
            ).fetchone()
            for one in sought.lists
        )


@dataclass(frozen=True, slots=True)
class _List:
    """One list of entries by time."""

    table: str
    key: bytes | int


@dataclass(frozen=True, slots=True)
class _Sought:
    """A part as lists."""

    lists: tuple[_List, ...]
    cut: bool = False


_EVERY: Final = _List("posting", EVERY)


def _key(term: Term) -> bytes:
    return hashlib.sha256(f"{term.kind.value}:{term.value}".encode()).digest()[:_KEY]


@contextmanager
def _failures(path: Path | None) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "the file can be deleted while nothing runs: it is made anew from the logs"
        raise Unavailable(f"the catalogue {path or 'in memory'} failed: {error}", hint) from error
