# SPDX-License-Identifier: Apache-2.0
"""A log that several hosts serve: one of them is elected to write, the others bring it what they are given.

A host that does not write, turn by turn:

1. Look up what it was given: an entry that is in the log is answered. Bring the others to the writer.
2. Catch up with what was committed (``follower.py``); answer whoever waits for one of the new entries, with a proof and under a
   checkpoint that were verified here.
3. Look for the writer. When there is none, or it has said nothing for :data:`SILENT_S`, become the writer: take the lock, raise the
   epoch, call the roll where the database was failed over (``storage/postgres_shared.py``), read everything back.

The writer, turn by turn: take what others have brought, submit it like its own, and show that it lives. Whatever fails on the way
to the database ends the part that a host plays: everyone who waits is told to try again, and it joins anew.

A writer that was only paused finds its epoch over with its next commit, which then stores nothing, and it shows nothing that is
not stored. So there is no second head.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from tlog.anchor import Anchor
from tlog.follower import Follower
from tlog.publish import STEP_BACK_MS, Publisher, SigningClock
from tlog.sequencer import POOL_ENTRIES, Commits, Sequencer
from tlog.storage.base import prefix_of
from tlog.storage.postgres import InUse
from tlog.storage.postgres_shared import SharedStore
from tlog.submission import Receipt, Submission
from tlog.view import View
from tlog.waiting import Caller, Waiting

BEAT_S: Final = 0.5
"""How often a host looks for the writer, and the writer shows that it lives."""
SILENT_S: Final = 3.0
"""A writer that has said nothing for so long is replaced."""
AGAIN_S: Final = 1.0
"""What is not in the log yet is brought again: whoever took it may have died with it."""
PATIENCE_S: Final = 10.0
"""How long a caller waits for a writer."""
RETRY_S: Final = 0.5
"""How often a database that failed is tried again."""
LINE_S: Final = 5.0
"""How often a writer looks whether its database was failed over behind its back. The others see it when they stand for election."""

_log = logging.getLogger(__name__)


class _Brought(Waiting):
    """An entry that somebody else is to write; ``sent_s`` is when it was brought to him last."""

    __slots__ = ("sent_s",)

    def __init__(self, submission: Submission) -> None:
        super().__init__(submission)
        self.sent_s = 0.0


class Elected:
    """As :class:`~tlog.sequencer.Sequencer`, over a store that other hosts have too."""

    def __init__(self, store: SharedStore, anchor: Anchor, publisher: Publisher, clock: SigningClock) -> None:
        self._store = store
        self._anchor = anchor
        self._publisher = publisher
        self._clock = clock
        self._follower = Follower(store, anchor, publisher)
        self._sequencer: Sequencer | None = None
        """While this host is the writer."""
        self.room: Callable[[], str] = str
        """As :attr:`tlog.sequencer.Sequencer.room`, of this host's own disk, which holds its anchor. Others may have more."""
        self._pending: dict[bytes, _Brought] = {}
        self._wake = asyncio.Event()
        self._looked_s = self._probed_s = 0.0
        self._moved = False
        """Whoever connects now gets to another line of servers than was joined."""
        self._fault = "it is not open"
        self._joined = self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._commits = Commits()

    # --- what a log asks ---------------------------------------------------------------------------------
    @property
    def view(self) -> View:
        """What is published on this host."""
        return self._follower.view if self._sequencer is None else self._sequencer.view

    @property
    def fault(self) -> str:
        """Why no entry is taken now; empty when all is well."""
        return self._fault or self.room() if self._sequencer is None else self._sequencer.fault

    @property
    def waiting(self) -> int:
        """Entries that were brought here and are not answered."""
        return len(self._pending) + (self._sequencer.waiting if self._sequencer else 0)

    @property
    def commits(self) -> Commits:
        """What this host has committed since it became the writer."""
        return self._commits if self._sequencer is None else self._sequencer.commits

    def _why_full(self) -> str:
        return self.room()  # set when the log has started already

    async def start(self) -> None:
        """Join the others. Refused, Unavailable: the database is behind this host's anchor, damaged, or not there."""
        await self._join()
        self._task = asyncio.create_task(self._run(), name=f"election for {self._publisher.origin}")

    async def stop(self) -> None:
        """Turn new entries away, commit those that wait here, hand the log over."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            task, self._task = self._task, None
            await task
        for errand in self._errands:
            errand.cancel()
        await self._resign(
            Unavailable("the log takes no entries: it is shutting down", "submitting again later is safe")
        )

    async def find(self, key: bytes) -> int | None:
        """The index of the published entry with this identity or leaf hash; exact."""
        if self._sequencer is not None:
            return await self._sequencer.find(key)
        if not self._joined:  # what was committed here last is not in the index yet
            raise Unavailable(f"the log cannot be searched: {self._fault}", "try again in a moment")
        return await self._follower.find(key)

    def offer(self, submission: Submission) -> asyncio.Future[Receipt]:
        """As :meth:`tlog.sequencer.Sequencer.offer`; Unavailable also when there is no writer for :data:`PATIENCE_S`."""
        if self._sequencer is not None:
            return self._sequencer.offer(submission)
        return asyncio.ensure_future(self._wait_for_writer(submission))

    def bring(self, submission: Submission, caller: Caller) -> None:
        """As :meth:`tlog.sequencer.Sequencer.bring`."""
        if self._sequencer is not None:
            self._sequencer.bring(submission, caller)
        else:
            self._run_errand(self._tell(submission, caller))

    async def _tell(self, submission: Submission, caller: Caller) -> None:
        try:
            receipt = await self._wait_for_writer(submission)
        except SigError as error:
            caller.set_exception(error)
        except BaseException:
            caller.set_exception(Unavailable("the log failed", "submitting again later is safe"))
            raise
        else:
            caller.set_result(receipt)

    async def _wait_for_writer(self, submission: Submission) -> Receipt:
        if self._sequencer is not None:  # since it was offered, a moment ago
            return await self._sequencer.offer(submission)
        if len(submission.leaf) > limits.ENTRY:
            raise Malformed(f"the log entry is {len(submission.leaf)} bytes long, the limit is {limits.ENTRY}")
        if self.fault or self._stopping:
            raise self._unavailable()
        brought = self._pending.get(submission.identity)
        if brought is None:
            if len(self._pending) >= POOL_ENTRIES:
                raise Unavailable(f"{POOL_ENTRIES} entries are waiting for the log", "try again in a moment")
            brought = self._pending[submission.identity] = _Brought(submission)
            self._wake.set()
        answer = brought.join()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await answer
        except TimeoutError as error:
            if self._pending.get(submission.identity) is brought:
                del self._pending[submission.identity]
            raise Unavailable("no host has written the entry", "submitting again later is safe") from error

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"the log takes no entries: {self.fault}", "submitting again later is safe")

    # --- join and resign -----------------------------------------------------------------------------------
    async def _join(self) -> None:
        await self._anchor.open()
        anchored = await self._anchor.read()
        await self._store.join(self._on_head, self._on_inbox, anchored.size if anchored else -1)
        await self._follower.load()
        if self._follower.view.size:
            self._clock.raise_floor(self._follower.view.head.timestamp_ms)
        await self._store.check_in(self._follower.view.size)
        self._joined, self._moved, self._fault = True, False, ""

    def _on_head(self) -> None:
        if self._sequencer is None:
            self._wake.set()

    def _on_inbox(self) -> None:
        if self._sequencer is not None:
            self._wake.set()

    async def _resign(self, error: SigError) -> None:
        """Be nobody: what was shown stays what is shown, and everyone who waits is told to try again."""
        sequencer = self._sequencer
        if sequencer is not None:
            await sequencer.stop()
            self._follower.view = sequencer.view
            self._sequencer = None
        for brought in self._pending.values():
            brought.fail(error)
        self._pending.clear()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                if not self._joined:
                    await self._join()
                await self._turn()
            except Exception as error:  # noqa: BLE001  # whatever it is: leave, and begin anew
                await self._leave(error)
            await self._pause(BEAT_S if self._joined else RETRY_S)

    async def _leave(self, error: Exception) -> None:
        (_log.critical if isinstance(error, Refused) else _log.warning)(
            "the log %s is left: %s", self._publisher.origin, error
        )
        self._fault = error.message if isinstance(error, SigError) else f"{type(error).__name__} in the log"
        self._joined = False
        await self._resign(self._unavailable())
        await self._store.close()
        await self._anchor.close()
        self._wake.clear()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    # --- turn by turn --------------------------------------------------------------------------------------
    async def _turn(self) -> None:
        if self._moved:
            raise Unavailable("the log's database was failed over", "the hosts join anew")
        if self._sequencer is not None:
            await self._lead(self._sequencer)
            return
        await self._bring()  # (1)
        await self._catch_up()  # (2)
        if time.monotonic() - self._looked_s >= BEAT_S:  # (3)
            self._looked_s = time.monotonic()
            await self._elect()

    async def _bring(self) -> None:
        now_s = time.monotonic()
        due = [one for one in self._pending.values() if now_s - one.sent_s >= AGAIN_S]
        if not due:
            return
        stored = {key.prefix for key in await self._store.known([prefix_of(one.submission.identity) for one in due])}
        new = [one for one in due if not await self._answer_known(one, stored)]
        for one in new:
            one.sent_s = now_s
        if new:
            await self._store.bring([one.submission for one in new], self._clock.latest_ms())

    async def _answer_known(self, one: _Brought, stored: set[int]) -> bool:
        identity = one.submission.identity
        recent = self._follower.recent(identity)
        found = await self._follower.view.find(identity) if recent is None and prefix_of(identity) in stored else recent
        if found is None:
            return False
        one.answer(await self._follower.view.receipt(found))
        self._pending.pop(identity, None)
        return True

    async def _catch_up(self) -> None:
        found = await self._follower.catch_up()
        if found:
            self._clock.raise_floor(self._follower.view.head.timestamp_ms)
        for seen in found:
            brought = self._pending.pop(seen.entry.identity, None)
            if brought is not None:
                # What another host brought under the same identity may say something else, and then counts.
                duplicate = seen.entry != brought.submission
                (receipt,) = await self._follower.view.receipts(
                    seen.index, (seen.entry,), (seen.leaf_hash,), duplicate=duplicate
                )
                brought.answer(receipt)

    async def _elect(self) -> None:
        holder = await self._store.holder()
        if holder is not None and holder.silent_s < SILENT_S:
            self._fault = ""
            return
        if holder is not None:
            _log.warning("the writer of %s has said nothing for %.1f s", self._publisher.origin, holder.silent_s)
            await self._store.evict(holder)
        if self.room():
            self._look_behind()
            return  # whoever has room writes
        try:
            await self._store.take_over()
        except InUse:
            return  # another one was faster
        try:
            await self._store.call_roll()
        except Unavailable as missing:
            self._fault = f"{missing.message} ({missing.hint})"
            await self._store.release()
            return
        sequencer = Sequencer(self._store, self._anchor, self._publisher, self._clock)
        sequencer.room = self._why_full
        await self._beat_until(asyncio.create_task(sequencer.start()))
        _log.info("this host writes the log %s from now on", self._publisher.origin)
        self._sequencer, self._fault = sequencer, ""
        for brought in tuple(self._pending.values()):
            self._run_errand(self._hand_over(sequencer, brought))
        self._wake.set()

    async def _beat_until(self, started: asyncio.Task[None]) -> None:
        """What a sequencer reads at its start may take long; the others must not take that for silence."""
        try:
            while not started.done():
                await self._store.beat()
                await asyncio.wait({started}, timeout=BEAT_S)
        except BaseException:
            started.cancel()
            raise
        await started

    async def _hand_over(self, sequencer: Sequencer, brought: _Brought) -> None:
        try:
            brought.answer(await sequencer.offer(brought.submission))
        except SigError as error:
            brought.fail(error)
        self._pending.pop(brought.submission.identity, None)

    async def _lead(self, sequencer: Sequencer) -> None:
        if sequencer.fault:
            raise Unavailable(sequencer.fault)
        if sequencer.waiting < POOL_ENTRIES // 2:
            for entry, at_ms in await self._store.take():
                if self._in_time(at_ms):
                    self._run_errand(self._admit(sequencer, entry))
        if time.monotonic() - self._looked_s >= BEAT_S:
            self._looked_s = time.monotonic()
            await self._store.beat()
        self._look_behind()

    def _look_behind(self) -> None:
        if time.monotonic() - self._probed_s >= LINE_S:
            self._probed_s = time.monotonic()
            self._run_errand(self._probe())

    async def _probe(self) -> None:
        """Sessions that go on may lead to a server that others have left, and wait for this host to leave too."""
        with contextlib.suppress(Unavailable):  # who cannot connect learns nothing about the sessions that there are
            self._moved = await self._store.moved()
            self._wake.set()

    def _in_time(self, at_ms: int) -> bool:
        """A tree head is not signed with an earlier time than an entry below it (RFC 6962 section 3.5), whoever promised that."""
        ahead_ms = at_ms - self._clock.latest_ms()
        if ahead_ms > STEP_BACK_MS:
            _log.warning(
                "%s: a host's clock is %d s ahead, its entries are not taken", self._publisher.origin, ahead_ms // 1000
            )
            return False
        self._clock.raise_floor(at_ms)
        return True

    async def _admit(self, sequencer: Sequencer, entry: Submission) -> None:
        with contextlib.suppress(SigError):  # whoever brought it waits, and brings it again
            await sequencer.offer(entry)

    def _run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
