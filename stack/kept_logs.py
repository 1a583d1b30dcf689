# SPDX-License-Identifier: Apache-2.0
"""The logs of a stack, made for :mod:`stack.compose`: one engine, a tree and a key each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

import tlog.ct
import tlog.rekor_v2
from sigcore import keys
from sigcore.x509 import Certificate
from stack.bootstrap import load_ecdsa, load_rekor
from stack.config import Home, Settings
from stack.generations import Generations, load_generations
from stack.indexed_trees import IndexedTrees
from stack.last_time import ticks_of
from stack.shards import Shard, shards_of
from stack.trees import Served, Trees
from tlog.anchor import Anchor, MemoryAnchor
from tlog.certificate_log import CertificateFront
from tlog.ct import CertificateLogService
from tlog.rekor_v2 import RekorV2
from tlog.signature_log import RekorV1
from tlog.storage.base import LogStore
from tlog.storage.memory import MemoryStore
from tlog.storage.search_index import MemoryIndex, SearchIndex
from tlog.writers import Writers

if TYPE_CHECKING:  # few stacks ask witnesses
    from stack.asked_witnesses import Asking

Clock = Callable[[], datetime]
_Served = TypeVar("_Served", bound=Served)


def make_ct(
    home: Home, settings: Settings, newest: ec.EllipticCurvePrivateKey, chain: Sequence[Certificate], clock: Clock
) -> Trees[CertificateLogService]:
    """The certificate log; ``newest`` is the key of the last tree that there is, ``chain`` that of the authority."""
    last = shards_of(load_generations(home), "ct")[-1]

    def make(shard: Shard) -> CertificateLogService:
        key = newest if shard == last else load_ecdsa(home, shard.key_file)
        kept = _kept(home, settings, shard)
        roots, issuers = accepted(settings, chain)
        origin = shard.origin(settings)
        log = CertificateLogService(*kept, origin=origin, key=key, roots=roots, clock=clock, issuers=issuers)
        accept_all(log, load_generations(home))
        return _guarded(log, settings, clock)

    return Trees(home, "ct", make, tlog.ct.make_routes, clock)


def make_rekor(
    home: Home, settings: Settings, newest: keys.PrivateKey, clock: Clock, asking: Asking | None = None
) -> Trees[RekorV2]:
    """Rekor v2; ``newest`` is the key of the last tree that there is, ``asking`` the way to its witnesses."""
    last, writers = shards_of(load_generations(home), "rekor")[-1], make_writers(home, settings)

    def make(shard: Shard) -> RekorV2:
        key = newest if shard == last else load_rekor(home, shard.key_file)
        kept = _kept(home, settings, shard)
        origin, dsse, kinds = shard.origin(settings), settings.rekor_v2_dsse, settings.entry_types
        rekor = RekorV2(*kept, origin=origin, key=key, clock=clock, dsse=dsse, kinds=kinds, writers=writers)
        if asking is not None:
            rekor.log.cosigners = asking.cosigners(shard)
        return _guarded(rekor, settings, clock)

    return Trees(home, "rekor", make, tlog.rekor_v2.make_routes, clock)


def make_rekor_v1(home: Home, settings: Settings, newest: ec.EllipticCurvePrivateKey, clock: Clock) -> IndexedTrees:
    """Rekor v1; ``newest`` is the key of the last tree that there is."""
    last, writers = shards_of(load_generations(home), "rekor-v1")[-1], make_writers(home, settings)

    def make(shard: Shard) -> RekorV1:
        key = newest if shard == last else load_ecdsa(home, shard.key_file)
        kept = _kept(home, settings, shard)
        host, kinds, index = settings.host_of("log"), settings.entry_types, _index(home, settings, shard.place)
        rekor = RekorV1(*kept, index, host=host, key=key, clock=clock, kinds=kinds, writers=writers)
        return _guarded(rekor, settings, clock)

    return IndexedTrees(home, make, clock)


def make_writers(home: Home, settings: Settings) -> Writers | None:
    """Who may write into the signature logs; None: anybody.

    Raises:
        NotFound, Malformed: a key that the settings name, or what is public of the stack's authorities, cannot be read.
    """
    if settings.writers is None:
        return None
    # Deferred: most stacks have no such rules.
    from stack.writers import OwnWriters  # noqa: PLC0415 - see the line above

    return OwnWriters(home, settings, settings.writers)


def _guarded(service: _Served, settings: Settings, clock: Clock) -> _Served:
    """It signs with no time to which the clock leaps."""
    service.log.clock.guard(ticks_of(clock), accepted=settings.accept_clock)
    return service


def _kept(home: Home, settings: Settings, shard: Shard) -> tuple[LogStore, Anchor]:
    """Where a tree is kept, and where its last checkpoint is remembered."""
    if settings.ephemeral:
        return MemoryStore(), MemoryAnchor()
    # Deferred: what lasts does not matter to what ends with its process.
    from tlog.anchor_file import FileAnchor  # noqa: PLC0415 - see the line above

    place = shard.anchor(home.path / "anchor")
    anchor = FileAnchor(place)
    if settings.database:
        from stack.database import shared_store  # noqa: PLC0415 - its driver is an extra

        return shared_store(home, settings, shard.name, place), anchor
    from tlog.storage.sqlite import SqliteStore  # noqa: PLC0415 - as the anchor

    return SqliteStore(shard.database(home.path)), anchor


def _index(home: Home, settings: Settings, place: str) -> SearchIndex:
    """Where a log's search index is kept; it can be made anew, so nothing remembers it."""
    if settings.ephemeral:
        return MemoryIndex()
    from tlog.storage.sqlite_index import SqliteIndex  # noqa: PLC0415 - as the anchor

    return SqliteIndex(home.path / place / "search.db")


def accepted(settings: Settings, chain: Sequence[Certificate]) -> tuple[tuple[bytes, ...], tuple[bytes, ...] | None]:
    """The roots and issuers that the certificate log takes certificates of, where the authority has this chain."""
    issuers = (chain[0].der,) if settings.ct_issuers == "own" else None
    return (chain[-1].der,), issuers


def accept_all(front: CertificateFront, rotated: Generations) -> None:
    """Take certificates below every authority that ever was."""
    for one in rotated.get("ca", ()):
        front.accept(one.public)
