# SPDX-License-Identifier: Apache-2.0
"""The full pass: hash everything that is stored, and compare.

The start-up checks the edge and a sample; this reads every byte. It needs no ownership and disturbs no writer, so it runs in
the background of a service (:class:`Gentle`), or from a tool on a copy or beside the service (``sigbox fsck``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from sigcore import merkle
from sigcore.errors import NotFound, Refused
from sigcore.merkle import Frontier, Hash
from sigcore.tiles import WIDTH
from sigcore.values import dataclass
from tlog.anchor import Anchored
from tlog.publish import HeadReader
from tlog.recovery import keys_of
from tlog.storage.base import LogStore, prefix_of
from tlog.submission import Submission
from tlog.tree import FullTile, Growth, Tree, grow

Progress: TypeAlias = Callable[[int, int], None]
"""(entries done, entries in all)"""
Pace: TypeAlias = Callable[[], Awaitable[None]]
"""Called after each bundle: how long the others have the event loop."""

_EMPTY: Final = Tree(Frontier(), ())


@dataclass(frozen=True, slots=True)
class Audit:
    """What a passed audit has covered: every entry, every complete tile, every remembered key."""

    entries: int
    tiles: int
    root: Hash


def quiet(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


async def at_once() -> None:
    """The pace of a tool: others get one turn."""
    await asyncio.sleep(0)


class Gentle:
    """The pace of a background task: as long a pause as the last bundle took, and much longer while others work.

    That others work shows in how long the event loop takes to come back, and in entries that wait for their log: that may be
    all that is to be seen where other processes have the rest of the work.

    Args:
        waiting: how many entries wait now.
    """

    BUSY_S: Final = 0.001
    PAUSE: Final = 1
    BUSY_PAUSE: Final = 19
    """Pauses as multiples of the work: half of an idle loop, a twentieth of a busy one."""

    def __init__(self, waiting: Callable[[], int] = lambda: 0) -> None:
        self._waiting = waiting
        self._since_s = time.monotonic()

    async def __call__(self) -> None:
        """Pause."""
        asked_s = time.monotonic()
        await asyncio.sleep(0)
        busy = time.monotonic() - asked_s > self.BUSY_S or self._waiting() > 0
        await asyncio.sleep((asked_s - self._since_s) * (self.BUSY_PAUSE if busy else self.PAUSE))
        self._since_s = time.monotonic()


async def audit(
    store: LogStore,
    publisher: HeadReader,
    anchored: Anchored | None = None,
    *,
    progress: Progress = quiet,
    pace: Pace = at_once,
) -> Audit:
    """Re-hash a whole log.

    1. Read the head; its checkpoint must be the log's signature over its size and root.
    2. Hash every entry, rebuild the tree from nothing; every tile that completes must be the stored one.
    3. Where the tree has the anchored size, it must have the anchored root.
    4. The root at the end must be the head's.
    5. Every key of the entries that the index of hashes claims to hold must lead to its entry. This is said last: where an
       entry was changed, that is the reason why the index does not know its hash.

    Args:
        store: open for reading; entries that are added meanwhile are left for the next time.
        publisher: of the log.
        anchored: what the anchor holds, if it is at hand.
        progress: called after each bundle.
        pace: waited for after each bundle.

    Raises:
        Refused: the first thing that does not fit, by its place. Unavailable: the storage failed.
    """
    head = await store.head()
    if head is None:
        if anchored is not None:
            raise Refused(f"the log is empty, but a checkpoint of {anchored.size} has been published")
        return Audit(0, 0, merkle.EMPTY_ROOT)
    checkpoint = publisher.verify(head.checkpoint)
    if (checkpoint.size, checkpoint.root) != (head.size, head.root):
        raise Refused(f"the stored checkpoint is of size {checkpoint.size}, the head of size {head.size}")
    if anchored is not None and anchored.size > head.size:
        raise Refused(f"the log has {head.size} entries, but a checkpoint of {anchored.size} has been published")
    remembered = await store.remembered()
    tree, tiles, lost = _EMPTY, 0, None
    for first in range(0, head.size, WIDTH):
        end = min(first + WIDTH, head.size)
        entries = await _read_bundle(store, first, end)
        leaf_hashes = [merkle.hash_leaf(entry.leaf) for entry in entries]
        if anchored is not None and first < anchored.size <= end:
            _check_anchored(tree, leaf_hashes[: anchored.size - first], anchored)
        growth = grow(tree, leaf_hashes)
        await _check_tiles(store, growth)
        tree, tiles = growth.tree, tiles + len(growth.tiles)
        if lost is None and first < remembered:
            lost = await _find_lost(store, first, entries[: remembered - first], leaf_hashes)
        progress(end, head.size)
        await pace()
    root = tree.frontier.root()
    if root != head.root:
        raise Refused(f"the entries hash to {root.hex()}, the head of size {head.size} says {head.root.hex()}")
    if lost is not None:
        raise Refused(f"entry {lost} is not in the index of hashes", "rebuild the index")
    return Audit(head.size, tiles, root)


async def _read_bundle(store: LogStore, first: int, end: int) -> tuple[Submission, ...]:
    try:
        return await store.entries(first, end)
    except NotFound as error:
        raise Refused(error.message) from error


async def _find_lost(
    store: LogStore, first: int, entries: Sequence[Submission], leaf_hashes: Sequence[Hash]
) -> int | None:
    """The first of ``entries`` that cannot be found by one of its keys."""
    for index, (entry, leaf_hash) in enumerate(zip(entries, leaf_hashes, strict=False), first):
        for key in keys_of(entry, leaf_hash):
            if index not in await store.candidates(prefix_of(key)):
                return index
    return None


def _check_anchored(tree: Tree, leaf_hashes: list[Hash], anchored: Anchored) -> None:
    if tree.frontier.extend(leaf_hashes).root() != anchored.root:
        raise Refused(f"the first {anchored.size} entries are not those that were published")


async def _check_tiles(store: LogStore, growth: Growth) -> None:
    for tile in growth.tiles:
        if not await _stored(store, tile):
            raise Refused(f"the tile {tile.level}/{tile.index} is missing, or does not hold what its entries hash to")


async def _stored(store: LogStore, tile: FullTile) -> bool:
    try:
        return await store.tile(tile.level, tile.index) == tile.hashes
    except NotFound:
        return False
