# SPDX-License-Identifier: Apache-2.0
"""Tiled logs: coordinates and paths of hash tiles and entry bundles, and what is in them.

A tile holds up to 256 consecutive hashes of one tree level out of eight: tile level L holds nodes of tree level 8 * L.
A full tile never changes; the partial one at the right edge carries its width in its path.

Source: C2SP tlog-tiles, "Merkle Tree", "Partial Tiles", "Log entries".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sigcore import limits, merkle
from sigcore.errors import Malformed
from sigcore.patterns import pattern
from sigcore.strict import shown
from sigcore.values import dataclass

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
MAX_LEVEL: Final = 63
"""The bound of the specification; a tree of 2**63 leaves ends at level 7."""

_LEVEL = pattern(r"0|[1-9][0-9]?", re.ASCII)
_INDEX = pattern(r"(?:x[0-9]{3}/){0,5}[0-9]{3}", re.ASCII)
_WIDTH = pattern(r"[1-9][0-9]{0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """A hash tile: ``index`` within ``level``, and its ``width`` in hashes, 256 when full."""

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise Malformed(f"the tile level is {self.level}, expected 0 to {MAX_LEVEL}")
        _check_place(self.index, self.width)


def tiles_of(size: int) -> Iterator[Tile]:
    """Every hash tile of a tree of ``size`` leaves, level by level; each level ends with its partial tile, if any."""
    level = 0
    while size > 0:
        full, rest = divmod(size, WIDTH)
        yield from (Tile(level, index) for index in range(full))
        if rest:
            yield Tile(level, full, rest)
        level, size = level + 1, full


# --- paths -----------------------------------------------------------------------------------------
def encode_path(tile: Tile) -> str:
    """What follows ``tile/`` in the URL: ``0/x001/234`` or, partial, ``0/x001/234.p/17``."""
    return f"{tile.level}/{encode_entries_path(tile.index, tile.width)}"


def parse_path(text: str) -> Tile:
    """The inverse of :func:`encode_path`; every tile has one spelling.

    Raises:
        Malformed: another spelling, or coordinates that no tree has.
    """
    level, slash, place = text.partition("/")
    if not slash or not _LEVEL.fullmatch(level):
        raise Malformed(f"the tile path is {shown(text)}, expected a path like 0/x001/234 or 0/x001/234.p/17")
    return Tile(int(level), *parse_entries_path(place))


def encode_entries_path(index: int, width: int = WIDTH) -> str:
    """What follows ``tile/entries/`` in the URL of the bundle of the entries [index * 256, index * 256 + width)."""
    _check_place(index, width)
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return "/".join(reversed(groups)) + partial


def parse_entries_path(text: str) -> tuple[int, int]:
    """The inverse of :func:`encode_entries_path`: (index, width).

    Raises:
        Malformed: another spelling, or coordinates that no tree has.
    """
    place, partial, width_text = text.partition(".p/")
    if not _INDEX.fullmatch(place) or (partial and not _WIDTH.fullmatch(width_text)):
        raise Malformed(f"the tile path is {shown(text)}, expected a path like x001/234 or x001/234.p/17")
    index = int(place.replace("/", "").replace("x", ""))
    width = int(width_text) if partial else WIDTH
    if encode_entries_path(index, width) != text:
        raise Malformed(f"the tile path is {shown(text)}, expected {encode_entries_path(index, width)}")
    return index, width


# --- contents --------------------------------------------------------------------------------------
def encode_tile(hashes: Sequence[merkle.Hash]) -> bytes:
    """The hashes, one after the other."""
    return b"".join(hashes)


def parse_tile(data: bytes, width: int) -> tuple[merkle.Hash, ...]:
    """The ``width`` hashes of a tile.

    Raises:
        Malformed: not exactly ``width`` hashes.
    """
    size = merkle.HASH_SIZE
    if len(data) != width * size:
        raise Malformed(f"the hash tile is {len(data)} bytes long, expected {width * size} for width {width}")
    return tuple(data[start : start + size] for start in range(0, len(data), size))


def encode_entry_bundle(bodies: Sequence[bytes]) -> bytes:
    """The bodies, each after its length in two bytes (big-endian).

    Raises:
        Malformed: a body is longer than 65535 bytes.
    """
    for body in bodies:
        if len(body) > limits.ENTRY:
            raise Malformed(f"the log entry is {len(body)} bytes long, the limit is {limits.ENTRY}")
    return b"".join(part for body in bodies for part in (len(body).to_bytes(2, "big"), body))


def parse_entry_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The ``width`` bodies of an entry bundle.

    Raises:
        Malformed: truncated, or not exactly ``width`` bodies.
    """
    bodies: list[bytes] = []
    position = 0
    while len(bodies) < width:
        start = position + 2
        end = start + int.from_bytes(data[position:start], "big")
        if end > len(data):
            raise Malformed(f"the entry bundle ends within entry {len(bodies)}, expected {width} entries")
        bodies.append(data[start:end])
        position = end
    if position != len(data):
        raise Malformed(f"the entry bundle has {len(data) - position} bytes after its {width} entries")
    return tuple(bodies)


def _check_place(index: int, width: int) -> None:
    if not 0 <= index <= limits.INT64_MAX // WIDTH:
        raise Malformed(f"the tile index is {index}, expected 0 to {limits.INT64_MAX // WIDTH}")
    if not 1 <= width <= WIDTH:
        raise Malformed(f"the tile width is {width}, expected 1 to {WIDTH}")
