# SPDX-License-Identifier: Apache-2.0
r"""Merkle trees: hashes, the frontier of a growing tree, inclusion and consistency, built and checked.

A node is named by (level, index): it covers the leaves [index << level, (index + 1) << level). Only complete subtrees have
a name; the root of a tree whose size is no power of two is folded from them, right to left:

    size 7 = 4 + 2 + 1            root = H(node(2,0), H(node(1,2), node(0,6)))

    level 2        (2,0)
                 /       \
    level 1   (1,0)     (1,1)     (1,2)
              /   \     /   \     /   \
    level 0  0     1   2     3   4     5   6

Sources: RFC 6962 section 2.1, RFC 9162 section 2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Final, TypeAlias

from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.values import dataclass

Hash: TypeAlias = bytes
"""SHA-256: 32 bytes."""
NodeReader: TypeAlias = Callable[[int, int], Hash]
"""(level, index) of a complete subtree -> its root; leaves are level 0."""
NodeWriter: TypeAlias = Callable[[int, int, Hash], None]

HASH_SIZE: Final = 32
_SIZES: Final = frozenset((HASH_SIZE,))
EMPTY_ROOT: Final[Hash] = hashlib.sha256().digest()


def hash_leaf(data: bytes) -> Hash:
    """SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def hash_node(left: Hash, right: Hash) -> Hash:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


