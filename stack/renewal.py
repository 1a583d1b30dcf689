# SPDX-License-Identifier: Apache-2.0
"""``POST /_ctl/reset``: a stack for tests is again as it was when it was ready, at the same URL, with the same keys and trust.

Nothing is taken back piece by piece, where one could be forgotten: the files are put back as they were, and every part of the stack
is made anew, by the same composition as at the start. What stays is the process: its port, its counters, the files of its
configuration, and the TUF repository, whose versions only go up.

1. From now on the parts before answer nothing but 503; what they are answering already is waited for.
2. They are closed. Nobody is left who writes.
3. The files are put back. Where that changes trust documents, which a rotation has changed, TUF is told.
4. The parts are made anew, and new connections lead to them. Those from before are closed when they have their answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from sigcore.errors import Unavailable
from stack import plain
from stack.config import Home
from stack.edge import Edge
from stack.figures import Figures
from stack.files import save_file
from stack.gate import Gate
from stack.trust.publisher import finish_publisher, start_publisher
from tlog.log import Log

PATIENCE_S: Final = 5.0
"""For requests that are being answered."""
LOOK_S: Final = 0.002
_ENDS: Final = "the stack ends"
_STAYS: Final = ("tuf", "tls", "public/tuf", "anchor/tuf.json", "lock")
"""Files and folders that are never put back."""
Composed = AbstractAsyncContextManager[tuple[web.Application, Figures]]
Renew = Callable[[], Awaitable[None]]
MakeSite = Callable[[web.Application], web.AppRunner]
AuditLogs = Callable[[Mapping[str, Log]], Coroutine[Any, Any, None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Files = Mapping[str, tuple[int, bytes]]
"""Path below the data directory -> mode and content."""


class Renewal:
    """The parts of a stack, which are made anew when somebody asks; ``compose`` makes them, and is given what they ask with.

    All but :meth:`ask` runs in the task that serves: it opens the parts and closes them.
    """

    def __init__(self, home: Home, edge: Edge, compose: Callable[[Renew], Composed]) -> None:
        self._home, self._edge, self._compose = home, edge, compose
        self._asked: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._opened = AsyncExitStack()
        self._over = asyncio.Event()
        """Of the parts that answer now: they do no more."""
        self._ended = False
        self._files: Files = {}
        self._figures: Figures

    async def __aenter__(self) -> tuple[web.Application, Figures]:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    def remember(self) -> None:
        """The files are now as they shall be again."""
        self._files = load_all(self._home)

    async def ask(self) -> None:
        """Return when the stack is as it was. Unavailable: it ends instead."""
        if self._ended:
            raise Unavailable(_ENDS)
        done = asyncio.get_running_loop().create_future()
        self._asked.append(done)
        self._wake.set()
        await done

    async def until(
        self, stopping: asyncio.Event, gate: Gate, site: web.AppRunner, make_site: MakeSite, audit: AuditLogs
    ) -> web.AppRunner:
        """Renew whenever it is asked for, until it is time to stop; the answer is what serves then. ``audit`` goes on beside it."""
        stop = asyncio.create_task(stopping.wait())
        closing: list[asyncio.Task[None]] = []
        audits = asyncio.create_task(audit(self._figures.logs))
        try:
            while await self._is_asked(stop):
                audits.cancel()
                before, site = site, await self._replaced(gate, make_site)
                closing = [task for task in closing if not task.done()] + [asyncio.create_task(before.cleanup())]
                audits = asyncio.create_task(audit(self._figures.logs))
            return site
        finally:
            self._ended = True
            self._tell(Unavailable(_ENDS))
            stop.cancel()
            audits.cancel()
            await asyncio.gather(*closing, return_exceptions=True)

    async def _is_asked(self, stop: asyncio.Task[Any]) -> bool:
        """Return when somebody asks, or False when it is time to stop."""
        asked = asyncio.create_task(self._wake.wait())
        await asyncio.wait({stop, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return not stop.done()

    async def _replaced(self, gate: Gate, make_site: MakeSite) -> web.AppRunner:
        """What serves from now on; all who have asked are told, also that it cannot be."""
        try:
            app, figures = await self._renewed()
            site = make_site(app)
            await site.setup()
        except BaseException as error:
            self._tell(Unavailable(f"the stack cannot begin anew, and ends: {error}"))
            raise
        assert site.server is not None  # noqa: S101 - setup made it
        figures.gate = gate
        gate.lead_to(site.server)
        self._tell()
        return site

    def _tell(self, error: Unavailable | None = None) -> None:
        asked, self._asked = self._asked, []
        self._wake.clear()
        for done in asked:
            if done.done():
                continue  # nobody waits any more
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    async def _renewed(self) -> tuple[web.Application, Figures]:
        self._over.set()  # 1
        deadline = time.monotonic() + PATIENCE_S
        while self._edge.under_way > len(self._asked) and time.monotonic() < deadline:  # noqa: ASYNC110 - a number that all requests change
            await asyncio.sleep(LOOK_S)
        await self._opened.aclose()  # 2
        if put_back(self._home, self._files):  # 3
            await asyncio.to_thread(lambda: finish_publisher(start_publisher(self._home)))
        return await self._open()  # 4

    async def _open(self) -> tuple[web.Application, Figures]:
        self._opened, self._over = AsyncExitStack(), asyncio.Event()
        app, self._figures = await self._opened.enter_async_context(self._compose(self.ask))
        app.middlewares.append(_refusing(self._over))
        return app, self._figures


def _refusing(over: asyncio.Event) -> Middleware:
    """Nothing is answered any more when it is ``over``."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if over.is_set():
            return plain.refusal(503, "the stack begins anew; ask again", request.path)
        return await handler(request)

    return middleware


def make_routes(renew: Renew | None) -> list[web.RouteDef]:
    """The route; ``renew`` is None where several processes would have to."""

    async def reset(_request: web.Request) -> web.Response:
        if renew is None:
            message = "this stack has workers, which are not reset (start one without --workers)"
            return web.json_response({"code": 400, "message": message}, status=400)
        try:
            await renew()
        except Unavailable as error:
            return web.json_response({"code": 503, "message": str(error)}, status=503)
        response = web.json_response({"reset": True})
        response.force_close()
        return response

    return [web.post("/_ctl/reset", reset)]


# --- the files -----------------------------------------------------------------------------------------------
def load_all(home: Home) -> Files:
    """Every file of ``home`` that may be put back."""
    return {name: (path.stat().st_mode & 0o777, path.read_bytes()) for name, path in _files(home)}


def put_back(home: Home, files: Files) -> bool:
    """Have ``home`` hold those ``files``, and no others; the answer is whether what clients trust was another one."""
    changed = set[str]()
    for name, path in tuple(_files(home)):
        if name not in files:
            path.unlink()
            changed.add(name)
    for name, (mode, data) in files.items():
        path = home.path / name
        if not path.exists() or path.read_bytes() != data:
            save_file(path, data, mode=mode, durable=False)
            changed.add(name)
    return any(name.startswith("public/") for name in changed)


def _files(home: Home) -> list[tuple[str, Path]]:
    found = ((str(PurePosixPath(path.relative_to(home.path))), path) for path in home.path.rglob("*") if path.is_file())
    return [
        (name, path) for name, path in found if not any(name == one or name.startswith(f"{one}/") for one in _STAYS)
    ]
