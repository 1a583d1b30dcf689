# SPDX-License-Identifier: Apache-2.0
"""The sequencer's end of the links: entries of all workers go into the logs, and what became of them goes back.

What is answered in one turn of the event loop, a batch that is, goes in one frame for each worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from sigcore.errors import Malformed, SigError, Unavailable
from stack.shards import Shard
from stack.traffic import Traffic
from stack.workers.counts import NONE, Counts, add_to, parse_counts
from stack.workers.frames import Asked, Entry, Splitter, encode_told, parse_asked
from stack.workers.link import LOGS
from tlog.log import Log
from tlog.submission import Receipt

_log = logging.getLogger("sigbox.link")


class Links:
    """All links.

    Args:
        traffic: where what they count is added.
        workers: how many there should be.
    """

    def __init__(self, traffic: Traffic, workers: int) -> None:
        self.logs: tuple[Log | None, ...] = ()
        self.traffic = traffic
        self._cut = 0
        self._workers = workers
        self.links: set[WorkerLink] = set()
        self._none = asyncio.Event()
        self._none.set()

    def begin(self, logs: Mapping[str, Log]) -> None:
        """Take entries for ``logs``, by the names that :data:`~stack.workers.link.LOGS` has: the newest tree of each.

        A role of its own has not all of them.
        """
        newest = {Shard.of(name).log: log for name, log in logs.items()}
        self.logs = tuple(newest.get(name) for name in LOGS)

    def check(self, _now: datetime) -> None:
        """Raises Unavailable while a worker is missing."""
        if len(self.links) < self._workers:
            raise Unavailable(f"{len(self.links)} of {self._workers} workers are there")

    def enter(self, link: WorkerLink) -> None:
        """A worker has come."""
        self.links.add(link)
        self._none.clear()

    def leave(self, link: WorkerLink) -> None:
        """It has gone."""
        self.links.discard(link)
        self._cut += link.counts.cut
        if not self.links:
            self._none.set()

    def connections(self) -> tuple[int, int]:
        """What all workers have open, and what they cut."""
        now = [link.counts for link in self.links]
        return sum(one.connections for one in now), self._cut + sum(one.cut for one in now)

    async def all_gone(self) -> None:
        """Returns when there is no worker."""
        await self._none.wait()


class WorkerLink(asyncio.Protocol):
    """The link to one worker."""

    def __init__(self, intake: Links) -> None:
        self._intake = intake
        self._splitter = Splitter()
        self._transport: asyncio.WriteTransport | None = None
        self._outcomes: list[tuple[int, Receipt | SigError]] = []
        self.counts: Counts = NONE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: a worker has come."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._intake.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - there is nobody to tell
        """Asyncio: it has gone. What it brought is committed all the same."""
        self._transport = None
        self._intake.leave(self)

    def data_received(self, data: bytes) -> None:
        """Asyncio: entries came."""
        try:
            for frame in self._splitter.feed(data):
                for message in parse_asked(frame):
                    self._take(message)
        except Malformed as error:
            _log.critical("a worker says what cannot be: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def _take(self, message: Asked) -> None:
        if not isinstance(message, Entry):
            before, self.counts = self.counts, parse_counts(message.counts)
            add_to(self._intake.traffic, self.counts, before)
            return
        logs = self._intake.logs
        log = logs[message.log] if message.log < len(logs) else None
        if log is None:
            raise Malformed(f"there is no log {message.log}")
        try:
            log.bring(message.submission, _Brought(self, log, message.number))
        except SigError as error:
            self.tell(message.number, error)

    def tell(self, number: int, outcome: Receipt | SigError) -> None:
        """What became of the entry with this number."""
        if not self._outcomes:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outcomes.append((number, outcome))

    def _flush(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if self._transport is not None:
            self._transport.writelines(encode_told(outcomes))


class _Brought:
    """An entry of a worker that waits: a :class:`tlog.waiting.Caller`."""

    __slots__ = ("_link", "_log", "_number")

    def __init__(self, link: WorkerLink, log: Log, number: int) -> None:
        self._link, self._log, self._number = link, log, number

    def done(self) -> bool:
        """A worker always waits; one that has gone is not told."""
        return False

    def set_result(self, result: Receipt) -> None:
        """It is in the log."""
        self._log.grown()
        self._link.tell(self._number, result)

    def set_exception(self, exception: SigError) -> None:
        """It may or may not be."""
        self._link.tell(self._number, exception)
