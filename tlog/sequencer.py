# SPDX-License-Identifier: Apache-2.0
"""The one writer of a log: pool -> batch -> durable commit -> anchor -> answers.

One batch:

1. Take what is in the pool, with what arrives while the event loop turns. Answer those entries that the log has already.
   Hash the leaves of the others, grow the tree, sign the head.
2. Commit entries, tiles and head in one transaction.                      <- the commit point
   While the store's thread writes them, the signature is verified here, without which nothing is committed. While it waits for
   the disk, each entry is proved in the new tree, and each proof checked.
3. Move the anchor to the new head, durably.                               <- from here on it may have been seen
   Where there are witnesses, ask them for cosignatures of it (``cosigning.py``).
4. Publish the head to readers.
5. Answer the callers.
6. Store a chunk of older keys, when one is due.

While one batch is being stored the next one gathers: the disk sets the pace, there is no timer, and an idle log answers at
once. When any step fails, the outcome is taken as unknown: everyone who waits is told to try again, nothing is written, and
the state is read back from the store before the next batch. Trying again is safe, because one entry has one index.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sigcore import limits, merkle
from sigcore.device_key import aside
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.merkle import Hash
from sigcore.values import dataclass
from tlog.anchor import Anchor, Anchored
from tlog.publish import Publisher, Signed, SigningClock
from tlog.recent import Recent
from tlog.recovery import keys_of, recover
from tlog.storage.base import Batch, Head, LogStore, prefix_of
from tlog.submission import Receipt, Submission
from tlog.tree import Growth, grow
from tlog.view import View
from tlog.waiting import Caller, Waiting

if TYPE_CHECKING:  # few logs have witnesses
    from tlog.cosigning import Cosigners, Prove

BATCH_ENTRIES: Final = 256
"""Entries of one commit: large enough that its cost is shared well, small enough that callers do not wait for others."""
POOL_ENTRIES: Final = 4096
"""Entries that may wait; more callers are turned away with Unavailable."""
GATHER_TURNS: Final = 3
"""Turns of the event loop from the arrival of a request to its entry in the pool: read, handle, and one to be sure."""
RETRY_S: Final = 1.0
"""How often a store that failed is tried again."""

RENEW_S: Final = 2.0
"""How often the head of an idle log is brought again to witnesses whose cosignature it lacks."""
_CLOSED: Final = "it is not open"

_log = logging.getLogger(__name__)


class Commits:
    """What was committed since the start: batches, entries, and the seconds that the store took."""

    def __init__(self) -> None:
        self.batches = 0
        self.entries = 0
        self.seconds = 0.0


@dataclass(frozen=True, slots=True)
class _Step:
    """A batch with everything that follows from it."""

    waiting: tuple[Waiting, ...]
    leaf_hashes: tuple[Hash, ...]
    growth: Growth
    batch: Batch
    signed: Signed


class Sequencer:
    """Owns the writing side of a log; ``view`` is its reading side and is replaced when the state is read back."""

    def __init__(self, store: LogStore, anchor: Anchor, publisher: Publisher, clock: SigningClock) -> None:
        self._store = store
        self._anchor = anchor
        self._publisher = publisher
        self._clock = clock
        self._pool: deque[Waiting] = deque()
        self._pending: dict[bytes, Waiting] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._fault = _CLOSED
        """Why no entry is taken now; empty when all is well."""
        self.room: Callable[[], str] = str
        """Why the disk has no room for entries; empty while it has. Asked before one is taken, so nothing is left half done."""
        self._stopping = False
        self._crowded = True
        """The last batch was not a lone entry: who comes alone again is not made to wait for others."""
        self._generation = 0
        self.cosigners: Cosigners | None = None
        """Who is asked to cosign each head; to be set before the start."""
        self._signed: Head | None = None
        """The stored head, which the anchor names: that which is shown has the lines of witnesses too."""
        self._unshown: tuple[View, Recent] | None = None
        """What is stored and may not be shown before the quorum of witnesses has cosigned it."""
        self.commits = Commits()
        self.view: View
        self._recent: Recent

    # --- start and stop ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Read the state and begin to take entries. The caller owns the store. Refused and Unavailable: as recover."""
        await self._recover()
        if self.cosigners is not None:
            self._wake.set()  # to bring the head to them at once
        self._task = asyncio.create_task(self._run(), name=f"sequencer of {self._publisher.origin}")

    async def stop(self) -> None:
        """Turn new entries away, commit those that wait, store the keys that are left."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def _recover(self) -> None:
        view, recent = await recover(self._store, self._anchor, self._publisher)
        self._signed = view.head if view.size else None
        if self._signed is not None:
            self._clock.raise_floor(self._signed.timestamp_ms)
        if self.cosigners is None or not self.cosigners.quorum or self._signed is None:
            self.view, self._recent, self._fault = view, recent, ""
            return
        self._unshown = view, recent
        if not self._generation and self._fault == _CLOSED:  # the start: there is no older head to go on showing
            self.view, self._recent, self._fault = view, recent, "its witnesses have not cosigned its head yet"
            view.withhold(self._fault)

    # --- submit ------------------------------------------------------------------------------------------
    def offer(self, submission: Submission) -> asyncio.Future[Receipt]:
        """Add an entry, or find it: the receipt of the entry with this identity, once it is durable.

        Raises (of both, this call and the future):
            Malformed: the leaf is longer than an entry bundle can hold. Unavailable: the log cannot take or answer it now;
                it may or may not have been stored, and submitting it again is safe.
        """
        return self._waiting_for(submission).join()

    def bring(self, submission: Submission, caller: Caller) -> None:
        """As :meth:`offer`; ``caller`` is told instead, and must not raise: others are told after him."""
        self._waiting_for(submission).callers.append(caller)

    def _waiting_for(self, submission: Submission) -> Waiting:
        if len(submission.leaf) > limits.ENTRY:
            raise Malformed(f"the log entry is {len(submission.leaf)} bytes long, the limit is {limits.ENTRY}")
        waiting = self._pending.get(submission.identity)
        if waiting is None:
            self._check_open()
            if len(self._pending) >= POOL_ENTRIES:
                raise Unavailable(f"{POOL_ENTRIES} entries are waiting for the log", "try again in a moment")
            # From here on everyone else who brings this entry waits for the same answer.
            waiting = self._pending[submission.identity] = Waiting(submission)
            self._pool.append(waiting)
            self._wake.set()
        return waiting

    async def find(self, key: bytes) -> int | None:
        """The index of the published entry with this identity or leaf hash; exact."""
        while True:
            generation = self._generation
            index = self._recent.get(key)
            if index is None:
                index = await self.view.find(key)
            # What was looked up while the state was read back may have missed an entry on either side.
            if generation == self._generation:
                return index

    @property
    def fault(self) -> str:
        """Why no entry is taken now; empty when all is well."""
        return self._fault or self.room()

    @property
    def waiting(self) -> int:
        """Entries that were brought and are not answered."""
        return len(self._pending)

    def _count(self, entries: int, seconds: float) -> None:
        self.commits.batches += 1
        self.commits.entries += entries
        self.commits.seconds += seconds

    def _check_open(self) -> None:
        if self.fault or self._stopping:
            raise self._unavailable()

    def _unavailable(self) -> Unavailable:
        reason = self.fault or "it is shutting down"
        return Unavailable(f"the log takes no entries: {reason}", "submitting again later is safe")

    # --- the writer --------------------------------------------------------------------------------------
    async def _run(self) -> None:
        while True:
            await self._await_quorum()
            await self._woken()
            self._wake.clear()
            try:
                while self._pool or self._recent.due():
                    await self._advance()
                if self._stopping:
                    await self._sweep_rest()
                elif self.cosigners is not None:
                    await self._renew(self.cosigners)
            except Exception as error:  # noqa: BLE001  # whatever it is, its outcome is unknown: stop and read back
                self._stop_writing(error)
                await self._read_back()
            if self._stopping:
                return

    async def _advance(self) -> None:
        if len(self._pool) > 1 or self._crowded:
            await self._gather()
        waiting = await self._answer_known([self._pool.popleft() for _ in range(min(BATCH_ENTRIES, len(self._pool)))])
        self._crowded = len(waiting) > 1
        if waiting:
            step, receipts = await self._prepare(waiting), list[Receipt]()
            began = time.perf_counter()
            # --- commit point: the batch is durable. What fails from there on is answered with "try again", which finds it.
            await self._store.commit(
                step.batch,
                self._anchoring(step.batch.head),
                step.signed.verified,
                lambda: receipts.extend(self._foresee(step)),
            )
            self._count(len(waiting), time.perf_counter() - began)
            if self.cosigners is not None and step.batch.first:  # a log's own first entry waits for nobody
                step, receipts = await self._cosigned(self.cosigners, step, receipts)
            # --- visible: the checkpoint may be shown. Nothing above this line has told anyone about the batch.
            self._publish(step)
            self._answer(step, receipts)
        if self._recent.due():
            await self._store_chunk()

    async def _gather(self) -> None:
        """Turns of the event loop, not time: what has arrived already shares this commit instead of waiting for it."""
        found = 0
        while found < len(self._pool) < BATCH_ENTRIES:
            found = len(self._pool)
            for _ in range(GATHER_TURNS):
                await asyncio.sleep(0)

    async def _answer_known(self, waiting: Sequence[Waiting]) -> tuple[Waiting, ...]:
        """Answer the entries that are in the log; those that are not are left to be added.

        Nothing is being committed meanwhile, so this is exact.
        """
        recent = [self._recent.get(one.submission.identity) for one in waiting]
        prefixes = [prefix_of(one.submission.identity) for one in waiting]
        sought = [prefix for prefix, index in zip(prefixes, recent, strict=True) if index is None]
        stored = {key.prefix for key in await self._store.known(sought)}
        new: list[Waiting] = []
        for one, prefix, index in zip(waiting, prefixes, recent, strict=True):
            found = await self.view.find(one.submission.identity) if index is None and prefix in stored else index
            if found is None:
                new.append(one)
            else:
                await self._answer_duplicate(one, found)
        return tuple(new)

    async def _answer_duplicate(self, one: Waiting, index: int) -> None:
        try:
            one.answer(await self.view.receipt(index))
        except SigError as error:  # damage to one entry is no fault of the others
            one.fail(error)
        del self._pending[one.submission.identity]

    async def _prepare(self, waiting: tuple[Waiting, ...]) -> _Step:
        entries = tuple(one.submission for one in waiting)
        leaf_hashes = tuple(merkle.hash_leaf(entry.leaf) for entry in entries)
        tree = self.view.tree
        growth = grow(tree, leaf_hashes)
        size, root, timestamp_ms = growth.tree.size, growth.tree.frontier.root(), self._clock.latest_ms()
        signed = await aside(self._publisher.key, partial(self._publisher.sign, size, root, timestamp_ms))
        batch = Batch(tree.size, entries, growth.tiles, Head(size, root, timestamp_ms, signed.envelope))
        return _Step(waiting, leaf_hashes, growth, batch, signed)

    def _anchoring(self, head: Head) -> Callable[[], None]:
        previous, shown = None, self._signed
        if shown is not None:
            previous = Anchored(shown.size, shown.root, shown.checkpoint)
        return partial(self._anchor.advance_here, previous, Anchored(head.size, head.root, head.checkpoint))

    def _publish(self, step: _Step) -> None:
        head = step.batch.head
        self._signed = head if self.cosigners is None else replace(head, checkpoint=step.signed.envelope)
        self.view.publish(step.growth, step.batch.head)
        for index, (entry, leaf_hash) in enumerate(
            zip(step.batch.entries, step.leaf_hashes, strict=True), step.batch.first
        ):
            self._recent.add(index, keys_of(entry, leaf_hash))

    def _foresee(self, step: _Step) -> tuple[Receipt, ...]:
        return self.view.foreseen(step.growth, step.batch.head, step.batch.entries, step.leaf_hashes)

    def _answer(self, step: _Step, receipts: Sequence[Receipt]) -> None:
        for one, receipt in zip(step.waiting, receipts, strict=True):
            del self._pending[one.submission.identity]
            one.answer(receipt)

    async def _store_chunk(self) -> None:
        self._recent.begin()
        keys, upto = self._recent.next()
        await self._store.remember(keys, upto)
        self._recent.stored()

    async def _sweep_rest(self) -> None:
        self._recent.begin()
        while self._recent.due():
            await self._store_chunk()

    # --- witnesses ---------------------------------------------------------------------------------------
    async def _cosigned(
        self, cosigners: Cosigners, step: _Step, receipts: Sequence[Receipt]
    ) -> tuple[_Step, list[Receipt]]:
        """The batch, which is durable, with the cosignatures of its head. Unavailable: there is no quorum, so nobody is told of it."""
        head = step.batch.head
        prove = partial(self.view.consistency_ahead, step.growth)
        checkpoint = await cosigners.cosign(head.checkpoint, head.size, prove)
        batch = replace(step.batch, head=replace(head, checkpoint=checkpoint))
        return replace(step, batch=batch), [replace(receipt, checkpoint=checkpoint) for receipt in receipts]

    async def _await_quorum(self) -> None:
        """Show what is stored as soon as enough witnesses have cosigned its head; no entry is taken before."""
        while self._unshown is not None and self.cosigners is not None and not self._stopping:
            view, recent = self._unshown
            signed = self._signed or view.head
            try:
                checkpoint = await self.cosigners.cosign(signed.checkpoint, signed.size, _prove(view))
            except SigError as error:
                self._fault = error.message
                await self._pause()
                continue
            view.show(replace(signed, checkpoint=checkpoint))
            self.view, self._recent, self._fault, self._unshown = view, recent, "", None
            self._generation += 1

    async def _renew(self, cosigners: Cosigners) -> None:
        """Bring the head to witnesses whose cosignature it lacks: they were away, or nothing has been asked since the start."""
        if self._unshown is None and self._signed is not None and cosigners.lacking(self.view.head.checkpoint):
            signed = self._signed
            with contextlib.suppress(Unavailable):  # said already, and what is shown stays
                checkpoint = await cosigners.cosign(
                    signed.checkpoint, signed.size, _prove(self.view), shown=self.view.head.checkpoint
                )
                self.view.show(replace(signed, checkpoint=checkpoint))

    async def _woken(self) -> None:
        """Something is to be done. With witnesses, also now and then."""
        if self.cosigners is None:
            await self._wake.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RENEW_S if self._signed else None):
                await self._wake.wait()

    # --- failure -----------------------------------------------------------------------------------------
    def _stop_writing(self, error: Exception) -> None:
        _log.error("the log %s stopped writing: %s", self._publisher.origin, error)
        self._fault = _say(error)
        self._generation += 1
        self._pool.clear()
        if not self._stopping:
            self._wake.clear()  # what was brought meanwhile is answered here: nothing is left to wake up for
        for waiting in self._pending.values():
            waiting.fail(self._unavailable())
        self._pending.clear()

    async def _read_back(self) -> None:
        """Until it succeeds, or until there is no point in trying: the log is another's now, or is not what it was."""
        while not self._stopping:
            try:
                await self._store.reopen()
                await self._anchor.close()
                await self._anchor.open()
                await self._recover()
            except Refused as refused:
                _log.critical("the log %s stays closed: %s", self._publisher.origin, refused)
                self._fault = refused.message
                return
            except Exception as error:  # noqa: BLE001  # the storage is still not well: stay closed, say why, try again
                _log.warning("the log %s cannot be read back yet: %s", self._publisher.origin, error)
                self._fault = _say(error)
                await self._pause()
            else:
                self._generation += 1
                return

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._wake.wait()


def _prove(view: View) -> Prove:
    """Proofs up to the size that ``view`` has now."""
    size = view.size
    return lambda old: view.consistency(old, size)


def _say(error: Exception) -> str:
    """Of a failure, what everybody may read."""
    return error.message if isinstance(error, SigError) else f"{type(error).__name__} in the log"
