# SPDX-License-Identifier: Apache-2.0
"""Follows the logs, holds every new entry against the rules, keeps what it finds, and tells it.

1. Two tasks beside the logs: one judges, one tells. No log waits for either: both read what is published.
2. The first time that a log is watched, it is from its end on; later from where the last process stopped. A tree that a rotation
   has added to it is watched from its first entry on.
3. An alert is posted until it is taken: after 1 s, 4 s, 16 s ... an hour, TRIES times; then it is given up until the next start.
   It may be posted twice (an answer that was lost), and is never forgotten before it was taken, unless there are too many.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sigcore.errors import SigError, Unavailable
from stack.shards import Shard
from stack.watch.matching import WatchRule, sightings
from stack.watch.store import Alert, AlertStore, State, Watched
from tlog.audit import Gentle
from tlog.catalog.catalog import SOURCES, Source, facts_of
from tlog.published import Published
from tlog.storage.worker import Worker

BATCH_ENTRIES: Final = 256
IDLE_S: Final = 1.0
"""How often the logs are looked at, and the longest that a fresh alert waits."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 3600.0
TRIES: Final = 12
"""With the waits between them, about six hours."""
SHOWN: Final = 20

_log = logging.getLogger("sigbox.watch")
_T = TypeVar("_T")
Post = Callable[[Alert], Awaitable[str]]
"""Tells an alert: empty when it was taken, else why not."""


