# SPDX-License-Identifier: Apache-2.0
"""A log as the console has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sigcore.keys import encode_public_key
from sigcore.values import dataclass
from stack.shards import Shard

if TYPE_CHECKING:
    from stack.bootstrap import PublicMaterial
    from stack.generations import Generations
    from tlog.published import Published

NAMES: Final = {"ct": "Certificates (CT)", "rekor": "Signatures (Rekor v2)", "rekor-v1": "Signatures (Rekor v1)"}
"""What the logs are called on pages, by their names."""


def title_of(name: str) -> str:
    """What a log or one of its later trees is called on pages."""
    shard = Shard.of(name)
    title = NAMES.get(shard.log, shard.log)
    return title if shard.number == 1 else f"{title}, tree {shard.number}"


@dataclass(frozen=True, slots=True)
class Shelf:
    """A log as the console shows it. ``spki`` is its public key, DER."""

    name: str
    title: str
    log: Published
    spki: bytes

    @property
    def shard(self) -> Shard:
        """Which tree of which log it is."""
        return Shard.of(self.name)


def shelf_of(shard: Shard, log: Published, rotated: Generations) -> Shelf:
    """A tree of a log that was rotated."""
    (spki,) = rotated[shard.log][shard.number - 1].public
    return Shelf(shard.name, title_of(shard.name), log, spki)


def shelves_of(logs: Mapping[str, Published], material: PublicMaterial, rotated: Generations) -> dict[str, Shelf]:
    """The logs as the console shows them."""
    public = {"ct": material.ct_key, "rekor": material.rekor_key, "rekor-v1": material.rekor_v1_key}
    shelves = {}
    for name, log in logs.items():
        shard = Shard.of(name)
        if shard.log in rotated:
            shelves[name] = shelf_of(shard, log, rotated)
        else:
            shelves[name] = Shelf(name, title_of(name), log, encode_public_key(public[name]))
    return shelves
