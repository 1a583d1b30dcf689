# SPDX-License-Identifier: Apache-2.0
"""The Rekor v2 log of a data directory: for an export beside the stack that serves, or without one."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from client.logs.reader import SignedHead
from sigcore.errors import NotFound
from sigcore.tiles import WIDTH
from stack.config import Home, load_settings
from stack.fsck import open_log
from stack.generations import load_generations
from stack.shards import Shard
from tlog.anchor_file import load_anchored


class OwnLog:
    """A :class:`~stack.log_export.Source`. Nothing is written, and who serves is not disturbed.

    Its head is the one in the anchor: what stands there may have been seen, and is in the database.

    Args:
        key: SPKI of the tree that is meant, where there are several; another one is taken for the first, and refused by ``read_checkpoint``.
    """

    def __init__(self, home: Home, key: bytes, read_checkpoint: Callable[[str], SignedHead]) -> None:
        keys = [one.public[0] for one in load_generations(home).get("rekor", ())]
        shard = Shard("rekor", keys.index(key) + 1 if key in keys else 1)
        self._anchor = shard.anchor(home.path / "anchor")
        self._store = open_log(home, load_settings(home), shard.name)
        self._read = read_checkpoint

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.close()

    async def head(self) -> SignedHead:
        """See :class:`~stack.log_export.Source`."""
        anchored = load_anchored(self._anchor)
        if anchored is None:
            raise NotFound(f"{self._anchor} does not exist: the log has signed nothing", "start the stack once")
        return self._read(anchored.checkpoint)

    async def bodies(self, index: int, size: int) -> tuple[bytes, ...]:
        """See :class:`~stack.log_export.Source`."""
        entries = await self._store.entries(index * WIDTH, min((index + 1) * WIDTH, size))
        return tuple(entry.leaf for entry in entries)
