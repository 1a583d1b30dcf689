# SPDX-License-Identifier: Apache-2.0
"""A log as static files that any file server or object store can serve: C2SP tlog-tiles, below one folder.

    checkpoint                the signed head; replaced last, by a rename
    tile/0/x001/234           hash tiles; the partial ones at the right edge in 0/x001/234.p/WIDTH
    tile/entries/x001/234     entry bundles, in the same way

Only the entries are taken from the source. Every hash tile is computed from them, and nothing is put in place before their root is
the one that the log has signed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, Protocol

from client.logs.reader import SignedHead
from client.logs.tiled import MissingTile, TileNodes
from sigcore import limits, merkle
from sigcore.errors import Malformed, Refused
from sigcore.merkle import Frontier
from sigcore.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    encode_entries_path,
    encode_entry_bundle,
    encode_path,
    encode_tile,
    parse_tile,
    tiles_of,
)
from stack.files import PUBLIC, leftover_of, load_file, make_folder, save_file, sync_file, sync_folder
from stack.lock import alone

CHECKPOINT: Final = "checkpoint"
_INCOMING: Final = ".incoming"
_FOLDER: Final = 0o755


class Source(Protocol):
    """Where entries come from."""

    async def head(self) -> SignedHead:
        """The head of now, its signature verified."""
        ...

    async def bodies(self, index: int, size: int) -> tuple[bytes, ...]:
        """The entries [index * 256, index * 256 + 256) as far as a tree of ``size`` leaves has them."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has done: the tree that is there now and was there before, and how many files were written."""

    head: SignedHead
    before: SignedHead | None
    files: int


async def export(
    source: Source,
    folder: Path,
    read_checkpoint: Callable[[str], SignedHead],
    progress: Callable[[int, int], None],
) -> Exported:
    """Bring ``folder`` up to the head of now.

    1. Read what was exported before; it must be a checkpoint of this log, and not ahead of the head.
    2. Fetch the entries from its last incomplete bundle on; lay bundles and hash tiles aside. Complete ones that are there stay.
    3. The tiles together must lead to the head's root, and to the root of what was exported before.
    4. Put the files in place, each by a rename, once they are on the disk; then bring their names there.
    5. Only then replace the checkpoint: whatever it covers is there, after a power cut too.
    6. Remove partial files beside their complete ones: readers of an older checkpoint take those.

    Args:
        source: the log.
        folder: made when it is not there.
        read_checkpoint: verifies a signed checkpoint of this log.
        progress: called with entries done and entries in all.

    Raises:
        Refused: (1) or (3) does not hold, or ``folder`` holds something else. Else as the source.
    """
    head = await source.head()
    _read_before(folder, read_checkpoint, head)  # before anything is made
    make_folder(folder, _FOLDER)
    with alone(folder):  # another export may have gone further meanwhile
        head = await source.head()
        before = _read_before(folder, read_checkpoint, head)  # 1
        if before is not None and before.checkpoint == head.checkpoint:
            return Exported(head, before, 0)
        _sweep(folder)
        try:
            files = await _add(source, _Pile(folder, head.size), head, before, progress)  # 2, 3, 4
        finally:
            _sweep(folder)
        save_file(folder / CHECKPOINT, head.envelope.encode("utf-8"))  # 5
        _remove_partial(folder)  # 6
    return Exported(head, before, files)


def _sweep(folder: Path) -> None:
    """Take away what waits, and what an interrupted export has left."""
    shutil.rmtree(folder / _INCOMING, ignore_errors=True)
    for cut in filter(leftover_of, folder.glob(".*")):
        cut.unlink()


