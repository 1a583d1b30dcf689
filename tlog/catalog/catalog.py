# SPDX-License-Identifier: Apache-2.0
"""One search over several logs: follows them gently, answers for all that is published, and says how far it has come.

1. While nobody asks, a task reads what the logs have grown by, at the pace of a background task.
2. A question first reads what is missing, when that is little; else the answer says up to where it is complete.
3. Each log's part is compared with the log at the start; one that is of another log is made anew.

Rekor v2 says no times. There an entry with a certificate has the time at which that began, and one with a bare key the time of
the entry before it: it is not older than that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sigcore import merkle
from sigcore.errors import Malformed, SigError, Unavailable
from sigcore.limits import INT64_MAX
from sigcore.values import dataclass
from tlog.audit import Gentle
from tlog.catalog.facts import Facts, certificate_facts, rekor_facts
from tlog.catalog.query import Query
from tlog.catalog.store import CatalogStore, Place, Places
from tlog.kept import parse_kept
from tlog.published import Published
from tlog.storage.search_index import Position
from tlog.storage.worker import Worker
from tlog.submission import Submission

BATCH_ENTRIES: Final = 256
"""Entries of one transaction."""
CATCH_UP_ENTRIES: Final = 1024
"""A question reads at most so many entries of a log for itself."""
MANY_ENTRIES: Final = 64
"""That came since the last look: others work, also where they bring entries from other processes and none waits just now."""
IDLE_S: Final = 1.0
"""How often the task looks whether a log has grown."""
PAGE: Final = 20
MAX_PAGE: Final = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A log and how its entries are read. ``facts`` raises Malformed for what it cannot read."""

    log: Published
    facts: Callable[[Submission], Facts]


def rekor_v2_source(log: Published) -> Source:
    """A log of Rekor v2."""
    return Source(log, lambda entry: rekor_facts(entry.leaf))


def rekor_v1_source(log: Published) -> Source:
    """A log of Rekor v1: it has the time of each entry."""
    return Source(log, lambda entry: rekor_facts(entry.leaf, 1000 * parse_kept(entry.extra).integrated_time))


def certificate_source(log: Published) -> Source:
    """A log of certificates (RFC 6962)."""
    return Source(log, lambda entry: certificate_facts(entry.leaf))


SOURCES: Final[Mapping[str, Callable[[Published], Source]]] = {
    "ct": certificate_source,
    "rekor": rekor_v2_source,
    "rekor-v1": rekor_v1_source,
}
"""The logs of a stack, by the names of their roles."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry of an answer. ``time_ms`` is 0 where nothing is known."""

    log: str
    index: int
    time_ms: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Answer:
    """``hits`` are the youngest first; ``complete`` is the size of each log up to which nothing is missing.

    ``cut`` says that a pattern stands for more names than were sought; ``next`` goes on where this one ends, empty at the end.
    """

    hits: tuple[Hit, ...]
    complete: Mapping[str, int]
    cut: bool = False
    next: str = ""


