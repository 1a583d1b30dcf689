# SPDX-License-Identifier: Apache-2.0
"""A copy of a log that somebody else keeps, read like a log of our own; it has no key but the public one.

One round:

1. Ask for the signed head, and verify its signature.
2. A head of a size that the copy has already must have the root that the copy has there. Where it has not, the log has signed two
   histories: the copy is closed, with both roots in the reason, and a person must look.
3. Read the entries up to that head, in batches, and grow the tree.
4. Its root must be the signed one before any of them is shown. Where it is not, the answers were no good: all of the copy is
   thrown away and read anew, later.

So whatever lies between is believed nothing, and all that is shown is under a head that the log has signed. The copy can be made
anew at any time; a batch that was stored and not confirmed when the process ended is confirmed by the next head, or thrown away.
After a write that failed, what is stored is read back before the next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from sigcore import merkle
from sigcore.checkpoint import Checkpoint
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.merkle import Hash
from tlog.publish import Clock, HeadReader
from tlog.recovery import read_tree
from tlog.storage.base import Batch, Head, LogStore
from tlog.submission import Receipt, Submission
from tlog.tree import grow
from tlog.view import View

BATCH_ENTRIES: Final = 256
LOOK_S: Final = 1.0
"""Between two looks at the log."""
RETRY_S: Final = 5.0
"""The same after one that failed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger(__name__)


class Remote(Protocol):
    """How the log is asked."""

    async def head(self) -> str:
        """Its signed checkpoint, not verified."""
        ...

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """The entries from ``first`` on: one at least, and not beyond ``end``. Not verified."""
        ...