# --- grow ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed to append to a tree: its size and the roots of its complete subtrees, largest (leftmost) first."""

    size: int = 0
    hashes: tuple[Hash, ...] = ()

    def __post_init__(self) -> None:
        _check_size(self.size, "the frontier")
        if len(self.hashes) != self.size.bit_count():
            raise Malformed(
                f"the frontier of {self.size} leaves has {len(self.hashes)} hashes, expected {self.size.bit_count()}"
            )
        _check_hashes(self.hashes, "the frontier")

    def append(self, leaf_hash: Hash) -> Frontier:
        """The frontier after one more leaf."""
        return self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[Hash], emit: NodeWriter | None = None) -> Frontier:
        """The frontier after ``leaf_hashes``; ``emit`` is given every node that they complete, leaves included."""
        hashes, size = list(self.hashes), self.size
        for leaf_hash in leaf_hashes:
            level, index, node = 0, size, leaf_hash
            if emit:
                emit(level, index, node)
            while index & 1:
                level, index, node = level + 1, index >> 1, hash_node(hashes.pop(), node)
                if emit:
                    emit(level, index, node)
            hashes.append(node)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> Hash:
        """The Merkle tree hash."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT


# --- prove -----------------------------------------------------------------------------------------
def root_of(size: int, node: NodeReader) -> Hash:
    """The Merkle tree hash of the first ``size`` leaves."""
    _check_size(size, "the tree")
    return _range_root(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: NodeReader) -> tuple[Hash, ...]:
    """PATH(index, D[size]) (RFC 6962 section 2.1.1): the siblings from the leaf ``index`` up to the root.

    Raises:
        Malformed: ``index`` is not in the tree.
    """
    _check_index(index, size)
    return tuple(_path(0, index, size, node))


def inclusion_proofs(first: int, end: int, size: int, node: NodeReader) -> tuple[tuple[Hash, ...], ...]:
    """:func:`inclusion_proof` for each leaf of [first, end), in their order.

    The paths of neighbours meet after a few levels and are one from there on; it is built once. Going down from the root, a
    subtree that holds leaves of the run hands each half its own path with the other half in front.

    Raises:
        Malformed: a leaf is not in the tree.
    """
    if first == end:
        return ()
    _check_index(first, size)
    _check_index(end - 1, size)
    proofs: list[tuple[Hash, ...]] = []

    def descend(level: int, index: int, path: tuple[Hash, ...]) -> None:
        if level == 0:
            proofs.append(path)
            return
        level, left = level - 1, 2 * index
        middle = (left + 1) << level
        if middle >= size:  # there is no right half, the left one stands for both
            descend(level, left, path)
            return
        if first < middle:
            right = middle + (1 << level)
            beside = node(level, left + 1) if right <= size else _range_root(middle, size, node)
            descend(level, left, (beside, *path))
        if end > middle:
            descend(level, left + 1, (node(level, left), *path))

    descend(size.bit_length(), 0, ())
    return tuple(proofs)


def consistency_proof(first: int, second: int, node: NodeReader) -> tuple[Hash, ...]:
    """PROOF(first, D[second]) (RFC 6962 section 2.1.2): that the tree of ``first`` leaves is a prefix of ``second``.

    1. Equal sizes need no proof.
    2. Start at the largest complete subtree that ends the first tree. Its root comes first, unless it is the whole
       first tree, whose root the verifier has.
    3. The siblings from there up to the second root follow.

    Raises:
        Malformed: not 1 <= first <= second.
    """
    _check_sizes(first, second)
    if first == second:
        return ()
    level = _trailing_zeros(first)
    index = (first >> level) - 1
    seed = (node(level, index),) if index else ()
    return (*seed, *_path(level, index, second, node))


def _path(level: int, index: int, size: int, node: NodeReader) -> Iterator[Hash]:
    """The siblings of (level, index) and of its ancestors in a tree of ``size`` leaves; where there is none, nothing."""
    for height in range(level, size.bit_length()):
        sibling = (index >> (height - level)) ^ 1
        begin = sibling << height
        if begin < size:
            yield _range_root(begin, min(begin + (1 << height), size), node)


def _range_root(begin: int, end: int, node: NodeReader) -> Hash:
    """The hash of the leaves [begin, end), where ``begin`` is a multiple of a power of two that is >= end - begin."""
    return _fold([node(level, index) for level, index in _complete(begin, end)])


def _complete(begin: int, end: int) -> Iterator[tuple[int, int]]:
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def _fold(hashes: Sequence[Hash]) -> Hash:
    return reduce(lambda right, left: hash_node(left, right), reversed(hashes))


# --- check -----------------------------------------------------------------------------------------
def root_from_inclusion(*, leaf_hash: Hash, index: int, size: int, proof: Sequence[Hash]) -> Hash:
    """The root that ``proof`` leads to (RFC 9162 section 2.1.3.2).

    1. While the path runs below the right edge (``inner`` levels), each bit of ``index`` says on which side the sibling is.
    2. Along the right edge a sibling exists only where it is on the left: one for each remaining one bit of ``index``.

    The caller compares the answer with a root that it trusts.

    Raises:
        Malformed: the leaf is not in the tree, or a hash is not 32 bytes long. Refused: the proof has the wrong length.
    """
    _check_index(index, size)
    _check_hashes((leaf_hash, *proof), "the inclusion proof")
    inner, border = _shape(index, size)
    _check_length(proof, inner + border, "the inclusion proof")
    return _climb_edge(_climb(leaf_hash, index, proof[:inner]), proof[inner:])


def verify_inclusion(*, leaf_hash: Hash, index: int, size: int, proof: Sequence[Hash], root: Hash) -> None:
    """Check that the leaf at ``index`` of the tree with ``size`` leaves and ``root`` hashes to ``leaf_hash``.

    Raises:
        Malformed, Refused: as :func:`root_from_inclusion`. Refused: the proof leads to another root.
    """
    _check_hashes((root,), "the root")
    _check_root(root_from_inclusion(leaf_hash=leaf_hash, index=index, size=size, proof=proof), root)


def verify_inclusions(
    *, first: int, leaf_hashes: Sequence[Hash], size: int, proofs: Sequence[tuple[Hash, ...]], root: Hash
) -> None:
    """:func:`verify_inclusion` for leaves that follow each other, the first of them at ``first``: every proof is checked.

    1. Climb from each leaf. Where an earlier leaf has reached the same subtree with the same hash and had the same path from
       there on, the rest has been checked.
    2. Otherwise climb to the top, which must be ``root``.

    Raises:
        Malformed, Refused: as :func:`verify_inclusion`, for the first proof that does not hold.
    """
    _check_hashes((root,), "the root")
    _check_hashes(leaf_hashes, "the leaves")
    if leaf_hashes:
        _check_index(first, size)
        _check_index(first + len(leaf_hashes) - 1, size)
    reached: dict[tuple[int, int], tuple[Hash, tuple[Hash, ...]]] = {}
    for index, (leaf_hash, proof) in enumerate(zip(leaf_hashes, proofs, strict=True), first):
        inner, border = _shape(index, size)
        _check_length(proof, inner + border, "the inclusion proof")
        node = leaf_hash
        for height in range(inner):
            earlier = reached.setdefault((height, index >> height), (node, proof))
            if earlier[1] is not proof and earlier[0] == node and earlier[1][height:] == proof[height:]:
                break  # the hashes below have 32 bytes: no others lead to the same one
            sibling = proof[height]
            node = hash_node(sibling, node) if index >> height & 1 else hash_node(node, sibling)
        else:
            _check_hashes(proof, "the inclusion proof")
            _check_root(_climb_edge(node, proof[inner:]), root)


def verify_consistency(*, first: int, second: int, first_root: Hash, second_root: Hash, proof: Sequence[Hash]) -> None:
    """Check that the tree of ``first`` leaves is a prefix of the tree of ``second`` (RFC 9162 section 2.1.4.2).

    1. Equal sizes: equal roots and no proof.
    2. The path starts from the subtree that ends the first tree: the first root itself where that tree is complete,
       otherwise the first hash of the proof.
    3. Left siblings alone rebuild the first root.
    4. All siblings rebuild the second root.

    Raises:
        Malformed: not 1 <= first <= second, or a hash is not 32 bytes long. Refused: the proof has the wrong length, or
            leads to another first or second root.
    """
    _check_sizes(first, second)
    _check_hashes((first_root, second_root), "the root")
    _check_hashes(proof, "the consistency proof")
    if first == second:
        _check_length(proof, 0, "the consistency proof")
        if first_root != second_root:
            raise Refused(f"two trees of {first} leaves have different roots", "the log shows a split view")
        return
    level = _trailing_zeros(first)
    index = (first >> level) - 1
    inner, border = _shape(index, ((second - 1) >> level) + 1)
    _check_length(proof, inner + border + (1 if index else 0), "the consistency proof")
    seed, path = (proof[0], proof[1:]) if index else (first_root, proof)
    left = [sibling for height, sibling in enumerate(path[:inner]) if index >> height & 1]
    if _climb_edge(seed, (*left, *path[inner:])) != first_root:
        raise Refused(f"the consistency proof does not lead to the first root (size {first})")
    if _climb_edge(_climb(seed, index, path[:inner]), path[inner:]) != second_root:
        raise Refused(f"the consistency proof does not lead to the second root (size {second})")


def sides_of_proof(index: int, size: int) -> tuple[bool, ...]:
    """For each hash of an inclusion proof, in order, whether it is the left one of its pair: for those who show a path.

    Raises:
        Malformed: the leaf is not in the tree.
    """
    _check_index(index, size)
    inner, border = _shape(index, size)
    return (*(bool(index >> height & 1) for height in range(inner)), *(True for _ in range(border)))


def _shape(index: int, size: int) -> tuple[int, int]:
    """How many siblings there are below the right edge, and how many along it."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _climb(node: Hash, index: int, inner: Iterable[Hash]) -> Hash:
    for height, sibling in enumerate(inner):
        node = hash_node(sibling, node) if index >> height & 1 else hash_node(node, sibling)
    return node


