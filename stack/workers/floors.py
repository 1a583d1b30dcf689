# SPDX-License-Identifier: Apache-2.0
"""The last times that were signed with, in memory that all processes of a stack see. No lock: each writes a cell of its own.

A process that ends leaves its cell as it is; the one that takes its place goes on from there.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Final

from sigcore.floor import Floor

NAMES: Final = ("ct", "rekor", "rekor-v1", "tsa")
_CELL: Final = 8


class SharedFloor(Floor):
    """The highest of ``cells``, of which this process writes the one at ``own``."""

    def __init__(self, cells: memoryview, own: int) -> None:
        self._cells = cells
        self._own = own

    @property
    def value(self) -> int:
        """The highest number that any process was given."""
        return max(self._cells)

    def raise_to(self, value: int) -> None:
        """Keep ``value``, if it is the highest of this process."""
        self._cells[self._own] = max(self._cells[self._own], value)


class Floors:
    """Memory for ``processes`` processes; make it before the first of them is forked."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._cells = memoryview(mmap.mmap(-1, len(NAMES) * processes * _CELL)).cast("q")

    def of(self, process: int) -> Mapping[str, SharedFloor]:
        """By name, for the process with this number, from 0 on."""
        rows = range(0, len(self._cells), self._processes)
        return {
            name: SharedFloor(self._cells[row : row + self._processes], process)
            for name, row in zip(NAMES, rows, strict=True)
        }
