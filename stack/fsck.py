# SPDX-License-Identifier: Apache-2.0
"""Re-hash the logs of a data directory, and compare: entries, tiles, root, checkpoint, index of hashes, anchor.

Nothing is written, and a stack that serves meanwhile is not disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from sigcore.errors import NotFound, SigError, Unavailable
from sigcore.merkle import EMPTY_ROOT
from stack.bootstrap import load_ecdsa, load_material, load_rekor
from stack.config import Home, Settings, load_settings
from stack.generations import load_generations
from stack.shards import Shard, all_shards
from tlog.anchor_file import load_anchored
from tlog.audit import Audit, Progress, audit
from tlog.publish import CheckpointPublisher, Publisher
from tlog.signature_log import make_publisher
from tlog.storage.base import LogStore
from tlog.storage.sqlite import SqliteStore
from tlog.tree_head import TreeHeadPublisher

_HINT: Final = (
    "keep the files as they are, and restore the newest backup beside their anchors: sigbox restore --anchors"
)

_NOTHING: Final = Audit(0, 0, EMPTY_ROOT)
"""What was never opened holds nothing, and that is whole."""


def _publisher(home: Home, settings: Settings, shard: Shard) -> Publisher:
    """Who signs for a tree, as :mod:`stack.compose` has it."""
    if shard.log == "rekor":
        return CheckpointPublisher(shard.origin(settings), load_rekor(home, shard.key_file))
    key = load_ecdsa(home, shard.key_file)
    if shard.log == "ct":
        return TreeHeadPublisher(shard.origin(settings), key)
    return make_publisher(settings.host_of("log"), key)


def logs_of(home: Home) -> tuple[str, ...]:
    """Every tree of every log in ``home``, by name, but those of a rotation that nobody has opened yet.

    Raises:
        Malformed: what is said of them is damaged.
    """

    def opened(shard: Shard) -> bool:
        return shard.database(home.path).exists() or shard.anchor(home.path / "anchor").exists()

    return tuple(shard.name for shard in all_shards(load_generations(home)) if shard.number == 1 or opened(shard))


@dataclass(frozen=True, slots=True)
class Finding:
    """What came out for one log: ``audit`` when all of it fits, otherwise ``problem`` and ``hint``."""

    log: str
    audit: Audit | None = None
    problem: str = ""
    hint: str = ""


def never_served(home: Home) -> bool:
    """Whether none of the logs in ``home`` was ever opened: the first start makes each, and the anchor that remembers it outside."""
    shards = all_shards(load_generations(home))
    return not any(
        any((home.path / shard.place).glob("log.db*")) or shard.anchor(home.path / "anchor").exists()
        for shard in shards
    )


async def check(home: Home, progress: Callable[[str], Progress], logs: Collection[str] | None = None) -> list[Finding]:
    """A finding for each of ``logs`` of ``home``, of all by default; ``progress`` gives what to call while a log is read.

    Raises:
        NotFound, Malformed, Refused: ``home`` is no stack, or its keys cannot be read.
    """
    settings = load_settings(home)
    if settings.ephemeral:
        raise NotFound(
            f"{home.path} is the directory of an ephemeral stack: its logs are in memory, there is nothing to hash",
            "read them from outside: sigbox log info",
        )
    load_material(home)  # every key can be read, or nothing is hashed
    findings = []
    for log in logs_of(home) if logs is None else logs:
        publisher = _publisher(home, settings, Shard.of(log))
        try:
            found = Finding(log, await _audit(home, settings, log, publisher, progress(log)))
        except SigError as error:
            found = Finding(log, problem=error.message, hint=error.hint or _HINT)
        findings.append(found)
    return findings


async def _audit(home: Home, settings: Settings, log: str, publisher: Publisher, progress: Progress) -> Audit:
    if not settings.database and never_served(home):
        return _NOTHING
    # The anchor first: it is never ahead of a head that is read after it.
    anchored = load_anchored(Shard.of(log).anchor(home.path / "anchor"))
    store = open_log(home, settings, log)
    try:
        return await audit(store, publisher, anchored, progress=progress)
    except Unavailable as error:
        if settings.database and never_served(home) and _says_no_tables(error):
            return _NOTHING
        raise
    finally:
        await store.close()


def _says_no_tables(error: Unavailable) -> bool:
    from stack.database import says_no_tables  # noqa: PLC0415 - its driver is an extra

    return says_no_tables(error)


def open_log(home: Home, settings: Settings, log: str) -> LogStore:
    """The log, open for reading beside whoever serves it, wherever it is kept. Unavailable: it cannot be reached."""
    if settings.database:
        from stack.database import store_to_read  # noqa: PLC0415 - its driver is an extra

        return store_to_read(settings, log)
    path = Shard.of(log).database(home.path)
    if not path.exists():
        raise NotFound(
            f"there is no database {path}",
            "a log that nobody has served yet has none: start it; if it has served, restore the newest backup beside the"
            " anchors: sigbox restore --anchors",
        )
    store = SqliteStore(path)
    store.open_for_reading()
    return store
