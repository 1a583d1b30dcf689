# SPDX-License-Identifier: Apache-2.0
"""Nodes by name, from expanded tiles. Pure: the caller fetches what is missing.

A stored tile holds only its bottom hashes; the seven levels above them are hashed once, when the tile is first used, and
kept. The incomplete tiles of the right edge are always there and grow in place, so that proofs of recent entries cost
look-ups only; complete tiles are kept by recency.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeAlias

from sigcore.merkle import Hash, hash_node
from sigcore.tiles import HEIGHT
from tlog.tree import Node, Tree, split

CACHED_TILES: Final = 256
"""Complete tiles that are kept expanded, about 34 KB each. A proof needs at most 8, one for each row."""

_Rows: TypeAlias = list[list[Hash]]


class MissingTile(LookupError):
    """A node of a complete tile that is not in memory was asked for: :meth:`Nodes.put` that tile and ask again."""

    def __init__(self, level: int, index: int) -> None:
        super().__init__(f"tile {level}/{index}")
        self.level = level
        self.index = index


class Nodes:
    """The nodes of one tree; ``node`` is a :data:`sigcore.merkle.NodeReader`."""

    def __init__(self, tree: Tree, *, capacity: int = CACHED_TILES) -> None:
        size = tree.size
        self._edge = {
            (row, size >> HEIGHT * (row + 1)): expand(split(hashes)) for row, hashes in enumerate(tree.edge) if hashes
        }
        self._full: OrderedDict[tuple[int, int], _Rows] = OrderedDict()
        self._capacity = capacity

    def node(self, level: int, index: int) -> Hash:
        """The root of the complete subtree (level, index).

        Raises:
            MissingTile: its tile has to be put first.
        """
        row, inner = divmod(level, HEIGHT)
        tile = index >> (HEIGHT - inner)
        rows = self._edge.get((row, tile)) or self._complete(row, tile)
        return rows[inner][index - (tile << (HEIGHT - inner))]

    def _complete(self, row: int, tile: int) -> _Rows:
        rows = self._full.get((row, tile))
        if rows is None:
            raise MissingTile(row, tile)
        self._full.move_to_end((row, tile))
        return rows

    def put(self, level: int, index: int, hashes: bytes) -> None:
        """Keep the complete tile ``index`` of row ``level``; the one that was used longest ago makes room."""
        self._keep(level, index, expand(split(hashes)))

    def append(self, nodes: Iterable[Node]) -> None:
        """The tree has grown by ``nodes``, which come in the order in which they were completed."""
        for level, index, hash_ in nodes:
            row, inner = divmod(level, HEIGHT)
            place = row, index >> (HEIGHT - inner)
            rows = self._edge.get(place)
            if rows is None:
                rows = self._edge[place] = [[] for _ in range(HEIGHT)]
            rows[inner].append(hash_)
            if row and not inner:
                self._keep(row - 1, index, self._edge.pop((row - 1, index)))

    def _keep(self, row: int, tile: int, rows: _Rows) -> None:
        self._full[row, tile] = rows
        if len(self._full) > self._capacity:
            self._full.popitem(last=False)

    def edge(self, level: int) -> list[Hash]:
        """The hashes of the incomplete tile of row ``level``; empty where there is none."""
        return next((list(rows[0]) for (row, _), rows in self._edge.items() if row == level), [])


def expand(hashes: list[Hash]) -> _Rows:
    """The bottom hashes of a tile, and above them every level within the tile, its root excluded."""
    rows = [hashes]
    for _ in range(HEIGHT - 1):
        below = rows[-1]
        rows.append([hash_node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return rows


def tile_root(hashes: bytes) -> Hash:
    """The node that a complete tile of 256 hashes is, one row above."""
    top = expand(split(hashes))[-1]
    return hash_node(top[0], top[1])
