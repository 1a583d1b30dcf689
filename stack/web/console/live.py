# SPDX-License-Identifier: Apache-2.0
"""The newest signings of all logs: entries that belong together, because they carry the same certificate or the same key."""

from __future__ import annotations

from typing import Final

from sigcore.values import dataclass
from stack.shards import Shard
from tlog.catalog.catalog import Catalog, Hit
from tlog.catalog.facts import Kind
from tlog.catalog.query import parse_query

ENTRIES: Final = 60
"""That are looked at: about twenty signings."""


@dataclass(frozen=True, slots=True)
class Signing:
    """``certificate`` is the entry of the certificate log, where a certificate was issued; ``signatures`` are those that it made."""

    identity: str
    issuer: str
    time_ms: int
    certificate: Hit | None
    signatures: tuple[Hit, ...]


async def signings(catalog: Catalog) -> tuple[Signing, ...]:
    """The newest first. A certificate whose signature is not logged (yet) is there too.

    Raises:
        Unavailable: as :meth:`Catalog.find`.
    """
    answer = await catalog.find(parse_query(""), limit=ENTRIES)
    together: dict[str, list[Hit]] = {}
    for hit in answer.hits:
        name = hit.facts.first(Kind.SERIAL) or hit.facts.first(Kind.KEY) or f"{hit.log} {hit.index}"
        together.setdefault(name, []).append(hit)
    return tuple(_signing(hits) for hits in together.values())


def _signing(hits: list[Hit]) -> Signing:
    first = hits[0]
    return Signing(
        first.facts.first(Kind.IDENTITY),
        first.facts.first(Kind.ISSUER),
        first.time_ms,
        next((hit for hit in hits if Shard.of(hit.log).log == "ct"), None),
        tuple(hit for hit in hits if Shard.of(hit.log).log != "ct"),
    )