class Catalog:
    """See the module.

    Args:
        path: where it is stored; None for memory.
        sources: the logs by name, open from before :meth:`start` until after :meth:`stop`.
    """

    def __init__(self, path: Path | None, sources: Mapping[str, Source]) -> None:
        self._store = CatalogStore(path)
        self._sources = dict(sources)
        self._covered: dict[str, int] = {}
        self._times: dict[str, int] = {}
        """Of the last entry that was read of each log."""
        self._worker: Worker | None = None
        self._reading = asyncio.Lock()
        self._size = 0
        """Entries of all logs at the last look."""
        self._task: asyncio.Task[None] | None = None

    # --- start and stop ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open, compare, begin to follow. Unavailable: the storage failed."""
        self._worker = Worker("catalogue")
        try:
            positions = await self._worker.run(lambda: self._store.open(tuple(self._sources)))
            for name, source in self._sources.items():  # (3)
                position = positions[name]
                if position != await _position_at(source.log, position.size):
                    _log.warning("the catalogue of %s is not of this log's entries: made anew", name)
                    await self._worker.run(partial(self._store.clear, name))
                    position = Position()
                self._covered[name] = position.size
        except BaseException:
            await self.stop()
            raise
        self._task = asyncio.create_task(self._follow(), name="catalogue")

    async def stop(self) -> None:
        """Stop following, close. What was not read yet is read after the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.run(self._store.close)
            worker.close()

    # --- follow ------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        """(1)"""
        self._others()  # what was there before is nobody's work now
        while True:
            pace = Gentle(self._others)
            for name in self._sources:
                try:
                    while self._lag(name):
                        await self._read(name, BATCH_ENTRIES)
                        await pace()
                except SigError as error:
                    _log.warning("the catalogue of %s is behind: %s", name, error)
            await asyncio.sleep(IDLE_S)

    def _others(self) -> int:
        """Entries that others have under way; 0 where they seem to have none."""
        logs = [source.log for source in self._sources.values()]
        before, self._size = self._size, sum(log.size for log in logs)
        return sum(log.waiting for log in logs) or max(0, self._size - before - MANY_ENTRIES)

    def _lag(self, name: str) -> int:
        return self._sources[name].log.size - self._covered[name]

    async def _read(self, name: str, most: int) -> None:
        """Take in the next ``most`` entries of a log."""
        source = self._sources[name]
        async with self._reading:
            first = self._covered[name]
            end = min(first + most, source.log.size)
            if first == end or self._worker is None:
                return
            entries = await source.log.entries(first, end)
            rows = [(index, *self._facts(name, entry)) for index, entry in enumerate(entries, first)]
            position = Position(end, merkle.hash_leaf(entries[-1].leaf))
            await self._worker.run(lambda: self._store.add(name, rows, position))
            self._covered[name] = end

    def _facts(self, name: str, entry: Submission) -> tuple[int, Facts]:
        facts = facts_of(self._sources[name], entry)
        time_ms = self._times.get(name, 0) if facts.time_ms is None else facts.time_ms
        self._times[name] = time_ms
        return time_ms, facts

    # --- look up -----------------------------------------------------------------------------------------
    async def find(self, query: Query, *, after: str = "", limit: int = PAGE) -> Answer:
        """The entries for which ``query`` holds, the youngest first.

        Args:
            query: what is sought.
            after: :attr:`Answer.next` of the page before.
            limit: entries of the answer.

        Raises:
            Malformed: an index beside other parts, ``after`` is of no answer. Unavailable: the storage failed.
        """
        for name in self._sources:  # (2)
            if 0 < self._lag(name) <= CATCH_UP_ENTRIES:
                await self._read(name, CATCH_UP_ENTRIES)
        complete = dict(self._covered)
        if any(part.index is not None for part in query.parts):
            return Answer(await self._at_index(query), complete)
        before = _parse_place(after) if after else _end(query)
        places = await self._sought(query, before, min(limit, MAX_PAGE))
        return Answer(await self._hits(places.found), complete, places.cut, _encode_place(places.last))

    @property
    def covered(self) -> Mapping[str, int]:
        """The size of each log up to which it was read."""
        return dict(self._covered)

    async def growth(self, first_day: int, days: int) -> dict[str, tuple[int, ...]]:
        """Entries of each log on each of ``days`` from ``first_day`` (days since 1970-01-01) on. Unavailable: the storage failed."""
        if self._worker is None:
            return {}
        counts = await self._worker.run(partial(self._store.count, first_day))
        return {name: tuple(counts.get((name, first_day + at), 0) for at in range(days)) for name in self._sources}

    async def _sought(self, query: Query, before: Place, limit: int) -> Places:
        if self._worker is None:  # it was closed meanwhile: nothing is no answer
            raise Unavailable("the catalogue is not open", "try again")
        since_ms = query.since_ms or 0
        return await self._worker.run(
            lambda: self._store.find(query.parts, before=before, since_ms=since_ms, limit=limit)
        )

    async def _at_index(self, query: Query) -> tuple[Hit, ...]:
        if len(query.parts) > 1:
            raise Malformed("an index stands alone in a search", "leave the other parts out")
        index = query.parts[0].index or 0
        return tuple([await self.entry(name, index) for name, one in self._sources.items() if index < one.log.size])

    async def entry(self, name: str, index: int) -> Hit:
        """One entry of a log. NotFound when it is not published."""
        source = self._sources[name]
        (entry,) = await source.log.entries(index, index + 1)
        facts = facts_of(source, entry)
        return Hit(name, index, facts.time_ms or 0, facts)

    async def _hits(self, places: Sequence[Place]) -> tuple[Hit, ...]:
        names = self._store.names
        found = []
        for place in places:
            source = self._sources[names[place.log]]
            (entry,) = await source.log.entries(place.index, place.index + 1)
            found.append(Hit(names[place.log], place.index, place.time_ms, facts_of(source, entry)))
        return tuple(found)


def facts_of(source: Source, entry: Submission) -> Facts:
    """What an entry says; nothing for one that cannot be read, which is logged."""
    try:
        return source.facts(entry)
    except Malformed as error:
        _log.warning("an entry of %s cannot be read: %s", source.log.publisher.origin, error)
        return Facts("unknown", ())


async def _position_at(log: Published, size: int) -> Position | None:
    if not 0 < size <= log.size:
        return Position() if size == 0 else None
    (last,) = await log.entries(size - 1, size)
    return Position(size, merkle.hash_leaf(last.leaf))


# --- where to go on ----------------------------------------------------------------------------------
def _end(query: Query) -> Place:
    return Place(INT64_MAX if query.until_ms is None else query.until_ms, 0, 0)


def _encode_place(place: Place | None) -> str:
    return "" if place is None else f"{place.time_ms}.{place.log}.{place.index}"


def _parse_place(text: str) -> Place:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
        raise Malformed("the search goes on after a place that no answer has named", "begin anew")
    return Place(*map(int, parts))
