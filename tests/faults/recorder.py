# SPDX-License-Identifier: Apache-2.0
"""The trace of a recorded process: what it wrote, and what its clients were told, in one order (``recorder.c``)."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("<cQqIII")


@dataclass(frozen=True, slots=True)
class Event:
    """One call, or one note of a client; the kinds stand at the head of ``recorder.c``."""

    kind: str
    inode: int
    offset: int
    path: str
    other: str
    data: bytes


def build_recorder(folder: Path) -> Path:
    """The recorder, for ``LD_PRELOAD``."""
    return build(folder, "recorder")


def build(folder: Path, name: str) -> Path:
    """Compile the shared object ``name`` that is preloaded into a process."""
    source, library = Path(__file__).with_name(f"{name}.c"), folder / f"{name}.so"
    command = [
        "gcc",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        library,
        source,
        "-ldl",
    ]
    subprocess.run(command, check=True, timeout=60)
    return library


class Trace:
    """The file that the process and its clients append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, note: dict[str, Any]) -> None:
        """Append what a client did or was told; one write, so that it stands whole between the events."""
        data = json.dumps(note).encode()
        os.write(self._file, _HEADER.pack(b"A", 0, 0, 0, 0, len(data)) + data)

    def close(self) -> None:
        os.close(self._file)

    def read(self) -> list[Event]:
        """Every event; the last one may be cut off by a kill."""
        return list(_parse(self.path.read_bytes()))


def _parse(data: bytes) -> Iterator[Event]:
    position = 0
    while position + _HEADER.size <= len(data):
        kind, inode, offset, *sizes = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        parts = []
        for size in sizes:
            parts.append(data[position : position + size])
            position += size
        if position <= len(data):
            path, other, content = parts
            yield Event(kind.decode(), inode, offset, os.fsdecode(path), os.fsdecode(other), content)
