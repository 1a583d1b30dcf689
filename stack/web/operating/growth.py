# SPDX-License-Identifier: Apache-2.0
"""How fast the logs grow, what they take on the disk, and how long that can go on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sigcore.values import dataclass
from tlog.catalog.catalog import Catalog
from tlog.catalog.store import DAY_MS

DAYS: Final = 14
FAR_DAYS: Final = 3650
"""Beyond that a forecast says nothing."""
_FILES: Final = ("", "-wal", "-shm")
_HEIGHT: Final = 48
_BAR: Final = 12
_GAP: Final = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in a drawing, in the units of its view box; ``number`` of entries."""

    day: str
    number: int
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Growth:
    """One log over the last DAYS days."""

    log: str
    size: int
    bars: tuple[Bar, ...]

    @property
    def lately(self) -> int:
        """Entries of these days."""
        return sum(bar.number for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes: of each database, free and in all; ``days_left`` at the pace of the last days, None for many years."""

    databases: tuple[tuple[str, int], ...]
    free: int
    total: int
    days_left: int | None


async def look(catalog: Catalog, sizes: Mapping[str, int], now: datetime) -> tuple[Growth, ...]:
    """The growth of each log in ``sizes``. Unavailable: the storage failed."""
    first = now - timedelta(days=DAYS - 1)
    counts = await catalog.growth(int(first.timestamp()) * 1000 // DAY_MS, DAYS)
    return tuple(Growth(name, size, _bars(counts.get(name, ()), first)) for name, size in sizes.items())


def _bars(numbers: tuple[int, ...], first: datetime) -> tuple[Bar, ...]:
    most = max(numbers, default=0) or 1
    heights = [max(_HEIGHT * number / most, 2 if number else 0.5) for number in numbers]
    return tuple(
        Bar(
            f"{first + timedelta(days=at):%Y-%m-%d}",
            number,
            at * (_BAR + _GAP),
            round(_HEIGHT - height, 1),
            round(height, 1),
        )
        for at, (number, height) in enumerate(zip(numbers, heights, strict=True))
    )


def measure(folder: Path, growth: tuple[Growth, ...]) -> Disk:
    """The databases below ``folder`` and its disk. OSError: it cannot be read."""
    databases: dict[str, int] = {}
    for path in sorted(folder.glob("*/*.db")):
        parts = (path.with_name(path.name + ending) for ending in _FILES)
        databases[f"{path.parent.name}/{path.name}"] = sum(part.stat().st_size for part in parts if part.exists())
    usage = shutil.disk_usage(folder)
    return Disk(
        tuple(databases.items()), usage.free, usage.total, _days_left(usage.free, sum(databases.values()), growth)
    )


def _days_left(free: int, used: int, growth: tuple[Growth, ...]) -> int | None:
    entries, lately = sum(one.size for one in growth), sum(one.lately for one in growth)
    if not entries or not lately or not used:
        return None
    days = int(free / (used / entries * lately / DAYS))
    return days if days < FAR_DAYS else None
