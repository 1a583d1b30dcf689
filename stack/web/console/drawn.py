# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of a log as a drawing (RFC 6962 section 2.1): one leaf's path lit, what lies beside it folded. Pure.

1. A tree over [low, high) splits at the largest power of two below its size; a leaf is a tree over one.
2. A subtree off the path is one of the proof's hashes: it is folded into a triangle, or drawn whole in a small tree.
3. Columns go by leaves from left to right, rows by depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from sigcore.merkle import Hash, hash_node
from sigcore.values import dataclass

WHOLE: Final = 16
"""Leaves of a tree that is drawn without folds."""
WIDTH: Final = 92
HEIGHT: Final = 74
MARGIN: Final = 12
BOX: Final = (80, 30)

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """A subtree over the leaves [low, high). ``children`` are two, or none for a leaf and a fold.

    ``role`` is ``lit`` on the path, ``proof`` for the hashes that the proof gives, else empty.
    """

    low: int
    high: int
    hash: Hash
    role: str
    children: tuple[Node, ...] = ()

    @property
    def folded(self) -> bool:
        """Whether it stands for leaves that are not drawn."""
        return self.high - self.low > 1 and not self.children


@dataclass(frozen=True, slots=True)
class Box:
    """A node in its place: ``x`` and ``y`` are its centre."""

    node: Node
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """From a parent to a child; lit when both are."""

    x1: float
    y1: float
    x2: float
    y2: float
    lit: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a page draws; sizes are in the units of its view box."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def split(low: int, high: int) -> int:
    """(1)"""
    return low + (1 << (high - low - 1).bit_length() - 1)


def lit_path(leaf: int, size: int) -> tuple[Range, ...]:
    """The subtrees beside the path from a leaf up, in the order of an inclusion proof."""
    beside, low, high = list[Range](), 0, size
    while high - low > 1:
        middle = split(low, high)
        if leaf < middle:
            beside.append((middle, high))
            high = middle
        else:
            beside.append((low, middle))
            low = middle
    return tuple(reversed(beside))


def grow_path(leaf: int, size: int, leaf_hash: Hash, proof: tuple[Hash, ...]) -> Node:
    """The tree with one path, from an inclusion proof: everything beside it is folded. Its hash is the computed root."""
    node = Node(leaf, leaf + 1, leaf_hash, "lit")
    for (low, high), other in zip(lit_path(leaf, size), proof, strict=True):
        beside = Node(low, high, other, "proof")
        pair = (beside, node) if low < node.low else (node, beside)
        node = Node(pair[0].low, pair[1].high, hash_node(pair[0].hash, pair[1].hash), "lit", pair)
    return node


def grow_whole(leaf_hashes: tuple[Hash, ...], leaf: int) -> Node:
    """The whole tree of at most WHOLE leaves."""
    proof = set(lit_path(leaf, len(leaf_hashes)))

    def grow(low: int, high: int) -> Node:
        role = "lit" if low <= leaf < high else "proof" if (low, high) in proof else ""
        if high - low == 1:
            return Node(low, high, leaf_hashes[low], role)
        middle = split(low, high)
        pair = (grow(low, middle), grow(middle, high))
        return Node(low, high, hash_node(pair[0].hash, pair[1].hash), role, pair)

    return grow(0, len(leaf_hashes))


def draw(root: Node) -> Drawing:
    """(3)"""
    columns = {(node.low, node.high): column for column, node in enumerate(_ends(root))}
    boxes = tuple(_boxes(root, 0, columns))
    places = {(box.node.low, box.node.high): box for box in boxes}
    lines = tuple(
        Line(box.x, box.y, below.x, below.y, lit=box.node.role == below.node.role == "lit")
        for box in boxes
        for below in (places[child.low, child.high] for child in box.node.children)
    )
    depth = max(box.y for box in boxes)
    return Drawing(len(columns) * WIDTH + 2 * MARGIN, depth + HEIGHT / 2 + MARGIN, boxes, lines)


def _ends(node: Node) -> Iterator[Node]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _ends(child)


def _boxes(node: Node, depth: int, columns: Mapping[Range, int]) -> Iterator[Box]:
    below = [box for child in node.children for box in _boxes(child, depth + 1, columns)]
    if node.children:
        centres = [box.x for child in node.children for box in below if box.node is child]
        x = sum(centres) / len(centres)
    else:
        x = MARGIN + (columns[node.low, node.high] + 0.5) * WIDTH
    yield Box(node, x, MARGIN + BOX[1] / 2 + depth * HEIGHT)
    yield from below
