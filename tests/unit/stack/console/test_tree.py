# SPDX-License-Identifier: Apache-2.0
"""The tree that is drawn is the tree: against a naive Merkle tree and the proofs of every leaf and size."""

from __future__ import annotations

import hashlib
import re

import pytest

from stack.web.console.drawn import WHOLE, draw, grow_path, grow_whole, lit_path
from tests.unit.tlog.catalog.conftest import signed
from tests.unit.tlog.conftest import naive_path, naive_root

LEAVES = [b"leaf %d" % number for number in range(40)]


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


@pytest.mark.parametrize("size", [*range(1, 34), 40])
def test_a_drawn_path_is_the_proof_and_leads_to_the_root(size):
    leaves = LEAVES[:size]
    for leaf in range(size):
        proof = tuple(naive_path(leaf, leaves))
        node = grow_path(leaf, size, leaf_hash(leaves[leaf]), proof)
        assert node.hash == naive_root(leaves)
        assert (node.low, node.high) == (0, size)
        for (low, high), hash_ in zip(lit_path(leaf, size), proof, strict=True):
            assert hash_ == naive_root(leaves[low:high])


@pytest.mark.parametrize("size", range(1, WHOLE + 1))
def test_a_whole_tree_has_every_leaf_once_and_the_same_root(size):
    hashes = tuple(map(leaf_hash, LEAVES[:size]))
    for leaf in range(size):
        drawing = draw(grow_whole(hashes, leaf))
        assert drawing.boxes[0].node.hash == naive_root(LEAVES[:size])
        ends = [box.node for box in drawing.boxes if not box.node.children]
        assert sorted(node.low for node in ends) == list(range(size))
        assert {box.node.hash for box in drawing.boxes if box.node.role == "proof"} == set(
            naive_path(leaf, LEAVES[:size])
        )


@pytest.mark.parametrize(("leaf", "size"), [(0, 1), (3, 7), (20, 40), (39, 40)])
def test_nothing_is_drawn_over_something_else_or_outside(leaf, size):
    proof = tuple(naive_path(leaf, LEAVES[:size]))
    drawing = draw(grow_path(leaf, size, leaf_hash(LEAVES[leaf]), proof))
    places = [(box.x, box.y) for box in drawing.boxes]
    for number, (x, y) in enumerate(places):
        assert 40 <= x <= drawing.width - 40
        assert 15 <= y <= drawing.height - 15
        assert not any(abs(x - a) < 80 and abs(y - b) < 30 for a, b in places[:number])


async def text_of(console, path: str, status: int = 200) -> str:
    async with console.get(path) as response:
        assert response.status == status, await response.text()
        return await response.text()


@pytest.mark.parametrize("size", [1, 5, WHOLE, WHOLE + 1, 37])
async def test_the_page_of_a_log_draws_it_and_proves_that_it_only_grew(console, size):
    submissions = [signed("alice@example.com", number + 1) for number in range(size)]
    for one in submissions:
        await console.log.submit(one)
    leaves = [one.leaf for one in submissions]
    page = await text_of(console, f"/logs/rekor?leaf={size // 2}")
    assert naive_root(leaves).hex() in page
    assert "signed by the log" in page
    assert all(node.hex() in page for node in naive_path(size // 2, leaves))
    assert len(re.findall('<g class="lit"', page)) == len(naive_path(size // 2, leaves)) + 1
    if size > 1:
        earlier = await text_of(console, f"/logs/rekor?size={size - 1}&leaf=0&first={size - 1}")
        assert "of an earlier tree" in earlier
        assert naive_root(leaves[:-1]).hex() in earlier
    overview = await text_of(console, "/logs")
    assert "alice" not in overview
    assert naive_root(leaves).hex() in overview
    assert "It is empty." in overview


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("leaf=9", "leaf is 9"),
        ("size=0", "size is 0"),
        ("size=x", "size"),
        ("first=3&second=2", "first is 3"),
        ("leaf=-1", "leaf"),
    ],
)
async def test_what_is_not_in_the_tree_is_said(console, query, said):
    for number in range(1, 4):
        await console.log.submit(signed("alice@example.com", number))
    assert said in (await text_of(console, f"/logs/rekor?{query}", 400)).lower()


async def test_an_empty_log_and_one_that_is_none(console):
    await text_of(console, "/logs/none", 404)
    await text_of(console, "/logs/ct", 503)