def _climb_edge(node: Hash, border: Iterable[Hash]) -> Hash:
    """Along the right edge, where every sibling is on the left."""
    for sibling in border:
        node = hash_node(sibling, node)
    return node


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _check_size(size: int, what: str) -> None:
    if not 0 <= size <= limits.INT64_MAX:
        raise Malformed(f"{what} has {size} leaves, expected 0 to {limits.INT64_MAX}")


def _check_index(index: int, size: int) -> None:
    _check_size(size, "the tree")
    if not 0 <= index < size:
        raise Malformed(f"the leaf index {index} is not in a tree of {size} leaves")


def _check_sizes(first: int, second: int) -> None:
    _check_size(second, "the second tree")
    if not 1 <= first <= second:
        raise Malformed(
            f"consistency from size {first} to size {second} has no proof, expected 1 <= first <= second",
            "every tree is consistent with the empty one; ask from size 1 on" if first == 0 else "",
        )


def _check_hashes(hashes: Sequence[Hash], what: str) -> None:
    if others := {*map(len, hashes)} - _SIZES:
        raise Malformed(f"{what} has a hash of {min(others)} bytes, expected {HASH_SIZE}")


def _check_root(found: Hash, root: Hash) -> None:
    if found != root:
        raise Refused(f"the inclusion proof leads to the root {found.hex()}, expected {root.hex()}")


def _check_length(proof: Sequence[Hash], expected: int, what: str) -> None:
    if len(proof) != expected:
        raise Refused(f"{what} has {len(proof)} hashes, expected {expected}")
