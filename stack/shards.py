# SPDX-License-Identifier: Apache-2.0
"""A log that was rotated is several trees, each with a key of its own: what each is called, where it lies, where it answers.

The first tree has the log's own name, folder and URL. Tree N > 1 is called ``LOG-N``, lies in the folder ``N`` below the log's,
and answers below ``/ct/N`` or ``/log/N``: what was published of a tree stays where it was. The trees of Rekor v1 all answer at one URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from sigcore.values import dataclass
from stack.config import Settings
from stack.generations import LOGS, Generation, Generations, number_of

PREFIXES: Final = {"ct": "/ct", "rekor": "/log"}
"""What the number of a tree follows in its URL; without one there is one index over all trees."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One tree of a log; the first has number 1."""

    log: str
    number: int

    @classmethod
    def of(cls, name: str) -> Shard:
        """The inverse of :attr:`name`."""
        log, _, number = name.rpartition("-")
        later = log in LOGS and number.isascii() and number.isdigit() and number[0] != "0" and number != "1"
        return cls(log, int(number)) if later else cls(name, 1)

    @property
    def name(self) -> str:
        """What it is called in reports, pages and figures."""
        return self.log if self.number == 1 else f"{self.log}-{self.number}"

    @property
    def place(self) -> str:
        """Its folder, below the data directory."""
        return self.log if self.number == 1 else f"{self.log}/{self.number}"

    @property
    def prefix(self) -> str:
        """What its URL has after that of the role."""
        return "" if self.number == 1 or self.log not in PREFIXES else f"{PREFIXES[self.log]}/{self.number}"

    def origin(self, settings: Settings) -> str:
        """The name that its checkpoints begin with. That of Rekor v2 is a bare host name: clients compare it with the URL's."""
        return f"{settings.host_of('ct')}/ct{self.prefix[3:]}" if self.log == "ct" else settings.host_of("log")

    def anchor(self, folder: Path) -> Path:
        """Where its last checkpoint is remembered, in a folder of anchors."""
        return folder / f"{self.name}.checkpoint"

    @property
    def key_file(self) -> str:
        """Its secret key, relative to the data directory."""
        return f"{self.place}/log.key"

    def database(self, home: Path) -> Path:
        """Where its entries are kept, in a data directory."""
        return home / self.place / "log.db"


def shards_of(rotated: Generations, log: str) -> tuple[Shard, ...]:
    """The trees of a log, oldest first."""
    return tuple(Shard(log, number) for number in range(1, number_of(rotated, log) + 1))


def all_shards(rotated: Generations) -> tuple[Shard, ...]:
    """The trees of every log of a stack."""
    return tuple(shard for log in LOGS for shard in shards_of(rotated, log))


def anchored_shards(anchors: Path) -> Iterator[Shard]:
    """Trees of rotated logs that have an anchor in a folder."""
    for path in sorted(anchors.glob("*-*.checkpoint")):
        shard = Shard.of(path.stem)
        if shard.number > 1:
            yield shard


def ends_of(rotated: Generations, shard: Shard) -> datetime | None:
    """When it stops, or has stopped, to take entries; None for one that goes on, or that nobody knows yet."""
    rows: tuple[Generation, ...] = rotated.get(shard.log, ())
    return rows[shard.number - 1].validity.end if shard.number <= len(rows) else None
