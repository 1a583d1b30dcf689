# SPDX-License-Identifier: Apache-2.0
"""The published state of a log: what is durable, anchored, and may be shown.

Everything that is read from a log is read through here, so nothing beyond the published head is ever answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sigcore import merkle
from sigcore.errors import Malformed, NotFound, SigError, Unavailable
from sigcore.merkle import Hash, NodeReader
from sigcore.tiles import HEIGHT, WIDTH, Tile, encode_path, encode_tile
from tlog.proofs import MissingTile, Nodes, tile_root
from tlog.storage.base import Head, LogStore, damaged, prefix_of
from tlog.submission import Receipt, Submission
from tlog.tree import Growth, Tree

_T = TypeVar("_T")


class View:
    """One published head after the other, and the reads that it allows."""

    def __init__(self, store: LogStore, tree: Tree, head: Head | None) -> None:
        self._store = store
        self._nodes = Nodes(tree)
        self.tree = tree
        self._head = head
        self._withheld = ""

    @property
    def size(self) -> int:
        """The number of published entries."""
        return self.tree.size

    @property
    def head(self) -> Head:
        """The published head. Unavailable while the log is empty, or its head withheld."""
        if self._head is None:
            raise Unavailable("the log is empty", "it is seeded with its first entry when the service starts")
        if self._withheld:
            raise Unavailable(f"the log shows no checkpoint: {self._withheld}", "it is shown as soon as they have")
        return self._head

    def withhold(self, why: str) -> None:
        """Show no head before :meth:`show`."""
        self._withheld = why

    def show(self, head: Head) -> None:
        """The same head, with cosignatures."""
        self._head, self._withheld = head, ""

    def publish(self, growth: Growth, head: Head) -> None:
        """Show ``head``. The caller has made it durable and anchored it."""
        self._nodes.append(growth.nodes)
        self.tree = growth.tree
        self._head = head

    # --- proofs ------------------------------------------------------------------------------------------
    async def inclusion(self, index: int, size: int) -> tuple[Hash, ...]:
        """The inclusion proof of an entry in the tree of ``size`` leaves. Malformed when that is not in the log."""
        self._check_size(size)
        return await self._compute(lambda node: merkle.inclusion_proof(index, size, node))

    async def consistency(self, first: int, second: int) -> tuple[Hash, ...]:
        """The proof that the tree of ``first`` leaves is a prefix of that of ``second``. Malformed when there is none."""
        self._check_size(second)
        return await self._compute(lambda node: merkle.consistency_proof(first, second, node))

    async def consistency_ahead(self, growth: Growth, first: int) -> tuple[Hash, ...]:
        """The proof that the tree of ``first`` leaves is a prefix of the grown one, which is not published yet."""
        new = {(level, index): hash_ for level, index, hash_ in growth.nodes}

        def compute(published: NodeReader) -> tuple[Hash, ...]:
            node = lambda level, index: new.get((level, index)) or published(level, index)  # noqa: E731 - one line of two
            return merkle.consistency_proof(first, growth.tree.size, node)

        return await self._compute(compute)

    async def root(self, size: int) -> Hash:
        """The root of the first ``size`` leaves."""
        self._check_size(size)
        return await self._compute(lambda node: merkle.root_of(size, node))

    async def receipts(
        self, first: int, entries: Sequence[Submission], leaf_hashes: Sequence[Hash], *, duplicate: bool
    ) -> tuple[Receipt, ...]:
        """The receipts of published entries that follow each other, at the current head, every proof verified.

        Args:
            first: the index of the first one.
            entries: what is stored there.
            leaf_hashes: of the leaves of ``entries``.
            duplicate: what the receipts say about them.

        Raises:
            Unavailable: what is stored does not hash to the published root.
        """
        head = self.head
        proofs = await self._compute(lambda node: merkle.inclusion_proofs(first, first + len(entries), head.size, node))
        return _receipts(head, first, entries, leaf_hashes, proofs, duplicate=duplicate)

    def foreseen(
        self, growth: Growth, head: Head, entries: Sequence[Submission], leaf_hashes: Sequence[Hash]
    ) -> tuple[Receipt, ...]:
        """As :meth:`receipts`, for the newest entries under a ``head`` that is not published yet; whoever asks keeps them until then.

        No tile can be missing: what stands beside a new leaf is new, or in the incomplete tiles of the right edge.
        """
        new = {(level, index): hash_ for level, index, hash_ in growth.nodes}

        def node(level: int, index: int) -> Hash:
            return new.get((level, index)) or self._nodes.node(level, index)

        first = head.size - len(entries)
        proofs = merkle.inclusion_proofs(first, head.size, head.size, node)
        return _receipts(head, first, entries, leaf_hashes, proofs, duplicate=False)

    async def receipt(self, index: int) -> Receipt:
        """The receipt of one published entry, as :meth:`receipts`. NotFound beyond the head."""
        (entry,) = await self.entries(index, index + 1)
        (receipt,) = await self.receipts(index, (entry,), (merkle.hash_leaf(entry.leaf),), duplicate=True)
        return receipt

    async def _compute(self, compute: Callable[[NodeReader], _T]) -> _T:
        while True:
            try:
                return compute(self._nodes.node)
            except MissingTile as missing:
                self._nodes.put(missing.level, missing.index, await self._complete(missing.level, missing.index))

    async def _complete(self, level: int, index: int) -> bytes:
        """The hashes of a complete tile, which hash to its place in the row above, and so on to the head."""
        hashes = await self._store.tile(level, index)
        if len(hashes) == WIDTH * merkle.HASH_SIZE:
            place = await self._compute(lambda node: node(HEIGHT * (level + 1), index))
            if tile_root(hashes) == place:
                return hashes
        raise damaged(f"the tile {level}/{index}")

    def _check_size(self, size: int) -> None:
        if size > self.size:
            raise Malformed(f"the tree size is {size}, the log has {self.size} entries")

    # --- contents ----------------------------------------------------------------------------------------
    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """The published entries [first, end), each of which hashes to its leaf in the tree.

        Raises:
            NotFound: one of them is not published. Unavailable: the disk gives back another one than was stored.
        """
        if not 0 <= first <= end <= self.size:
            raise NotFound(f"the entries {first} to {end - 1} are not all in the log, it has {self.size}")
        found = await self._store.entries(first, end)
        for index in range(first // WIDTH, -(-end // WIDTH)):
            start, hashes = index * WIDTH, await self._leaf_hashes(index)
            for place in range(max(first, start), min(end, start + WIDTH)):
                at = (place - start) * merkle.HASH_SIZE
                if merkle.hash_leaf(found[place - first].leaf) != hashes[at : at + merkle.HASH_SIZE]:
                    raise damaged(f"the entry {place}")
        return found

    async def _leaf_hashes(self, index: int) -> bytes:
        """Those of the tile ``index`` of the lowest row, complete or not."""
        if (index + 1) * WIDTH <= self.size:
            return await self._complete(0, index)
        return b"".join(self._nodes.edge(0))

    async def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile, complete or partial.

        Raises:
            NotFound: the published tree does not reach that far. Unavailable: the disk gives back other ones than were stored.
        """
        nodes_there = self.size >> HEIGHT * tile.level
        if tile.index * WIDTH + tile.width > nodes_there:
            raise NotFound(f"the tile {encode_path(tile)} is not in the log of {self.size} entries")
        if (tile.index + 1) * WIDTH <= nodes_there:
            return (await self._complete(tile.level, tile.index))[: tile.width * merkle.HASH_SIZE]
        return encode_tile(self._nodes.edge(tile.level)[: tile.width])

    async def find(self, key: bytes) -> int | None:
        """The lowest index of an entry that the store remembers under ``key``: its identity or its leaf hash."""
        for index in await self._store.candidates(prefix_of(key)):
            if index < self.size:
                (entry,) = await self._store.entries(index, index + 1)
                if key in {entry.identity, merkle.hash_leaf(entry.leaf)}:
                    return index
        return None


def _receipts(
    head: Head,
    first: int,
    entries: Sequence[Submission],
    leaf_hashes: Sequence[Hash],
    proofs: Sequence[tuple[Hash, ...]],
    *,
    duplicate: bool,
) -> tuple[Receipt, ...]:
    try:
        merkle.verify_inclusions(first=first, leaf_hashes=leaf_hashes, size=head.size, proofs=proofs, root=head.root)
    except SigError as error:
        where = f"entry {first}" if len(entries) == 1 else f"an entry from {first} to {first + len(entries) - 1}"
        raise Unavailable(f"{where} does not verify: {error.message}", "audit the log") from error
    return tuple(
        Receipt(index, entry.leaf, head.size, head.root, proof, head.checkpoint, duplicate, entry.extra)
        for index, (entry, proof) in enumerate(zip(entries, proofs, strict=True), first)
    )
