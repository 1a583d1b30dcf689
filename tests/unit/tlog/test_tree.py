# SPDX-License-Identifier: Apache-2.0
"""The growing tree against the recursive definition of RFC 6962."""

from __future__ import annotations

import hashlib

import pytest

from sigcore import merkle
from sigcore.errors import Malformed
from sigcore.merkle import Frontier
from sigcore.tiles import WIDTH
from tlog.proofs import MissingTile, Nodes, expand, tile_root
from tlog.tree import Tree, from_edge, grow, split

EMPTY = Tree(Frontier(), ())


def leaves(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


def hashes(count: int) -> list[bytes]:
    return [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves(count)]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 1000])
def test_root_and_edge_do_not_depend_on_the_batches(size, root_of):
    whole = grow(EMPTY, hashes(size)).tree
    parts = EMPTY
    for start in range(0, size, 37):
        parts = grow(parts, hashes(size)[start : start + 37]).tree
    assert whole == parts
    assert whole.frontier.root() == root_of(leaves(size))
    assert from_edge(size, whole.edge) == whole


def test_every_tile_is_completed_once():
    tree, tiles = EMPTY, {}
    for start in range(0, 3 * WIDTH, 100):
        growth = grow(tree, hashes(3 * WIDTH)[start : start + 100])
        tree = growth.tree
        for tile in growth.tiles:
            assert (tile.level, tile.index) not in tiles
            tiles[tile.level, tile.index] = tile.hashes
    assert sorted(tiles) == [(0, 0), (0, 1), (0, 2)]
    assert b"".join(tiles[0, n] for n in range(3)) == b"".join(hashes(3 * WIDTH))


def test_second_row_completes():
    count = WIDTH * WIDTH
    growth = grow(EMPTY, [bytes(32)] * count)
    above = [tile for tile in growth.tiles if tile.level == 1]
    assert [(tile.level, tile.index) for tile in above] == [(1, 0)]
    assert growth.tree.edge[0] == growth.tree.edge[1] == b""
    assert growth.tree.edge[2] == tile_root(above[0].hashes) == growth.tree.frontier.root()
    assert from_edge(count, growth.tree.edge) == growth.tree


def test_edge_of_another_size_is_malformed():
    with pytest.raises(Malformed, match="edge of a tree of 3 leaves"):
        from_edge(3, (bytes(64),))


def test_proofs_from_tiles_equal_the_definition(path_of):
    size = 600
    growth = grow(EMPTY, hashes(size))
    tiles = {(tile.level, tile.index): tile.hashes for tile in growth.tiles}
    fresh = Nodes(growth.tree, capacity=2)
    grown = Nodes(EMPTY)
    grown.append(growth.nodes)
    for index in (0, 1, 255, 256, 400, 511, 512, 599):
        expected = path_of(index, leaves(size))
        assert list(merkle.inclusion_proof(index, size, grown.node)) == expected
        while True:
            try:
                assert list(merkle.inclusion_proof(index, size, fresh.node)) == expected
                break
            except MissingTile as missing:
                fresh.put(missing.level, missing.index, tiles[missing.level, missing.index])


def test_a_node_of_an_absent_tile_names_the_tile():
    nodes = Nodes(grow(EMPTY, hashes(600)).tree)
    with pytest.raises(MissingTile, match="tile 0/1") as missing:
        nodes.node(3, 35)
    assert (missing.value.level, missing.value.index) == (0, 1)


def test_the_least_recently_used_tile_makes_room():
    growth = grow(EMPTY, hashes(4 * WIDTH))
    tiles = {tile.index: tile.hashes for tile in growth.tiles}
    nodes = Nodes(growth.tree, capacity=2)
    nodes.put(0, 0, tiles[0])
    nodes.put(0, 1, tiles[1])
    nodes.node(0, 0)
    nodes.put(0, 2, tiles[2])
    assert nodes.node(0, 5) == hashes(6)[5]
    with pytest.raises(MissingTile):
        nodes.node(0, WIDTH)


def test_edge_is_what_is_not_in_a_tile_yet():
    nodes = Nodes(EMPTY)
    nodes.append(grow(EMPTY, hashes(258)).nodes)
    assert nodes.edge(0) == hashes(258)[256:]
    assert nodes.edge(1) == [tile_root(b"".join(hashes(256)))]
    assert nodes.edge(2) == []


def test_expanded_tile_has_all_inner_levels():
    rows = expand(hashes(5))
    assert [len(row) for row in rows] == [5, 2, 1, 0, 0, 0, 0, 0]
    assert split(b"".join(rows[0])) == hashes(5)