class Mirror:
    """See the module; reading it is as :class:`tlog.published.Published` says.

    Args:
        store: opens a new :class:`LogStore` for the copy.
        forget: takes away what such a store has kept.
        publisher: verifies the heads of the log.
        remote: the log.
        clock: the time of day, for when a head was seen.
    """

    def __init__(
        self,
        store: Callable[[], LogStore],
        forget: Callable[[], None],
        publisher: HeadReader,
        remote: Remote,
        clock: Clock,
    ) -> None:
        self._make_store, self._forget = store, forget
        self._remote, self._clock = remote, clock
        self.publisher = publisher
        self.fault = "it was not asked yet"
        self.damage = ""
        self._head: Head | None = None
        """The last one that is confirmed; the view may be ahead of it."""
        self._store: LogStore
        self._view: View
        self._settled = False
        """The view is what is stored."""
        self._task: asyncio.Task[None] | None = None

    # --- start and stop ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open the copy and begin to follow. Unavailable: the storage failed. Refused: another process has it."""
        await self._open()
        try:
            await self._settle()
        except BaseException:
            await self._store.close()
            raise
        self._task = asyncio.create_task(self._follow(), name=f"copy of {self.publisher.origin}")

    async def stop(self) -> None:
        """Stop following, close."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._store.close()

    async def _open(self) -> None:
        self._store = self._make_store()
        await self._store.open()

    async def _settle(self) -> None:
        try:
            await self._load()
        except (Refused, NotFound, Malformed) as error:
            _log.warning("the copy of the log %s is made anew: %s", self.publisher.origin, error)
            await self._begin_anew()

    async def _load(self) -> None:
        """What is stored, if it fits together. Refused, NotFound, Malformed: it does not."""
        head = await self._store.head()
        tree = await read_tree(self._store, head.size if head else 0)
        if head is not None and tree.frontier.root() != head.root:
            raise Refused("what is stored does not hash to its head")
        self._view, self._head = View(self._store, tree, head), None
        if head is not None and head.checkpoint:
            if (found := self.publisher.verify(head.checkpoint)) != Checkpoint(found.origin, head.size, head.root):
                raise Refused("the stored head is not the one that was signed")
            self._head = head
        self._settled = True

    async def _begin_anew(self) -> None:
        self._settled = False
        await self._store.close()
        self._forget()
        await self._open()
        await self._load()

    # --- follow ------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        while not self.damage:
            try:
                await self.advance()
                self.fault = ""
            except SigError as error:
                if error.message != self.fault:
                    _log.warning("the copy of the log %s is behind: %s", self.publisher.origin, error)
                self.fault = error.message
            await asyncio.sleep(RETRY_S if self.fault else LOOK_S)

    async def advance(self) -> None:
        """One round, as the module says.

        Raises:
            Unavailable: the log gives no usable answer. Refused, Malformed: what it gives is not what it has signed.
        """
        if not self._settled:
            await self._store.close()
            await self._open()
            await self._settle()
        envelope = await self._remote.head()
        signed = self.publisher.verify(envelope)  # (1)
        if signed.size <= self._view.size:
            await self._compare(signed, envelope)  # (2)
            return
        while self._view.size < signed.size:  # (3)
            await self._take(await self._next(signed.size), signed, envelope)

    async def _compare(self, signed: Checkpoint, envelope: str) -> None:
        if signed.size == 0 or await self._view.root(signed.size) == signed.root:
            if self._head is None and signed.size == self._view.size > 0:
                self._head = Head(signed.size, signed.root, self._now_ms(), envelope)
            return
        if self._head is None or signed.size > self._head.size:
            await self._reject(signed)
        root = (await self._view.root(signed.size)).hex()
        self.damage = f"two histories: at {signed.size} entries it has signed {root} and {signed.root.hex()}"
        _log.critical("the log %s has %s", self.publisher.origin, self.damage)
        raise Refused(self.damage, "keep both; whoever runs the log must say which one holds")

    async def _next(self, size: int) -> tuple[Submission, ...]:
        first = self._view.size
        end = min(first + BATCH_ENTRIES, size)
        found = await self._remote.entries(first, end)
        if not 1 <= len(found) <= end - first:
            raise Malformed(f"the log gave {len(found)} entries, expected 1 to {end - first}")
        return found

    async def _take(self, entries: tuple[Submission, ...], signed: Checkpoint, envelope: str) -> None:
        growth = grow(self._view.tree, [merkle.hash_leaf(entry.leaf) for entry in entries])
        size, root = growth.tree.size, growth.tree.frontier.root()
        confirmed = size == signed.size
        if confirmed and root != signed.root:  # (4)
            await self._reject(signed)
        head = Head(size, root, self._now_ms(), envelope if confirmed else "")
        self._settled = False  # until it is known what came of it
        await self._store.commit(Batch(self._view.size, entries, growth.tiles, head))
        self._settled = True
        self._view.publish(growth, head)
        if confirmed:
            self._head = head

    async def _reject(self, signed: Checkpoint) -> None:
        await self._begin_anew()
        raise Refused(
            f"the entries up to {signed.size} do not hash to the head that the log has signed",
            "something on the way changes them, or the log's database is damaged; they are read anew",
        )

    def _now_ms(self) -> int:
        return int((self._clock() - _EPOCH).total_seconds() * 1000)

    # --- read --------------------------------------------------------------------------------------------
    waiting: Final = 0
    """Nobody brings entries to a copy."""
    audited: Final = None
    """Its log's keeper audits; what is here was hashed when it came."""
    audited_ms: Final = 0

    @property
    def size(self) -> int:
        """As :class:`Published` says, like all below."""
        return self._head.size if self._head else 0

    @property
    def head(self) -> Head:
        """Unavailable until the first head is confirmed."""
        if self._head is None:
            raise Unavailable(f"the copy of the log {self.publisher.origin} is empty so far", self.fault)
        return self._head

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """NotFound beyond the head."""
        if end > self.size:
            raise NotFound(f"the entries {first} to {end - 1} are not all in the log, it has {self.size}")
        return await self._view.entries(first, end)

    async def inclusion(self, index: int, size: int) -> tuple[Hash, ...]:
        """Malformed when there is no such proof."""
        self._check_size(size)
        return await self._view.inclusion(index, size)

    async def consistency(self, first: int, second: int) -> tuple[Hash, ...]:
        """Malformed when there is no such proof."""
        self._check_size(second)
        return await self._view.consistency(first, second)

    def _check_size(self, size: int) -> None:
        if size > self.size:
            raise Malformed(f"the tree size is {size}, the log has {self.size} entries")

    async def receipt(self, index: int) -> Receipt:
        """NotFound beyond the head. Unavailable: what is stored does not hash to it."""
        head = self.head
        (entry,) = await self.entries(index, index + 1)
        proof = await self._view.inclusion(index, head.size)
        leaf_hash = merkle.hash_leaf(entry.leaf)
        try:
            merkle.verify_inclusion(leaf_hash=leaf_hash, index=index, size=head.size, proof=proof, root=head.root)
        except SigError as error:
            raise Unavailable(f"entry {index} does not verify: {error.message}", "remove the copy") from error
        return Receipt(
            index, entry.leaf, head.size, head.root, proof, head.checkpoint, duplicate=True, extra=entry.extra
        )
