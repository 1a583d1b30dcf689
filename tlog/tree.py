# SPDX-License-Identifier: Apache-2.0
"""The growing tree: its right edge, and what changes when leaves are added. Pure.

A tile of row L holds 256 hashes of tree level 8 * L (C2SP tlog-tiles). Only complete tiles are ever stored, each one once;
the incomplete tile of each row is the *edge*, kept in memory and found again from what is stored:

    row 1   [t0 t1 t2 ........]            edge[1] = the roots of the complete tiles t0 t1 t2
    row 0   [256][256][256][l0 l1 ...]     edge[0] = the hashes of the entries after them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from sigcore.errors import Malformed
from sigcore.merkle import HASH_SIZE, Frontier, Hash
from sigcore.tiles import HEIGHT, WIDTH
from sigcore.values import dataclass

TILE_SIZE: Final = WIDTH * HASH_SIZE


Node: TypeAlias = tuple[int, int, Hash]
"""(level, index, root) of a complete subtree: it covers the leaves [index << level, (index + 1) << level)."""


@dataclass(frozen=True, slots=True)
class FullTile:
    """A complete hash tile: 256 hashes, one after the other. It never changes."""

    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """All that is needed to grow: the frontier, and for each row of tiles the hashes of its incomplete tile."""

    frontier: Frontier
    edge: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self.frontier.size


@dataclass(frozen=True, slots=True)
class Growth:
    """``tree`` after leaves were added, every node they completed, in order, and every tile they completed."""

    tree: Tree
    nodes: tuple[Node, ...]
    tiles: tuple[FullTile, ...]


def grow(tree: Tree, leaf_hashes: Iterable[Hash]) -> Growth:
    """``tree`` with ``leaf_hashes`` appended."""
    nodes: list[Node] = []
    frontier = tree.frontier.extend(leaf_hashes, lambda *node: nodes.append(node))
    edge = [bytearray(hashes) for hashes in tree.edge]
    tiles: list[FullTile] = []
    for level, index, hash_ in nodes:
        row, inner = divmod(level, HEIGHT)
        if inner:
            continue
        if row == len(edge):
            edge.append(bytearray())
        edge[row] += hash_
        if len(edge[row]) == TILE_SIZE:
            tiles.append(FullTile(row, index // WIDTH, bytes(edge[row])))
            edge[row].clear()
    return Growth(Tree(frontier, tuple(map(bytes, edge))), tuple(nodes), tuple(tiles))


def edge_ranges(size: int) -> Iterator[tuple[int, int]]:
    """For each row of tiles, bottom up: the indexes [first, end) of the hashes of its incomplete tile."""
    while size:
        yield size - size % WIDTH, size
        size //= WIDTH


def from_edge(size: int, edge: tuple[bytes, ...]) -> Tree:
    """The tree of ``size`` leaves whose incomplete tiles are ``edge``.

    Raises:
        Malformed: a row has another number of hashes than a tree of that size.
    """
    expected = tuple(end - first for first, end in edge_ranges(size))
    found = tuple(len(hashes) // HASH_SIZE for hashes in edge)
    if found != expected:
        raise Malformed(f"the edge of a tree of {size} leaves has rows of {found} hashes, expected {expected}")
    hashes = (hash_ for row in reversed(edge) for hash_ in Frontier().extend(split(row)).hashes)
    return Tree(Frontier(size, tuple(hashes)), edge)


def split(hashes: bytes) -> list[Hash]:
    """Concatenated hashes, one by one."""
    return [hashes[start : start + HASH_SIZE] for start in range(0, len(hashes), HASH_SIZE)]
