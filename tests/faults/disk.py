# SPDX-License-Identifier: Apache-2.0
"""A disk that keeps what it was told to synchronise, and of the rest whatever chance leaves.

What POSIX promises and no more:

1. ``fsync`` and ``fdatasync`` of a file make its bytes and its size durable, not its name.
2. ``fsync`` of a folder makes the names in it durable: created, renamed and removed ones.
3. A write or truncation since then may be on the disk, or not, or some of its 512-byte sectors; each one on its own.
4. Changes of names since then are on the disk up to some point, in their order (file systems journal them), for each folder
   on its own. A rename is one change.
5. Shared memory of SQLite (``-shm``) is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.faults.recorder import Event

SECTOR = 512


@dataclass(eq=False)
class File:
    """Synchronised bytes, and the writes (offset, data) and truncations (size, None) since then."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def synchronise(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()

    def survive(self, chance: Random, kept: float) -> bytes:
        """What is on the disk after the power was cut."""
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if chance.random() < kept:
                _apply(content, offset, data)
            elif data is not None and chance.random() < 0.5:
                for start, end in _sectors(offset, len(data)):
                    if chance.random() < 0.5:
                        _apply(content, offset + start, data[start:end])
        return bytes(content)


Node: TypeAlias = "File | Folder"
Change: TypeAlias = "tuple[tuple[str, Node | None], ...]"
"""Names that become something else at once; None removes."""


@dataclass(eq=False)
class Folder:
    """Synchronised names, the names as the process sees them, and the changes between the two."""

    durable: dict[str, Node] = field(default_factory=dict)
    current: dict[str, Node] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def change(self, *names: tuple[str, Node | None]) -> None:
        _rename(self.current, names)
        self.pending.append(names)

    def synchronise(self) -> None:
        self.durable = dict(self.current)
        self.pending.clear()

    def survive(self, chance: Random) -> dict[str, Node]:
        names = dict(self.durable)
        for change in self.pending[: chance.randint(0, len(self.pending))]:
            _rename(names, change)
        return names


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    else:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


def _sectors(offset: int, size: int) -> list[tuple[int, int]]:
    """A write of ``size`` bytes at ``offset``, cut where sectors of the disk begin."""
    cuts = [0, *range(SECTOR - offset % SECTOR, size, SECTOR), size]
    return list(pairwise(cuts))


def _rename(names: dict[str, Node], change: Change) -> None:
    for name, node in change:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The state of the recorded folder, moved on event by event."""

    def __init__(self) -> None:
        self.root = Folder()
        self._files: dict[int, File] = {}

    def apply(self, event: Event) -> None:
        """Move on by one event. ValueError for what cannot be followed."""
        if event.kind in "WTS":
            self._change_file(event)
        elif event.kind in "CUMRD":
            self._change_names(event)
        elif event.kind != "A":
            raise ValueError(f"the replay cannot follow {event.other} of {event.path}")

    def _change_file(self, event: Event) -> None:
        file = self._files[event.inode]
        if event.kind == "W":
            file.pending.append((event.offset, event.data))
        elif event.kind == "T":
            file.pending.append((event.offset, None))
        else:
            file.synchronise()

    def _change_names(self, event: Event) -> None:
        if event.kind == "M" and not event.path:
            return  # the recorded folder itself; what holds it is not part of the replay
        folder, name = self._parent(event.path)
        if event.kind == "C":
            # A file whose inode we know under this name is opened again; otherwise it is new (inodes are used again).
            if name not in folder.current or folder.current[name] is not self._files.get(event.inode):
                self._files[event.inode] = File()
                folder.change((name, self._files[event.inode]))
        elif event.kind == "U":
            folder.change((name, None))
        elif event.kind == "M":
            folder.change((name, Folder()))
        elif event.kind == "R":
            other, new = self._parent(event.other)
            if other is not folder:
                raise ValueError(f"the replay cannot follow a rename from {event.path} to {event.other}")
            folder.change((name, None), (new, folder.current[name]))
        else:
            self._folder(event.path).synchronise()

    def _parent(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        return self._folder(parent), name

    def _folder(self, path: str) -> Folder:
        folder = self.root
        for name in path.split("/") if path else ():
            found = folder.current[name]
            assert isinstance(found, Folder), path
            folder = found
        return folder

    def cut_power(self, target: Path, chance: Random) -> None:
        """Write into ``target`` what is left; every call with another state of ``chance`` is another fate."""
        _write(self.root, target, chance, chance.choice((0.0, 0.2, 0.5, 0.8, 1.0)))


def _write(folder: Folder, target: Path, chance: Random, kept: float) -> None:
    target.mkdir(mode=0o700)
    for name, node in sorted(folder.survive(chance).items()):
        if isinstance(node, Folder):
            _write(node, target / name, chance, kept)
        elif not name.endswith("-shm"):
            (target / name).write_bytes(node.survive(chance, kept))
            (target / name).chmod(0o600)
