# SPDX-License-Identifier: Apache-2.0
"""Start-up: what is stored becomes the state of a log, or a refusal that says what does not fit.

The same steps run at the start and after a write with unknown outcome:

1. Read the head. Rebuild the right edge from the stored entries and tiles; its root must be the head's.
2. The head's checkpoint must be this log's signature over the head's size and root.
3. Re-hash a sample: entries against their tile, tiles against the row above. ``audit.py`` does all of it.
4. Compare with the anchor. Ahead of the head: the database is older than what was published, refuse. Equal size: the same
   root. Behind: the process ended between the two commits; if the anchored tree is a prefix, move the anchor up.
5. Read again the keys of the entries that the index of hashes does not hold yet.

What the caller must still do: own the store, and publish nothing before this returns.
"""

from __future__ import annotations

import random
from typing import Final

from sigcore import merkle
from sigcore.errors import NotFound, Refused, SigError
from sigcore.tiles import HEIGHT, WIDTH
from tlog.anchor import Anchor, Anchored
from tlog.proofs import tile_root
from tlog.publish import HeadReader
from tlog.recent import Recent
from tlog.storage.base import Head, LogStore
from tlog.submission import Submission
from tlog.tree import Tree, edge_ranges, from_edge
from tlog.view import View

SAMPLE_TILES: Final = 16
"""Entry bundles and tiles that are re-hashed at once: about 20 ms. The rest is for the audit."""

_DAMAGED: Final = "the database was changed or damaged: restore the newest backup; never delete the anchor to go on"


async def recover(store: LogStore, anchor: Anchor, publisher: HeadReader) -> tuple[View, Recent]:
    """The state of the log in ``store``.

    Raises:
        Refused: what is stored contradicts itself, its signature or the anchor. Unavailable: it cannot be read.
    """
    head = await store.head()
    try:
        tree = await read_tree(store, head.size if head else 0)
        if head is not None:
            check_signed(head, tree, publisher)
            await _check_sample(store, head.size)
    except NotFound as error:
        raise Refused(f"the log's database is incomplete: {error.message}", _DAMAGED) from error
    view = View(store, tree, head)
    await _settle_anchor(anchor, view, head)
    return view, await _read_recent(store, tree.size)


# --- 1 -------------------------------------------------------------------------------------------------
async def read_tree(store: LogStore, size: int) -> Tree:
    """The tree of the first ``size`` stored entries: the last entries hashed, the last tiles of each row hashed."""
    edge: list[bytes] = []
    for row, (first, end) in enumerate(edge_ranges(size)):
        if row:
            hashes = [tile_root(await store.tile(row - 1, index)) for index in range(first, end)]
        else:
            hashes = [merkle.hash_leaf(entry.leaf) for entry in await store.entries(first, end)]
        edge.append(b"".join(hashes))
    return from_edge(size, tuple(edge))


# --- 2 -------------------------------------------------------------------------------------------------
def check_signed(head: Head, tree: Tree, publisher: HeadReader) -> None:
    """``head`` is that of ``tree``, and its checkpoint the log's signature over it. Refused otherwise."""
    root = tree.frontier.root()
    if root != head.root:
        raise Refused(
            f"the stored entries and tiles hash to {root.hex()}, the head of size {head.size} says {head.root.hex()}",
            _DAMAGED,
        )
    try:
        checkpoint = publisher.verify(head.checkpoint)
    except SigError as error:
        raise Refused(
            f"the stored checkpoint is not one of this log: {error.message}",
            "the log's key or origin was changed, or the database belongs to another log",
        ) from error
    if (checkpoint.size, checkpoint.root) != (head.size, head.root):
        raise Refused(f"the stored checkpoint is of size {checkpoint.size}, the head of size {head.size}", _DAMAGED)


# --- 3 -------------------------------------------------------------------------------------------------
async def _check_sample(store: LogStore, size: int) -> None:
    complete = size // WIDTH
    for index in random.sample(range(complete), min(SAMPLE_TILES, complete)):
        await check_tile(store, 0, index)
        if (index // WIDTH + 1) * WIDTH <= complete:
            await check_tile_in_row_above(store, 0, index)


async def check_tile(store: LogStore, level: int, index: int) -> None:
    """Compare a complete tile with what it covers. Refused when they differ."""
    first, end = index * WIDTH, (index + 1) * WIDTH
    if level:
        expected = [tile_root(await store.tile(level - 1, below)) for below in range(first, end)]
    else:
        expected = [merkle.hash_leaf(entry.leaf) for entry in await store.entries(first, end)]
    if b"".join(expected) != await store.tile(level, index):
        what = "entries" if level == 0 else f"tiles of row {level - 1}"
        raise Refused(f"the {what} {first} to {end - 1} do not hash to the tile {level}/{index}", _DAMAGED)


async def check_tile_in_row_above(store: LogStore, level: int, index: int) -> None:
    """Compare a complete tile with its place in the complete tile above. Refused when they differ."""
    start = index % WIDTH * merkle.HASH_SIZE
    above = await store.tile(level + 1, index >> HEIGHT)
    if above[start : start + merkle.HASH_SIZE] != tile_root(await store.tile(level, index)):
        raise Refused(f"the tile {level}/{index} does not hash to its place in the row above", _DAMAGED)


# --- 4 -------------------------------------------------------------------------------------------------
async def _settle_anchor(anchor: Anchor, view: View, head: Head | None) -> None:
    anchored = await anchor.read()
    if anchored is not None:
        if anchored.size > view.size:
            raise Refused(
                f"the log's database has {view.size} entries, but a checkpoint of {anchored.size} has been published",
                "an older copy of the database was put in place: restore one with at least "
                f"{anchored.size} entries, or retire this log and start a new one with a new key",
            )
        if await view.root(anchored.size) != anchored.root:
            raise Refused(
                f"the first {anchored.size} entries of the log's database ({view.size} entries) are not those that were"
                " published",
                _DAMAGED,
            )
    if head is not None and (anchored is None or anchored.size < head.size):
        await anchor.advance(anchored, Anchored(head.size, head.root, head.checkpoint))


# --- 5 -------------------------------------------------------------------------------------------------
async def _read_recent(store: LogStore, size: int) -> Recent:
    position = await store.remembered()
    if position > size:
        # Where another host writes meanwhile, both may have grown since the head was read.
        head = await store.head()
        if head is None or position > head.size:
            raise Refused(f"the index of hashes covers {position} entries, the log has {size}", _DAMAGED)
        position = size
    recent = Recent(position)
    for first in range(position, size, WIDTH):
        for index, entry in enumerate(await store.entries(first, min(first + WIDTH, size)), first):
            recent.add(index, keys_of(entry, merkle.hash_leaf(entry.leaf)))
    return recent


def keys_of(entry: Submission, leaf_hash: merkle.Hash) -> set[bytes]:
    """The hashes by which an entry is found."""
    return {entry.identity, leaf_hash}
