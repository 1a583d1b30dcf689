# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import merkle, tiles
from sigcore.errors import Malformed, SigError
from sigcore.tiles import Tile

PLACES = {
    (0, 256): "000",
    (7, 256): "007",
    (999, 255): "999.p/255",
    (1000, 256): "x001/000",
    (1234067, 256): "x001/x234/067",
    (1234067, 1): "x001/x234/067.p/1",
    ((2**63 - 1) // 256, 256): "x036/x028/x797/x018/x963/967",
}


@pytest.mark.parametrize(("place", "text"), PLACES.items())
def test_paths(place, text):
    assert tiles.encode_entries_path(*place) == text
    assert tiles.parse_entries_path(text) == place
    assert tiles.encode_path(Tile(5, *place)) == f"5/{text}"
    assert tiles.parse_path(f"5/{text}") == Tile(5, *place)


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "00", "0000", "1234", "x001", "x001/", "x001/x234", "001/234", "X001/234", "x000/001", "x000/x001/234",
        "x1/234", "x001/23", "x001//234", "x001/234/", "/000", "000/", " 000", "000 ", "000\n", "+00", "-01", "0_0", "00a",
        "\u0660\u0660\u0660", "000.p", "000.p/", "000.p/0", "000.p/00", "000.p/01", "000.p/007", "000.p/256", "000.p/257", "000.p/1000",
        "000.p/+1", "000.p/1_0", "000.p/-1", "000.p/1/", "000.p/1\n", "000.p/1.p/1", "000.p/x", "000.P/1", "000p/1", "..",
        "x036/x028/x797/x018/x963/968", "x999/x999/x999/x999/x999/x999/999", "x001/" * 500 + "000",
    ],
)  # fmt: skip
def test_other_spellings_are_malformed(text):
    with pytest.raises(Malformed):
        tiles.parse_entries_path(text)
    with pytest.raises(Malformed):
        tiles.parse_path(f"0/{text}")


@pytest.mark.parametrize("level", ["", "00", "01", "+1", "-1", "64", "100", "1_0", " 1", "x", "data", "entries", "1/0"])
def test_other_levels_are_malformed(level):
    with pytest.raises(Malformed):
        tiles.parse_path(f"{level}/000")
    assert tiles.parse_path("63/000").level == 63


@pytest.mark.parametrize("coordinates", [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**55, 1), (0, 0, 0), (0, 0, 257)])
def test_coordinates_that_no_tree_has_are_malformed(coordinates):
    with pytest.raises(Malformed):
        Tile(*coordinates)
    if coordinates[0] == 0:
        with pytest.raises(Malformed):
            tiles.encode_entries_path(*coordinates[1:])


@given(st.integers(0, 63), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_paths_round_trip(level, index, width):
    tile = Tile(level, index, width)
    assert tiles.parse_path(tiles.encode_path(tile)) == tile


@given(st.text() | st.text("0123x/.p", max_size=20))
def test_a_path_that_parses_is_its_own_encoding(text):
    try:
        tile = tiles.parse_path(text)
    except SigError:
        return
    assert tiles.encode_path(tile) == text


def test_tiles_of_the_specifications_example():
    found = list(tiles.tiles_of(70_000))
    assert found == [
        *(Tile(0, index) for index in range(273)),
        Tile(0, 273, 112),
        Tile(1, 0),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert list(tiles.tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles.tiles_of(1)) == [Tile(0, 0, 1)]
    assert list(tiles.tiles_of(0)) == []


@given(st.integers(1, 2**18))
def test_tiles_of_a_tree_hold_each_level_once(size):
    for level, group in itertools.groupby(tiles.tiles_of(size), key=lambda tile: tile.level):
        row = list(group)
        assert [tile.index for tile in row] == list(range(len(row)))
        assert sum(tile.width for tile in row) == size >> (8 * level)
        assert all(tile.width == 256 for tile in row[:-1])


# --- contents -------------------------------------------------------------------------------------------
@given(st.lists(st.binary(max_size=400), min_size=1, max_size=256))
def test_entry_bundles_round_trip(bodies):
    data = tiles.encode_entry_bundle(bodies)
    assert tiles.parse_entry_bundle(data, len(bodies)) == tuple(bodies)
    with pytest.raises(Malformed, match="after its"):
        tiles.parse_entry_bundle(data, len(bodies) - 1)
    with pytest.raises(Malformed, match=f"within entry {len(bodies)}"):
        tiles.parse_entry_bundle(data, len(bodies) + 1)
    with pytest.raises(Malformed):
        tiles.parse_entry_bundle(data[:-1], len(bodies))


@given(st.binary(max_size=600), st.integers(1, 4))
def test_a_bundle_that_parses_is_its_own_encoding(data, width):
    try:
        bodies = tiles.parse_entry_bundle(data, width)
    except SigError:
        return
    assert tiles.encode_entry_bundle(bodies) == data


def test_a_body_is_at_most_65535_bytes_long():
    assert len(tiles.encode_entry_bundle([bytes(65535)])) == 65537
    with pytest.raises(Malformed, match="65536 bytes long"):
        tiles.encode_entry_bundle([bytes(65536)])


def test_hash_tiles_round_trip():
    hashes = tuple(merkle.hash_leaf(bytes((number,))) for number in range(256))
    assert tiles.parse_tile(tiles.encode_tile(hashes), 256) == hashes
    assert tiles.parse_tile(tiles.encode_tile(hashes[:3]), 3) == hashes[:3]
    for size in (0, 31, 33, 64):
        with pytest.raises(Malformed, match="expected 32 for width 1"):
            tiles.parse_tile(bytes(size), 1)
