# SPDX-License-Identifier: Apache-2.0
"""The tree that is drawn is the tree: against a naive Merkle tree and the proofs of every leaf and size."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from sigcore.tiles import encode_path, tiles_of
from stack.web.console.drawn import WHOLE, draw, grow_path, grow_whole, lit_path
from stack.web.console.tiled import levels, witnesses
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


# --- tiles and witnesses -----------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_536, 65_537, 1_000_000])
def test_the_tiles_that_are_counted_are_those_of_the_tree(size):
    counted = {(level.name, level.full, level.partial) for level in levels(size, size - 1) if level.name != "entries"}
    tiles = list(tiles_of(size))
    expected = {
        (
            str(number),
            sum(tile.level == number and tile.width == 256 for tile in tiles),
            next((tile.width for tile in tiles if tile.level == number and tile.width < 256), 0),
        )
        for number in {tile.level for tile in tiles}
    }
    assert counted == expected
    there = {encode_path(tile) for tile in tiles}
    named = [tile.path for level in levels(size, 0) if level.name != "entries" for tile in level.tiles]
    assert set(named) <= there


@pytest.mark.parametrize(("size", "leaf"), [(1, 0), (257, 3), (257, 256), (70_000, 69_999), (70_000, 300)])
def test_the_tile_over_an_entry_is_lit_at_each_level_where_it_is(size, leaf):
    for level in levels(size, leaf):
        number = -1 if level.name == "entries" else int(level.name)
        index = leaf // 256 if number < 0 else leaf >> 8 * (number + 1)
        lit = [tile.path for tile in level.tiles if tile.role]
        there = index < level.full + (level.partial > 0)
        assert len(lit) == int(there)


def test_a_cosignature_is_shown_with_its_time_and_the_logs_own_line_is_not():
    def line(name: str, signature: bytes) -> str:
        return f"\u2014 {name} {base64.b64encode(bytes(4) + signature).decode()}\n"

    text = "log.example\n1\n" + base64.b64encode(bytes(32)).decode() + "\n\n"
    cosignature = (1_772_323_620).to_bytes(8, "big") + bytes(64)
    note = text + line("log.example", bytes(64)) + line("witness.example/w", cosignature) + line("other", bytes(70))
    found = witnesses(note, "log.example")
    assert [(one.name, one.time and one.time.isoformat()) for one in found] == [
        ("witness.example/w", "2026-03-01T00:07:00+00:00"),
        ("other", None),
    ]


async def test_the_page_links_to_tiles_that_are_served_and_says_that_no_witness_has_signed(console):
    await console.log.submit(signed("alice@example.com", 1))
    page = await text_of(console, "/logs/rekor")
    assert 'href="/tile/0/000.p/1"' in page
    assert 'href="/tile/entries/000.p/1"' in page
    assert "no witness is configured" in page
