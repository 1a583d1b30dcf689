# SPDX-License-Identifier: Apache-2.0
"""A log: entries go in through :meth:`Log.submit`, everything else reads what is published."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final, cast

from sigcore.errors import Refused, SigError, Unavailable
from sigcore.merkle import Hash
from sigcore.tiles import Tile
from tlog.anchor import Anchor
from tlog.audit import Audit, Gentle, Pace, Progress, at_once, audit, quiet
from tlog.publish import Clock, Publisher, SigningClock
from tlog.sequencer import Commits, Sequencer
from tlog.storage.base import Head, LogStore, Shared
from tlog.submission import Frozen, Receipt, Submission
from tlog.waiting import Caller

if TYPE_CHECKING:  # few logs have witnesses; the driver of the database is an extra
    from tlog.cosigning import Cosigners
    from tlog.elected import Elected
    from tlog.storage.postgres_shared import SharedStore

__all__ = ["Log", "Receipt", "Submission", "seed"]

READS: Final = 3
"""How often a background audit begins anew when the storage cannot be read, before that counts as damage."""
RETRY_S: Final = 5.0

_log = logging.getLogger(__name__)


def nothing() -> None:
    """Of who follows no log."""


class Log:
    """One Merkle tree with its key, its store and its anchor.

    Args:
        store: owned by this log from :meth:`start` to :meth:`stop`.
        anchor: the same; keep it outside what backups of the store cover.
        publisher: signs the heads; a key belongs to one log only.
        clock: the time of day.
    """

    def __init__(self, store: LogStore, anchor: Anchor, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._anchor = anchor
        self.publisher = publisher
        self.clock = SigningClock(clock)
        self.audited: Audit | None = None
        """What the background audit has covered; None until it has passed."""
        self.audited_ms = 0
        """When the background audit ended, whatever came of it (Unix time, milliseconds); 0 while it has not."""
        self.damage = ""
        """What the background audit found wrong; the log takes no entries any more. Empty when all is well."""
        self.grown: Callable[[], None] = nothing
        """Called after an entry was answered, for whoever follows the log."""
        self.ends_ms: int | None = None
        """From when on it takes no entry, for good (Unix time, milliseconds); None for a log that goes on."""
        self._sequencer = _make_sequencer(store, anchor, publisher, self.clock)

    def heed(self, room: Callable[[], str]) -> None:
        """Take no entry while ``room`` says why there is none for it on this machine's disk; nothing else stops."""
        self._sequencer.room = room

    @property
    def cosigners(self) -> Cosigners | None:
        """Who cosigns its checkpoints; to be set before the start. Refused: it is in a database that several hosts share."""
        return None if isinstance(self._store, Shared) else cast("Sequencer", self._sequencer).cosigners

    @cosigners.setter
    def cosigners(self, cosigners: Cosigners | None) -> None:
        if cosigners is not None:
            if isinstance(self._store, Shared):
                raise Refused("a log in a database that several hosts share asks no witnesses", "keep it in files")
            cast("Sequencer", self._sequencer).cosigners = cosigners

    @property
    def shared(self) -> bool:
        """Whether it is in a database that several hosts share: on this machine's disk there is only its anchor."""
        return isinstance(self._store, Shared)

    async def start(self) -> None:
        """Take the store over, check it (``recovery.py``), begin to take entries.

        Raises:
            Refused: another process owns the log, or what is stored is not what was published. Unavailable: the storage failed.
        """
        try:
            if not isinstance(self._store, Shared):
                await self._store.open()
                await self._anchor.open()
            await self._sequencer.start()
        except BaseException:
            await self._close()
            raise

    async def stop(self) -> None:
        """Commit what waits, turn new entries away, release the store."""
        try:
            await self._sequencer.stop()
        finally:
            await self._close()

    async def _close(self) -> None:
        await self._anchor.close()
        await self._store.close()

    async def submit(self, submission: Submission) -> Receipt:
        """Add an entry; the receipt says where it is, durably. See :meth:`tlog.sequencer.Sequencer.offer`."""
        receipt = await self.offer(submission)
        self.grown()
        return receipt

    def offer(self, submission: Submission) -> asyncio.Future[Receipt]:
        """As :meth:`submit`; the caller calls :attr:`grown` himself. Frozen: it has ended."""
        self._check_open()
        return self._sequencer.offer(submission)

    def bring(self, submission: Submission, caller: Caller) -> None:
        """As :meth:`offer`, for whoever brings many at once and is told of each: see :meth:`tlog.sequencer.Sequencer.bring`."""
        self._check_open()
        self._sequencer.bring(submission, caller)

    def _check_open(self) -> None:
        if self.ends_ms is not None and self.frozen:
            raise Frozen("this log is frozen", "switch to the log that the newest signing config names")
        if self.damage:
            raise Unavailable(f"the log takes no entries: {self.damage}", "its operator must restore it")

    async def find(self, key: bytes) -> int | None:
        """The index of the entry with this identity or leaf hash; None when there is none."""
        return await self._sequencer.find(key)

    async def audit(self, progress: Progress = quiet, pace: Pace = at_once) -> Audit:
        """The full pass over what is stored, while the log serves. Refused and Unavailable: as :func:`tlog.audit.audit`."""
        anchored = await self._anchor.read()  # before the head, which is never behind it
        return await audit(self._store, self.publisher, anchored, progress=progress, pace=pace)

    async def audit_in_background(self) -> None:
        """The full pass, gently; the outcome is in :attr:`audited` or :attr:`damage`, and in the process's log.

        Whatever does not fit closes the log: no entry is added to a tree that cannot be reproduced. Reading goes on, so that
        people can look. The caller cancels this before it stops the log, and may call it again; what it has closed stays closed.
        """
        if self.damage:
            return
        try:
            self.audited = await self._audit_gently()
        except SigError as error:
            self.damage = error.message
            _log.critical("the audit closed the log %s: %s", self.publisher.origin, error)
        else:
            _log.info("the audit of the log %s: %d entries, intact", self.publisher.origin, self.audited.entries)
        self.audited_ms = self.clock.latest_ms()

    async def _audit_gently(self) -> Audit:
        # A database on another machine may be away for as long as it likes; that says nothing about what it holds.
        for _ in count() if isinstance(self._store, Shared) else range(READS - 1):
            try:
                return await self.audit(pace=Gentle(lambda: self.waiting))
            except Unavailable as unavailable:
                _log.warning("the audit of the log %s begins again: %s", self.publisher.origin, unavailable)
                await asyncio.sleep(RETRY_S)
        return await self.audit(pace=Gentle(lambda: self.waiting))

    @property
    def frozen(self) -> bool:
        """Whether it takes entries no more, for good; everything else goes on."""
        return self.ends_ms is not None and self.clock.latest_ms() >= self.ends_ms

    # --- what is published -------------------------------------------------------------------------------
    @property
    def size(self) -> int:
        """The number of published entries."""
        return self._sequencer.view.size

    @property
    def fault(self) -> str:
        """Why no entry is taken now; empty when all is well."""
        return self._sequencer.fault

    @property
    def waiting(self) -> int:
        """Entries that were submitted and are not answered yet."""
        return self._sequencer.waiting

    @property
    def commits(self) -> Commits:
        """What was committed since the start."""
        return self._sequencer.commits

    @property
    def head(self) -> Head:
        """The published head. Unavailable while the log is empty."""
        return self._sequencer.view.head

    def checkpoint(self) -> str:
        """The signed checkpoint of the published head. Unavailable while the log is empty."""
        return self.head.checkpoint

    async def receipt(self, index: int) -> Receipt:
        """The receipt of a published entry at the current head. NotFound beyond it."""
        return await self._sequencer.view.receipt(index)

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """The published entries [first, end). NotFound when one of them is not published."""
        return await self._sequencer.view.entries(first, end)

    async def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile. NotFound when the published tree does not reach that far."""
        return await self._sequencer.view.tile(tile)

    async def inclusion(self, index: int, size: int) -> tuple[Hash, ...]:
        """The inclusion proof of an entry in the tree of ``size`` leaves. Malformed when there is none."""
        return await self._sequencer.view.inclusion(index, size)

    async def consistency(self, first: int, second: int) -> tuple[Hash, ...]:
        """The proof that the tree of ``first`` leaves is a prefix of that of ``second``. Malformed when there is none."""
        return await self._sequencer.view.consistency(first, second)


def _make_sequencer(store: LogStore, anchor: Anchor, publisher: Publisher, clock: SigningClock) -> Sequencer | Elected:
    if not isinstance(store, Shared):
        return Sequencer(store, anchor, publisher, clock)
    from tlog.elected import Elected  # noqa: PLC0415 - its database's driver is an extra

    return Elected(cast("SharedStore", store), anchor, publisher, clock)


async def seed(log: Log, submission: Submission) -> None:
    """Give an empty log its first entry, so that no user's entry has index 0; harmless when there is one.

    Clients read zero and absent as the same in some places (protobuf JSON); index 0 and empty proofs break them.
    """
    if log.size == 0:
        await log.submit(submission)