async def _add(
    source: Source,
    pile: _Pile,
    head: SignedHead,
    before: SignedHead | None,
    progress: Callable[[int, int], None],
) -> int:
    first = before.size if before else 0
    for index in range(first // WIDTH, -(-head.size // WIDTH)):
        pile.add_bundle(index, await source.bodies(index, head.size))
        progress(min((index + 1) * WIDTH, head.size), head.size)
    pile.add_upper_tiles(first)
    _check_roots(pile, head, before)
    return pile.put_in_place()


def _read_before(folder: Path, read_checkpoint: Callable[[str], SignedHead], head: SignedHead) -> SignedHead | None:
    path = folder / CHECKPOINT
    if not path.exists():
        found = {leftover_of(entry) or entry.name for entry in folder.iterdir()} if folder.exists() else set()
        if found - {_INCOMING, "tile", CHECKPOINT}:
            raise Refused(f"{folder} is not empty, and holds no export of a log", "name a new folder, or an empty one")
        return None
    text = load_file(path, what="the exported checkpoint", limit=limits.NOTE).decode("utf-8", "replace")
    before = read_checkpoint(text)
    if before.size > head.size:
        raise Refused(
            f"{folder} holds {before.size} entries that the log has signed, now it shows {head.size}",
            "the log went back: keep the exported checkpoint, it proves that",
        )
    return before


def _check_roots(pile: _Pile, head: SignedHead, before: SignedHead | None) -> None:
    root = pile.root(head.size)
    if root != head.root:
        raise Refused(
            f"the log's entries hash to {root.hex()}, it has signed {head.root.hex()} for {head.size} entries"
        )
    if before is not None and (earlier := pile.root(before.size)) != before.root:
        raise Refused(
            f"the first {before.size} entries of the log hash to {earlier.hex()}, the exported checkpoint says {before.root.hex()}",
            "the log shows another history than the one that was exported; keep both checkpoints",
        )


class _Pile:
    """Files that wait in ``folder/.incoming`` beside those that are in ``folder``."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._names: list[str] = []

    def add_bundle(self, index: int, bodies: tuple[bytes, ...]) -> None:
        """The entries of one bundle, and the hash tile over them."""
        width = min(WIDTH, self._size - index * WIDTH)
        if len(bodies) != width:
            raise Malformed(f"the log gives {len(bodies)} entries from {index * WIDTH} on, expected {width}")
        self._add(f"entries/{encode_entries_path(index, width)}", encode_entry_bundle(bodies))
        self._add(encode_path(Tile(0, index, width)), encode_tile([merkle.hash_leaf(body) for body in bodies]))

    def add_upper_tiles(self, first: int) -> None:
        """The tiles over other tiles, from those that hold leaf ``first`` on; each hash is the root of a complete one below."""
        for tile in tiles_of(self._size):
            if tile.level and (tile.index + 1) * WIDTH > first >> HEIGHT * tile.level:
                below = range(tile.index * WIDTH, tile.index * WIDTH + tile.width)
                roots = [Frontier().extend(self._hashes(Tile(tile.level - 1, index))).root() for index in below]
                self._add(encode_path(tile), encode_tile(roots))

    def root(self, size: int) -> merkle.Hash:
        """The root of the first ``size`` entries, from the tiles."""
        nodes = TileNodes(self._size)
        while True:
            try:
                return merkle.root_of(size, nodes.node)
            except MissingTile as missing:
                nodes.put(missing.tile, self._hashes(missing.tile))

    def _hashes(self, tile: Tile) -> tuple[merkle.Hash, ...]:
        name = f"tile/{encode_path(tile)}"
        waiting = self._folder / _INCOMING / name
        path = waiting if waiting.exists() else self._folder / name
        return parse_tile(load_file(path, what="the tile"), tile.width)

    def _add(self, name: str, data: bytes) -> None:
        name = f"tile/{name}"
        if ".p/" not in name and (self._folder / name).exists():
            return  # what is complete never changes
        path = self._folder / _INCOMING / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            os.fchmod(file.fileno(), PUBLIC)
            file.write(data)
        self._names.append(name)

    def put_in_place(self) -> int:
        """Move what waits; how many files.

        1. They are on the disk first: one synchronisation of all costs less than one of each. It tells of no error, so each file is
           asked for afterwards, which writes nothing any more.
        2. Then the names, folder by folder, from the last of each path up to the first.
        """
        os.sync()
        folders = {self._folder}
        for name in self._names:
            target, waiting = self._folder / name, self._folder / _INCOMING / name
            sync_file(waiting)  # 1
            target.parent.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
            waiting.replace(target)
            folders.update(self._folder / parent for parent in PurePath(name).parents)
        for folder in sorted(folders, reverse=True):
            sync_folder(folder)  # 2
        return len(self._names)


def _remove_partial(folder: Path) -> None:
    for partial in list((folder / "tile").rglob("*.p")):
        if partial.with_suffix("").exists():
            shutil.rmtree(partial)