class Watcher:
    """See the module.

    Args:
        path: where alerts are kept; None for memory.
        rules: whom to look out for.
        sources: the logs by name, open from before :meth:`start` until after :meth:`stop`.
        post: how to tell; None to keep alerts only.
        first_wait_s: before the second try; each later wait is four times as long.
    """

    def __init__(
        self,
        path: Path | None,
        rules: Sequence[WatchRule],
        sources: Mapping[str, Source],
        clock: Callable[[], datetime],
        post: Post | None,
        *,
        first_wait_s: float = FIRST_WAIT_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.rules = tuple(rules)
        self.found: dict[str, int] = {rule.name: 0 for rule in rules}
        """Alerts of each rule since the start."""
        self.delivered = 0
        self.failed = 0
        """Posts that were taken, and tries that were not."""
        self._faults: dict[str, str] = {}
        """By the task that failed."""
        self._store = AlertStore(path)
        self._sources = dict(sources)
        self._clock = clock
        self._post = post
        self._first_wait_s = first_wait_s
        self._idle_s = idle_s
        self._judged: dict[str, int] = {}
        self._opened = False
        self._worker: Worker | None = None
        self._fresh = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, name: str, log: Published) -> None:
        """Watch another log too, from now on."""
        self._sources[name] = SOURCES[Shard.of(name).log](log)

    # --- start and stop ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open, begin to follow. A storage that fails stops no log: it is said, and tried again."""
        self._worker = Worker("alerts")
        try:
            await self._open()
        except SigError as error:
            self._failing("judge", error)
        works: dict[str, Callable[[], Awaitable[None]]] = {"judge": self._follow}
        if self._post is not None:
            works["tell"] = partial(self._tell, self._post)
        self._tasks = [asyncio.create_task(self._steadily(name, work), name="watch") for name, work in works.items()]

    async def _open(self) -> None:
        self._judged = await self._begin(self._new(), told=self._post is not None)
        self._opened = True

    async def _begin(self, new: dict[str, int], *, told: bool) -> dict[str, int]:
        """The trees that a rotation has added follow the first one of their log."""
        follows = {name: shard.log for name in new if (shard := Shard.of(name)).number > 1}
        return await self._on_worker(partial(self._store.open, new, told=told, follows=follows))

    def _new(self) -> dict[str, int]:
        """The logs that were not looked at yet. One without an entry is a copy that has not come yet: its end is not known."""
        sizes = {name: source.log.size for name, source in self._sources.items() if name not in self._judged}
        return {name: size for name, size in sizes.items() if size}

    async def stop(self) -> None:
        """Stop, close. What was not judged or told is after the next start."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.run(self._store.close)
            worker.close()

    @property
    def fault(self) -> str:
        """Why the rules are not followed now; empty when all is well."""
        return next(iter(self._faults.values()), "")

    async def _steadily(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """``work`` again and again; what fails is said, and tried again."""
        while True:
            try:
                if not self._opened:
                    await self._open()
                await work()
                self._faults.pop(name, None)
            except Exception as error:  # noqa: BLE001 - said in the log and on the page; the rules must go on being followed
                self._failing(name, error)
                await asyncio.sleep(self._idle_s)

    def _failing(self, name: str, error: Exception) -> None:
        said = str(error) or type(error).__name__
        if said not in self._faults.values():
            _log.error("the watch rules are not followed: %s", said)
        self._faults[name] = said

    async def look(self) -> Watched:
        """What there is now. Unavailable: the storage failed, or it is not open."""
        alerts = await self._on_worker(partial(self._store.newest, SHOWN))
        numbers, dropped = await self._on_worker(self._store.numbers)
        return Watched(alerts, numbers, dropped, dict(self._judged))

    # --- judge -------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        """(2)"""
        pace = Gentle()
        if new := self._new():
            self._judged |= await self._begin(new, told=False)
        for name in self._judged:
            while self._judged[name] < self._sources[name].log.size:
                await self._judge(name)
                await pace()
        await asyncio.sleep(self._idle_s)

    async def _judge(self, name: str) -> None:
        source, first = self._sources[name], self._judged[name]
        end = min(first + BATCH_ENTRIES, source.log.size)
        alerts: list[Alert] = []
        for index, entry in enumerate(await source.log.entries(first, end), first):
            facts = facts_of(source, entry)
            for seen in sightings(self.rules, Shard.of(name).log, facts):
                found = (seen.rule, name, index, seen.identity, seen.issuer, seen.expected, facts.time_ms or 0)
                alerts.append(Alert(0, *found, self._now_ms(), self._first_state))
        await self._on_worker(lambda: self._store.add(name, end, alerts))
        self._judged[name] = end
        for alert in alerts:
            self.found[alert.rule] += 1
            _log.warning(
                "alert %s: entry %d of %s is of %a by %a", alert.rule, alert.index, name, alert.identity, alert.issuer
            )
        if alerts:
            self._fresh.set()

    @property
    def _first_state(self) -> State:
        return State.KEPT if self._post is None else State.WAITING

    # --- tell --------------------------------------------------------------------------------------------
    async def _tell(self, post: Post) -> None:
        """(3) One alert, or a rest until there is one."""
        self._fresh.clear()
        due = await self._on_worker(self._store.due)
        rest_s = self._idle_s if due is None else (due[0] - self._now_ms()) / 1000
        if rest_s > LONGEST_WAIT_S:  # the clock was set back
            rest_s = 0
        if due is None or rest_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(rest_s, self._idle_s)):
                    await self._fresh.wait()
            return
        alert = due[1]
        said = await _told(post, alert)
        if not said:
            self.delivered += 1
            await self._on_worker(partial(self._store.settle, alert.id, State.DELIVERED))
            return
        self.failed += 1
        _log.warning("alert %s was not taken (try %d): %s", alert.name, alert.tries + 1, said)
        state = State.GIVEN_UP if alert.tries + 1 >= TRIES else State.WAITING
        wait_s = min(self._first_wait_s * 4**alert.tries, LONGEST_WAIT_S)
        next_ms = self._now_ms() + int(wait_s * 1000)
        await self._on_worker(partial(self._store.settle, alert.id, state, next_ms=next_ms, said=said))

    # --- clock and thread --------------------------------------------------------------------------------
    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

    async def _on_worker(self, work: Callable[[], _T]) -> _T:
        if self._worker is None:
            raise Unavailable("the watch rules are not followed")
        return await self._worker.run(work)


async def _told(post: Post, alert: Alert) -> str:
    """What ``post`` says. Whatever it has not thought of is a failed try too: else this alert would hold up all others for ever."""
    try:
        return await post(alert)
    except Exception as error:  # noqa: BLE001 - logged with its traceback
        _log.exception("alert %s could not be posted", alert.name)
        return type(error).__name__
