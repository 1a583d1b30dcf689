# SPDX-License-Identifier: Apache-2.0
"""The tiles of a log and the witnesses of its head, as the page of a tree shows them. Pure.

A tile holds 256 hashes of one level out of eight (C2SP tlog-tiles). A cosignature is a line of the checkpoint's note under another
name than the log's (C2SP tlog-cosignature: eight bytes of time, then Ed25519).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sigcore.note import parse_note
from sigcore.tiles import HEIGHT, WIDTH, Tile, encode_entries_path, encode_path
from sigcore.values import dataclass
from stack.shards import Shard

_COSIGNATURE: Final = 8 + 64
_LAST_SECOND: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class ShownTile:
    """``path`` is what follows ``tile/``; ``role`` is ``lit`` on the path of an entry."""

    path: str
    width: int
    role: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """How many tiles a level has, the width of its partial one (0 for none), and those of them that are named."""

    name: str
    full: int
    partial: int
    tiles: tuple[ShownTile, ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """A cosignature: who, with which key, and when it was given, where that is said. Nobody has verified it here."""

    name: str
    key_hash: str
    time: datetime | None


def served(shard: Shard) -> str:
    """Where tiles of a tree are served; the interfaces of other logs than Rekor v2 have none."""
    return f"{shard.prefix}/tile/" if shard.log == "rekor" else ""


def levels(size: int, leaf: int) -> tuple[Level, ...]:
    """The tiles of a tree of ``size`` leaves: of each level the first one, that over ``leaf``, the last full and the partial one."""
    return (_level("entries", size, leaf // WIDTH, -1), *_hashes(size, leaf))


def _hashes(size: int, leaf: int) -> Iterator[Level]:
    number, nodes = 0, size
    while nodes:
        yield _level(str(number), nodes, leaf >> HEIGHT * (number + 1), number)
        number, nodes = number + 1, nodes // WIDTH


def _level(name: str, nodes: int, lit: int, number: int) -> Level:
    full, partial = divmod(nodes, WIDTH)
    named = {0, lit, full - 1, full} & set(range(full + (1 if partial else 0)))
    tiles = []
    for index in sorted(named):
        width = WIDTH if index < full else partial
        path = f"entries/{encode_entries_path(index, width)}" if number < 0 else encode_path(Tile(number, index, width))
        tiles.append(ShownTile(path, width, "lit" if index == lit else ""))
    return Level(name, full, partial, tuple(tiles))


def witnesses(checkpoint: str, own: str) -> tuple[Witness, ...]:
    """The cosignatures of a signed checkpoint; ``own`` is the name that the log signs with. Malformed: it is no note."""
    lines = parse_note(checkpoint).signatures
    return tuple(Witness(one.name, one.key_hash.hex(), _time(one.signature)) for one in lines if one.name != own)


def _time(signature: bytes) -> datetime | None:
    if len(signature) != _COSIGNATURE:
        return None
    seconds = int.from_bytes(signature[:8], "big")
    return datetime.fromtimestamp(seconds, UTC) if seconds <= _LAST_SECOND else None
