# SPDX-License-Identifier: Apache-2.0
"""The trees of Rekor v1 in a process: behind one URL and one index (:mod:`tlog.sharded`), so that one of them takes entries at a time.

1. A tree that a rotation adds takes over once it counts and clients can know its key. That is seen within seconds while the
   process runs, or at its start. One that has begun stays the one that takes entries, whatever is published.
2. Until then the one before goes on, but not past the end that clients are told: what it took later would never verify. While
   they are told of none, it has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final

from aiohttp import web

from stack.announced import announced
from stack.config import Home
from stack.generations import Generations, load_generations
from stack.shards import Shard, ends_of, shards_of
from stack.succession import counts_newest, succeeding_in
from stack.trees import Arrival
from tlog.log import Log
from tlog.rekor_v1 import make_routes
from tlog.sharded import Sharded
from tlog.signature_log import RekorV1

LOG: Final = "rekor-v1"


class IndexedTrees:
    """See the module; a :class:`~stack.service.Service`.

    Args:
        make: one tree, not open yet.
        clock: the time of day.
    """

    def __init__(self, home: Home, make: Callable[[Shard], RekorV1], clock: Callable[[], datetime]) -> None:
        self._home, self._make, self._clock = home, make, clock
        self._opened = AsyncExitStack()
        self.arrivals: list[Arrival] = []
        """Who is told of a tree that was added."""
        rotated = load_generations(home)
        first, *later = shards_of(rotated, LOG)
        self.sharded = Sharded(make(first))
        self._waiting = {shard.number: make(shard) for shard in later if self._is_there(shard, rotated)}
        """Trees that take over next, by their numbers."""
        self._names = [first.name, *(Shard(LOG, number).name for number in self._waiting)]
        self._end(announced(home, rotated))

    @property
    def logs(self) -> dict[str, Log]:
        """Those that there are now, by name, oldest first."""
        trees = (*self.sharded.trees, *self._waiting.values())
        return dict(zip(self._names, (tree.log for tree in trees), strict=False))

    def make_routes(self) -> list[web.RouteDef]:
        """Those of Rekor v1."""
        return make_routes(self.sharded)

    # --- start and stop ------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open what there is, and look for more.

        Raises:
            Refused, Unavailable: as :meth:`tlog.log.Log.start`; the trees do not fit together.
        """
        try:
            await self.sharded.active.start()
            self._opened.push_async_callback(self.sharded.active.stop)
            for number in tuple(self._waiting):
                await self._open(self._waiting[number])
                await self._take_over(number)
        except BaseException:
            await self.stop()
            raise
        for adopt in (self._end, self._adopt):
            await self._opened.enter_async_context(succeeding_in(self._home, LOG, adopt, self._clock))

    async def stop(self) -> None:
        """Close all, the newest first."""
        await self._opened.aclose()

    async def _open(self, tree: RekorV1) -> None:
        await tree.open()
        self._opened.push_async_callback(tree.stop)

    # --- succession ----------------------------------------------------------------------------------------
    def _is_there(self, shard: Shard, rotated: Generations) -> bool:
        """Whether a tree has begun, or may: a later one was published after it, and the newest waits for that."""
        return (
            shard.number < len(rotated[LOG])
            or shard.database(self._home.path).exists()
            or counts_newest(self._home, LOG, rotated, self._clock())
        )

    async def _adopt(self, rotated: Generations) -> None:
        for shard in shards_of(rotated, LOG)[len(self.sharded.trees) :]:
            if shard.number not in self._waiting:
                tree = await asyncio.to_thread(self._make, shard)
                await self._open(tree)
                self._waiting[shard.number] = tree
                self._names.append(shard.name)
            await self._take_over(shard.number)
            for told in self.arrivals:
                told(shard, self.sharded.active.log)

    async def _take_over(self, number: int) -> None:
        await self.sharded.succeed(self._waiting[number])
        del self._waiting[number]

    def _end(self, known: Generations) -> None:
        """The window of the tree that takes entries, once clients are told that it ends; those before it are frozen."""
        end = ends_of(known, Shard(LOG, len(self.sharded.trees)))
        if end is not None:
            self.sharded.active.log.ends_ms = int(end.timestamp() * 1000)
