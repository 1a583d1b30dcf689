# SPDX-License-Identifier: Apache-2.0
"""Proofs of every shape up to 256 leaves against the recursive definitions of RFC 6962 section 2.1."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import limits, merkle
from sigcore.errors import Malformed, Refused, SigError

SIZE = 256
LEAVES = tuple(merkle.hash_leaf(bytes((number,))) for number in range(SIZE))


# --- the model: the specification's recursion, written once more ------------------------------------
def split(size):
    return 1 << ((size - 1).bit_length() - 1)


@cache
def model_root(begin, end):
    if begin == end:
        return hashlib.sha256(b"").digest()
    if end - begin == 1:
        return LEAVES[begin]
    middle = begin + split(end - begin)
    return hashlib.sha256(b"\x01" + model_root(begin, middle) + model_root(middle, end)).digest()


def model_path(index, begin, end):
    if end - begin == 1:
        return ()
    middle = begin + split(end - begin)
    if index < middle:
        return (*model_path(index, begin, middle), model_root(middle, end))
    return (*model_path(index, middle, end), model_root(begin, middle))


def model_subproof(first, begin, end, *, whole):
    if first == end:
        return () if whole else (model_root(begin, end),)
    middle = begin + split(end - begin)
    if first <= middle:
        return (*model_subproof(first, begin, middle, whole=whole), model_root(middle, end))
    return (*model_subproof(first, middle, end, whole=False), model_root(begin, middle))


def node(level, index):
    return model_root(index << level, (index + 1) << level)


def flipped(data, bit=0):
    return bytes((data[0] ^ (1 << bit),)) + data[1:]


# --- hashes and growth --------------------------------------------------------------------------------
def test_hashes_of_rfc_6962():
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.hash_leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.hash_node(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


def test_root_and_frontier_agree_with_the_model_at_every_size():
    frontier = merkle.Frontier()
    for size in range(SIZE + 1):
        assert frontier.size == size
        assert frontier.root() == merkle.root_of(size, node) == model_root(0, size)
        if size < SIZE:
            frontier = frontier.append(LEAVES[size])


@pytest.mark.parametrize("start", [0, 1, 7, 8, 100, 255, 256])
def test_extend_emits_each_completed_node_once_and_in_order(start):
    emitted = []
    frontier = merkle.Frontier().extend(LEAVES[:start])
    frontier = frontier.extend(LEAVES[start:], lambda *row: emitted.append(row))
    assert frontier.root() == model_root(0, SIZE)
    expected = [
        (level, index)
        for level in range(9)
        for index in range(SIZE >> level)
        if (index + 1) << level > start
    ]  # fmt: skip
    assert sorted(row[:2] for row in emitted) == sorted(expected)
    assert all(hash_ == node(level, index) for level, index, hash_ in emitted)
    order = [((index + 1) << level, level) for level, index, _ in emitted]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("size", "hashes", "message"),
    [
        (-1, (), "-1 leaves"),
        (2**63, (LEAVES[0],), "leaves, expected 0 to"),
        (3, (LEAVES[0],), "3 leaves has 1 hashes, expected 2"),
        (0, (LEAVES[0],), "0 leaves has 1 hashes, expected 0"),
        (1, (b"short",), "hash of 5 bytes"),
    ],
)
def test_a_frontier_that_no_tree_has_is_refused(size, hashes, message):
    with pytest.raises(Malformed, match=message):
        merkle.Frontier(size, hashes)


def test_the_largest_tree():
    size = limits.INT64_MAX
    frontier = merkle.Frontier(size, LEAVES[:63])
    proof = tuple(reversed(LEAVES[:62]))
    root = merkle.root_from_inclusion(leaf_hash=LEAVES[62], index=size - 1, size=size, proof=proof)
    assert root == frontier.root()
    with pytest.raises(Malformed, match="leaves, expected 0 to"):
        frontier.append(LEAVES[0])


def test_only_complete_subtrees_are_read():
    size = 201

    def strict_node(level, index):
        assert (index + 1) << level <= size, "node beyond the tree"
        return node(level, index)

    assert merkle.root_of(size, strict_node) == model_root(0, size)
    for number in range(size):
        merkle.inclusion_proof(number, size, strict_node)
        merkle.consistency_proof(number + 1, size, strict_node)


# --- inclusion ------------------------------------------------------------------------------------------
def test_inclusion_of_every_leaf_in_every_size():
    for size in range(1, SIZE + 1):
        root = model_root(0, size)
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, node)
            assert proof == model_path(index, 0, size)
            merkle.verify_inclusion(leaf_hash=LEAVES[index], index=index, size=size, proof=proof, root=root)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 21, 64, 65, 255, 256])
def test_no_other_inclusion_holds(size):
    root = model_root(0, size)
    for index in range(size):
        good = {"leaf_hash": LEAVES[index], "index": index, "size": size, "root": root}
        proof = merkle.inclusion_proof(index, size, node)
        changed = [(*proof[:at], flipped(proof[at], at % 8), *proof[at + 1 :]) for at in range(len(proof))]
        changed += [proof[:at] + proof[at + 1 :] for at in range(len(proof))]
        changed += [(*proof[:at], root, *proof[at:]) for at in range(len(proof) + 1)]
        for bad in changed:
            with pytest.raises(Refused):
                merkle.verify_inclusion(**good, proof=bad)
        for member in ("leaf_hash", "root"):
            with pytest.raises(Refused, match="leads to the root"):
                merkle.verify_inclusion(**good | {member: flipped(good[member])}, proof=proof)
        for other in {index ^ 1, index ^ 2, index + 1, size - 1} - {index}:
            with pytest.raises(SigError):
                merkle.verify_inclusion(**good | {"index": other}, proof=proof)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": -1}, "leaf index -1 is not in a tree of 5 leaves"),
        ({"index": 5}, "leaf index 5 is not in a tree of 5 leaves"),
        ({"index": 0, "size": 0}, "is not in a tree of 0 leaves"),
        ({"size": 2**63}, "leaves, expected 0 to"),
        ({"size": -1}, "-1 leaves"),
        ({"leaf_hash": b""}, "inclusion proof has a hash of 0 bytes"),
        ({"proof": (bytes(31),) * 3}, "inclusion proof has a hash of 31 bytes"),
        ({"root": bytes(33)}, "root has a hash of 33 bytes"),
    ],
)
def test_inclusion_arguments_that_make_no_sense_are_malformed(change, message):
    good = dict(leaf_hash=LEAVES[2], index=2, size=5, proof=model_path(2, 0, 5), root=model_root(0, 5))
    merkle.verify_inclusion(**good)
    with pytest.raises(Malformed, match=message):
        merkle.verify_inclusion(**good | change)


def test_inclusion_refusals_have_distinct_messages():
    good = dict(leaf_hash=LEAVES[2], index=2, size=5, proof=model_path(2, 0, 5), root=model_root(0, 5))
    with pytest.raises(Refused, match="has 2 hashes, expected 3"):
        merkle.verify_inclusion(**good | {"proof": good["proof"][:2]})
    with pytest.raises(Refused, match=f"expected {bytes(32).hex()}"):
        merkle.verify_inclusion(**good | {"root": bytes(32)})


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (0, 2**63)])
def test_no_inclusion_proof_for_a_leaf_outside(index, size):
    with pytest.raises(Malformed):
        merkle.inclusion_proof(index, size, node)


def test_proofs_of_a_run_are_those_of_its_leaves():
    for size in range(1, 70):
        for first in range(size):
            for end in range(first, size + 1):
                proofs = merkle.inclusion_proofs(first, end, size, node)
                assert proofs == tuple(model_path(index, 0, size) for index in range(first, end))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100, 255, 256])
def test_a_run_verifies_as_a_whole(size):
    root = model_root(0, size)
    for first in range(size):
        proofs = merkle.inclusion_proofs(first, size, size, node)
        merkle.verify_inclusions(first=first, leaf_hashes=LEAVES[first:size], size=size, proofs=proofs, root=root)


@pytest.mark.parametrize(("first", "size"), [(0, 8), (5, 21), (63, 65), (60, 70)])
def test_no_proof_of_a_run_is_taken_for_another(first, size):
    root, count = model_root(0, size), size - first
    good = merkle.inclusion_proofs(first, size, size, node)
    for at in range(count):
        changed = [flipped_at(good[at], place) for place in range(len(good[at]))]
        changed += [good[at][:-1], (*good[at], root), good[at - 1] if count > 1 else ()]
        for bad in changed:
            proofs = (*good[:at], bad, *good[at + 1 :])
            if proofs != good:
                with pytest.raises(Refused):
                    merkle.verify_inclusions(
                        first=first, leaf_hashes=LEAVES[first:size], size=size, proofs=proofs, root=root
                    )
        leaves = [flipped(leaf) if index == at else leaf for index, leaf in enumerate(LEAVES[first:size])]
        with pytest.raises(Refused):
            merkle.verify_inclusions(first=first, leaf_hashes=leaves, size=size, proofs=good, root=root)
    with pytest.raises(Refused):
        merkle.verify_inclusions(
            first=first, leaf_hashes=LEAVES[first:size], size=size, proofs=good, root=flipped(root)
        )


def flipped_at(proof, place):
    return (*proof[:place], flipped(proof[place]), *proof[place + 1 :])


@pytest.mark.parametrize("size", [-1, 2**63])
def test_no_tree_has_such_a_size(size):
    with pytest.raises(Malformed, match=f"the tree has {size} leaves"):
        merkle.root_of(size, node)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"root": b"short"}, Malformed, "the root has a hash of 5 bytes"),
        ({"first": 7}, Malformed, "leaf index 7 is not in a tree of 7 leaves"),
        ({"first": 6}, Malformed, "leaf index 7 is not in a tree of 7 leaves"),
        ({"first": -1}, Malformed, "leaf index -1 is not in"),
        ({"proofs": (model_path(4, 0, 7), (*model_path(5, 0, 7), b"x" * 32))}, Refused, "4 hashes, expected 3"),
        ({"leaf_hashes": (LEAVES[4], b"x")}, Malformed, "a hash of 1 bytes"),
    ],
)
def test_a_run_that_makes_no_sense_says_why(change, kind, message):
    good = {
        "first": 4,
        "leaf_hashes": LEAVES[4:6],
        "size": 7,
        "proofs": tuple(model_path(index, 0, 7) for index in (4, 5)),
        "root": model_root(0, 7),
    }
    merkle.verify_inclusions(**good)
    with pytest.raises(kind, match=message):
        merkle.verify_inclusions(**good | change)


def test_a_run_has_one_proof_for_each_leaf():
    with pytest.raises(ValueError, match="zip"):
        merkle.verify_inclusions(first=0, leaf_hashes=LEAVES[:2], size=2, proofs=(), root=model_root(0, 2))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("change", [lambda hash_: hash_[:31], lambda hash_: hash_ + b"x"])
def test_a_hash_of_another_length_below_what_two_proofs_share_is_refused(place, change):
    proofs = [model_path(index, 0, 8) for index in range(8)]
    for at in range(8):
        bad = (*proofs[at][:place], change(proofs[at][place]), *proofs[at][place + 1 :])
        with pytest.raises(Malformed, match=r"the inclusion proof has a hash of (31|33) bytes"):
            merkle.verify_inclusions(
                first=0,
                leaf_hashes=LEAVES[:8],
                size=8,
                proofs=(*proofs[:at], bad, *proofs[at + 1 :]),
                root=model_root(0, 8),
            )


@pytest.mark.parametrize("size", [64, 100])
def test_what_the_proofs_of_a_run_share_is_hashed_once(size, monkeypatch):
    counted = []

    def count(left, right):
        counted.append(1)
        return hashlib.sha256(b"\x01" + left + right).digest()

    monkeypatch.setattr(merkle, "hash_node", count)
    proofs = tuple(model_path(index, 0, size) for index in range(size))
    merkle.verify_inclusions(first=0, leaf_hashes=LEAVES[:size], size=size, proofs=proofs, root=model_root(0, size))
    assert len(counted) < 2.5 * size  # one by one it is six or seven for each leaf
    counted.clear()
    for index in range(size):
        args = {"leaf_hash": LEAVES[index], "index": index, "size": size, "proof": proofs[index]}
        merkle.root_from_inclusion(**args)
    assert len(counted) > 5 * size


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 100])
def test_the_sides_of_a_proof_are_where_its_hashes_belong(size):
    for index in range(size):
        proof, node_ = model_path(index, 0, size), LEAVES[index]
        sides = merkle.sides_of_proof(index, size)
        for is_left, sibling in zip(sides, proof, strict=True):
            node_ = merkle.hash_node(sibling, node_) if is_left else merkle.hash_node(node_, sibling)
        assert node_ == model_root(0, size)
        assert all(type(side) is bool for side in sides)
    for outside in (-1, size):
        with pytest.raises(Malformed, match="is not in a tree"):
            merkle.sides_of_proof(outside, size)


def test_a_consistency_proof_has_hashes_of_32_bytes():
    roots = {"first_root": model_root(0, 3), "second_root": model_root(0, 7)}
    proof = model_subproof(3, 0, 7, whole=True)
    merkle.verify_consistency(first=3, second=7, proof=proof, **roots)
    with pytest.raises(Malformed, match="the consistency proof has a hash of 31 bytes"):
        merkle.verify_consistency(first=3, second=7, proof=(*proof[:-1], proof[-1][:31]), **roots)


def test_an_empty_run_and_one_outside():
    assert merkle.inclusion_proofs(3, 3, 5, node) == ()
    for first in (3, 5):
        merkle.verify_inclusions(first=first, leaf_hashes=(), size=5, proofs=(), root=model_root(0, 5))
    merkle.verify_inclusions(first=0, leaf_hashes=(), size=0, proofs=(), root=merkle.EMPTY_ROOT)
    for first, end in ((-1, 2), (4, 6), (5, 6)):
        with pytest.raises(Malformed):
            merkle.inclusion_proofs(first, end, 5, node)
    with pytest.raises(Malformed, match="hash of 31 bytes"):
        merkle.verify_inclusions(first=0, leaf_hashes=LEAVES[:1], size=2, proofs=((bytes(31),),), root=model_root(0, 2))


# --- consistency ----------------------------------------------------------------------------------------
def test_consistency_of_every_pair_of_sizes():
    for second in range(1, SIZE + 1):
        second_root = model_root(0, second)
        for first in range(1, second + 1):
            proof = merkle.consistency_proof(first, second, node)
            assert proof == model_subproof(first, 0, second, whole=True)
            merkle.verify_consistency(
                first=first, second=second, first_root=model_root(0, first), second_root=second_root, proof=proof
            )


@pytest.mark.parametrize("second", [2, 3, 5, 8, 13, 21, 64, 65])
def test_no_other_consistency_holds(second):
    for first in range(1, second):
        good = dict(
            first=first, second=second, first_root=model_root(0, first), second_root=model_root(0, second)
        )  # fmt: skip
        proof = merkle.consistency_proof(first, second, node)
        changed = [(*proof[:at], flipped(proof[at], at % 8), *proof[at + 1 :]) for at in range(len(proof))]
        changed += [proof[:at] + proof[at + 1 :] for at in range(len(proof))]
        changed += [(*proof[:at], good["first_root"], *proof[at:]) for at in range(len(proof) + 1)]
        for bad in changed:
            with pytest.raises(Refused):
                merkle.verify_consistency(**good, proof=bad)
        for member in ("first_root", "second_root"):
            with pytest.raises(Refused):
                merkle.verify_consistency(**good | {member: flipped(good[member])}, proof=proof)
        for other in {first - 1, first + 1, first ^ 2, second} - {first}:
            with pytest.raises(SigError):
                merkle.verify_consistency(**good | {"first": other}, proof=proof)


def test_a_rewritten_log_is_not_consistent():
    other = merkle.Frontier().extend((flipped(LEAVES[0]), *LEAVES[1:5])).root()
    proof = merkle.consistency_proof(5, 9, node)
    with pytest.raises(Refused, match="first root"):
        merkle.verify_consistency(first=5, second=9, first_root=other, second_root=model_root(0, 9), proof=proof)
    with pytest.raises(Refused, match="split view"):
        merkle.verify_consistency(first=5, second=5, first_root=other, second_root=model_root(0, 5), proof=())
    with pytest.raises(Refused, match="second root"):
        merkle.verify_consistency(first=5, second=9, first_root=model_root(0, 5), second_root=other, proof=proof)
    with pytest.raises(Refused, match="has 1 hashes, expected 0"):
        merkle.verify_consistency(first=5, second=5, first_root=other, second_root=other, proof=(other,))


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (-1, 5), (6, 5), (1, 2**63)])
def test_consistency_of_impossible_sizes_is_malformed(first, second):
    root = LEAVES[0]
    with pytest.raises(Malformed):
        merkle.verify_consistency(first=first, second=second, first_root=root, second_root=root, proof=())
    with pytest.raises(Malformed):
        merkle.consistency_proof(first, second, node)


# --- arbitrary input ------------------------------------------------------------------------------------
HASHES = st.binary(min_size=31, max_size=33) | st.just(LEAVES[0])
NUMBERS = st.integers(-1, 40) | st.integers(-(2**64), 2**64)


@given(HASHES, NUMBERS, NUMBERS, st.lists(HASHES, max_size=8), HASHES)
def test_the_checks_raise_nothing_but_their_own_errors(leaf_hash, number, size, proof, root):
    try:
        merkle.verify_inclusion(leaf_hash=leaf_hash, index=number, size=size, proof=proof, root=root)
    except SigError:
        pass
    else:
        assert (number, size, proof, root) == (0, 1, [], leaf_hash)
    try:
        merkle.verify_consistency(first=number, second=size, first_root=leaf_hash, second_root=root, proof=proof)
    except SigError:
        return
    assert (number, proof, leaf_hash) == (size, [], root)


# --- third-party vectors --------------------------------------------------------------------------------
ROOTS_OF_OTHER_SIZE = {"sizes-are-equal-one-and-proof-is-empty.json"}
"""Marked as good, with 12-byte placeholders for roots: right about the proof, but no SHA-256 tree has such roots."""


def cases(folder, minimum):
    paths = sorted(folder.rglob("*.json"))
    assert len(paths) >= minimum
    for path in paths:
        case = json.loads(path.read_text())
        for name in ("root", "root1", "root2", "leafHash"):
            case[name] = base64.b64decode(case.get(name) or "")
        case["proof"] = [base64.b64decode(hash_) for hash_ in case["proof"] or ()]
        yield path, case


def holds(verify, **arguments):
    try:
        verify(**arguments)
    except SigError:
        return False
    return True


def test_inclusion_vectors(vectors: Path):
    for path, case in cases(vectors / "merkle" / "inclusion", 98):
        held = holds(
            merkle.verify_inclusion,
            leaf_hash=case["leafHash"],
            index=case["leafIdx"],
            size=case["treeSize"],
            proof=case["proof"],
            root=case["root"],
        )
        assert held is not case["wantErr"], f"{path}: {case['desc']}"


def test_consistency_vectors(vectors: Path):
    for path, case in cases(vectors / "merkle" / "consistency", 98):
        held = holds(
            merkle.verify_consistency,
            first=case["size1"],
            second=case["size2"],
            first_root=case["root1"],
            second_root=case["root2"],
            proof=case["proof"],
        )
        expected = not case["wantErr"] and path.name not in ROOTS_OF_OTHER_SIZE
        assert held is expected, f"{path}: {case['desc']}"
