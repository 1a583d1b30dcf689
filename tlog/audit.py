# SPDX-License-Identifier: Apache-2.0
"""The full pass: hash everything that is stored, and compare.

The start-up checks the edge and a sample; this reads every byte. It needs no ownership and disturbs no writer, so it runs in
the background of a service, or from a tool on a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from sigcore import merkle
from sigcore.errors import NotFound, Refused
from sigcore.merkle import Frontier, Hash
from sigcore.tiles import WIDTH
from tlog.anchor import Anchored
from tlog.publish import Publisher
from tlog.recovery import keys_of
from tlog.storage.base import LogStore, prefix_of
from tlog.tree import FullTile, Growth, Tree, grow

Progress: TypeAlias = Callable[[int, int], None]
"""(entries done, entries in all)"""

_EMPTY: Final = Tree(Frontier(), ())


@dataclass(frozen=True, slots=True)
class Audit:
    """What a passed audit has covered: every entry, every complete tile, every remembered key."""

    entries: int
    tiles: int
    root: Hash


def quiet(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


async def audit(
    store: LogStore,
    publisher: Publisher,
    anchored: Anchored | None = None,
    *,
    progress: Progress = quiet,
) -> Audit:
    """Re-hash a whole log.

    1. Read the head; its checkpoint must be the log's signature over its size and root.
    2. Hash every entry, rebuild the tree from nothing; every tile that completes must be the stored one.
    3. Every key of the entries that the index of hashes claims to hold must lead to its entry.
    4. Where the tree has the anchored size, it must have the anchored root.
    5. The root at the end must be the head's.

    Args:
        store: open for reading; entries that are added meanwhile are left for the next time.
        publisher: of the log.
        anchored: what the anchor holds, if it is at hand.
        progress: called after each bundle.

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
    tree, tiles = _EMPTY, 0
    for first in range(0, head.size, WIDTH):
        end = min(first + WIDTH, head.size)
        leaf_hashes = await _read_bundle(store, first, end, remembered)
        if anchored is not None and first < anchored.size <= end:
            _check_anchored(tree, leaf_hashes[: anchored.size - first], anchored)
        growth = grow(tree, leaf_hashes)
        await _check_tiles(store, growth)
        tree, tiles = growth.tree, tiles + len(growth.tiles)
        progress(end, head.size)
        await asyncio.sleep(0)  # a service goes on answering meanwhile
    root = tree.frontier.root()
    if root != head.root:
        raise Refused(f"the entries hash to {root.hex()}, the head of size {head.size} says {head.root.hex()}")
    return Audit(head.size, tiles, root)


async def _read_bundle(store: LogStore, first: int, end: int, remembered: int) -> list[Hash]:
    try:
        entries = await store.entries(first, end)
    except NotFound as error:
        raise Refused(error.message) from error
    leaf_hashes = [merkle.hash_leaf(entry.leaf) for entry in entries]
    for index, (entry, leaf_hash) in enumerate(zip(entries, leaf_hashes, strict=True), first):
        if index < remembered:
            for key in keys_of(entry, leaf_hash):
                if index not in await store.candidates(prefix_of(key)):
                    raise Refused(f"entry {index} is not in the index of hashes", "rebuild the index")
    return leaf_hashes


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
