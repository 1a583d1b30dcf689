# SPDX-License-Identifier: Apache-2.0
"""The trees of one log in a process. Those that a rotation adds are opened while it runs, before clients are told of them.

1. Every tree that ``public/generations.json`` names is open, and answers at its own URL: the first at that of the log, N at
   ``/ct/N`` or ``/log/N``.
2. One that has ended takes no entries more, once clients can know of the next one. Everything that was published of it can be read, its last head stays signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from aiohttp import web

from sigcore.errors import Unavailable
from stack.announced import announced
from stack.config import Home
from stack.generations import Generations, load_generations
from stack.shards import PREFIXES, Shard, ends_of, shards_of
from stack.succession import succeeding, succeeding_in
from tlog.log import Log
from tlog.published import Published

_NUMBER: Final = "{shard:[2-9]|[1-9][0-9]{1,2}}"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Arrival = Callable[[Shard, Log], None]


def unseen(_shard: Shard, _log: Published) -> None:
    """Of a part that shows no logs."""


class Served(Protocol):
    """A log with its face."""

    log: Log

    async def start(self) -> None:
        """Open it."""

    async def stop(self) -> None:
        """Close it."""


class Growing(Protocol):
    """Trees of a log to which others may be added."""

    @property
    def arrivals(self) -> list[Arrival]:
        """Who is told of one that was."""


_T = TypeVar("_T", bound=Served)


class Trees(Generic[_T]):
    """See the module; a :class:`~stack.service.Service`.

    Args:
        log: its name.
        make: one tree, not open yet.
        face: the routes of one, as they are where it is alone.
    """

    def __init__(
        self,
        home: Home,
        log: str,
        make: Callable[[Shard], _T],
        face: Callable[[_T], Sequence[web.RouteDef]],
        clock: Callable[[], datetime],
    ) -> None:
        self._home, self._log, self._make, self._face, self._clock = home, log, make, face, clock
        self._opened = AsyncExitStack()
        self._handlers: dict[int, Mapping[tuple[str, str], Handler]] = {}
        self.arrivals: list[Arrival] = []
        """Who is told of a tree that was added."""
        rotated = load_generations(home)
        self.served = {shard.number: make(shard) for shard in shards_of(rotated, log)}
        """Each tree by its number."""
        self._end(announced(home, rotated))

    @property
    def newest(self) -> _T:
        """The tree that takes entries."""
        return self.served[max(self.served)]

    def tree(self, number: int) -> _T:
        """One of them. Unavailable: it is not open yet."""
        if number not in self.served:
            raise Unavailable(f"the tree {Shard(self._log, number).name} is not open yet")
        return self.served[number]

    @property
    def logs(self) -> dict[str, Log]:
        """Those that there are now, by name, oldest first."""
        return {Shard(self._log, number).name: one.log for number, one in self.served.items()}

    # --- start and stop ------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open what there is, and look for more. Errors: as :meth:`tlog.log.Log.start`."""
        try:
            for one in self.served.values():
                await self._open(one)
        except BaseException:
            await self.stop()
            raise
        await self._opened.enter_async_context(succeeding(self._home, self._adopt, self._clock, wait=False))
        await self._opened.enter_async_context(succeeding_in(self._home, self._log, self._end, self._clock))

    async def stop(self) -> None:
        """Close all, the newest first."""
        await self._opened.aclose()

    async def _open(self, one: _T) -> None:
        await one.start()
        self._opened.push_async_callback(one.stop)

    async def _adopt(self, rotated: Generations) -> None:
        for shard in shards_of(rotated, self._log):
            if shard.number not in self.served:
                one = await asyncio.to_thread(self._make, shard)
                await self._open(one)
                self.served[shard.number] = one
                for told in self.arrivals:
                    told(shard, one.log)

    def _end(self, known: Generations) -> None:
        """A tree ends when clients are told so: until then its end is only meant."""
        for number, one in tuple(self.served.items()):
            end = ends_of(known, Shard(self._log, number))
            one.log.ends_ms = None if end is None else int(end.timestamp() * 1000)

    # --- routes --------------------------------------------------------------------------------------------
    def make_routes(self) -> list[web.RouteDef]:
        """Those of the first tree where it always was, and one below which each of the others has the same."""
        path = f"{PREFIXES[self._log]}/{_NUMBER}/{{path:.*}}"
        return [*self._face(self.served[1]), web.get(path, self._pass_on), web.post(path, self._pass_on)]

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        number, path = int(request.match_info["shard"]), f"/{request.match_info['path']}"
        if number not in self.served:
            raise web.HTTPNotFound
        if number not in self._handlers:
            routes = self._face(self.served[number])
            self._handlers[number] = {(route.method, route.path.partition("{")[0]): route.handler for route in routes}
        handlers = self._handlers[number]
        known = next(
            (known for _, known in handlers if path == known or (known.endswith("/tile/") and path.startswith(known))),
            "",
        )
        if not known:
            raise web.HTTPNotFound
        method = "GET" if request.method == "HEAD" else request.method
        if (method, known) not in handlers:
            raise web.HTTPMethodNotAllowed(request.method, [method for method, other in handlers if other == known])
        return await handlers[method, known](request)
