# SPDX-License-Identifier: Apache-2.0
"""What is left of a stack beside its backup: anchors that may know of more than the backup does.

A log that goes on from an older state signs a second history under the same key. Whoever kept a checkpoint of the first one finds
that out, and is right to call it a fork. So an archive that is behind an anchor is not restored unless somebody says so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Refused
from sigcore.strict import encode_time, parse_time
from stack.files import load_file, save_file
from stack.shards import Shard, anchored_shards
from stack.trust.versions import Versions
from tlog.anchor import Anchored
from tlog.anchor_file import load_anchored
from tlog.recovery import read_tree
from tlog.storage.sqlite import SqliteStore
from tlog.storage.witness_sqlite import MEMORY, keep_memory
from tlog.view import View

AHEAD: Final = 1000
"""How far TUF versions jump after a restore: further than they can have come since the backup, for decades."""
_SIGNED_AGAIN: Final = ("policy", "targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class Behind:
    """A log whose backup has ``restored`` entries, while a checkpoint of ``published`` is out."""

    log: str
    restored: int
    published: int


async def compare(home: Path, anchors: Path, logs: Collection[str]) -> tuple[Behind, ...]:
    """The logs of ``home`` that are behind the anchors in the folder ``anchors``, and trees that a later rotation has added.

    Raises:
        Refused: a log of ``home`` is not the one that was published: it is of another stack, or of another history.
    """
    behind = []
    for log in logs:
        anchored = load_anchored(Shard.of(log).anchor(anchors))
        if anchored is not None:
            size = await _compare(Shard.of(log).database(home), log, anchored)
            if size < anchored.size:
                behind.append(Behind(log, size, anchored.size))
    later = ((shard.name, load_anchored(shard.anchor(anchors))) for shard in anchored_shards(anchors))
    gone = [Behind(name, 0, anchored.size) for name, anchored in later if anchored is not None and name not in logs]
    return (*behind, *gone)


async def _compare(database: Path, log: str, anchored: Anchored) -> int:
    """The size of the log; where it is not behind, it has the anchored root at the anchored size."""
    store = SqliteStore(database)
    store.open_for_reading()
    try:
        head = await store.head()
        size = head.size if head else 0
        if head is not None and anchored.size <= size:
            root = await View(store, await read_tree(store, size), head).root(anchored.size)
            if root != anchored.root:
                raise Refused(
                    f"the first {anchored.size} entries of the log {log} in the archive are not those that were published",
                    "the archive is of another stack, or of another history: it is not restored beside these anchors",
                )
        return size
    finally:
        await store.close()


def keep_later(home: Path, anchors: Path | None) -> None:
    """What must not go back, in a restored ``home``: the time of timestamps, the versions of the trust root, what was cosigned.

    1. The later time of timestamps and the higher versions count, where there are anchors.
    2. The versions of what the stack signs by itself jump ahead of what can have been published since the backup: clients
       refuse a lower one, and must never see one version with two contents. The stack publishes anew at its next start. A role
       whose key is kept elsewhere stays: it cannot be signed here. So does the root, whose chain is walked one by one.
    3. What a witness remembers of other people's logs only grows: that which is left is the later one.
    """
    if anchors is not None:
        keep_memory(home / "anchor" / MEMORY, anchors / MEMORY)
    name = "tsa.time"
    if anchors is not None and (anchors / name).exists():
        times = [_read_time(folder / name) for folder in (home / "anchor", anchors) if (folder / name).exists()]
        save_file(home / "anchor" / name, encode_time(max(times)).encode("ascii") + b"\n")
    own = Versions(home / "anchor" / "tuf.json", durable=True)
    versions = own.load()
    for role, version in (Versions(anchors / "tuf.json", durable=True).load() if anchors else {}).items():
        versions[role] = max(version, versions.get(role, 0))
    if versions:
        here = {role for role in _SIGNED_AGAIN if (home / "tuf" / f"{role}.key").exists()}
        own.save({role: version + AHEAD * (role in here) for role, version in versions.items()})


def _read_time(path: Path) -> datetime:
    data = load_file(path, what="the last timestamp's time", limit=limits.TEXT)
    return parse_time(data.decode("ascii", "replace").strip(), what=str(path))
