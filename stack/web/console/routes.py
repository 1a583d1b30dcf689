# SPDX-License-Identifier: Apache-2.0
"""The console's place on the stack's origin. It costs a start nothing: the rest is imported when somebody comes, or soon after.

What the console cannot do is no reason for a stack not to start: its pages say it then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore.errors import SigError
from stack.config import Home, Settings
from stack.plain import refusal
from stack.web.console.around import Around
from stack.web.console.shelf import Shelf

if TYPE_CHECKING:
    from stack.web.console.site import Site

PATHS: Final = (
    ("GET", "/search"),
    ("GET", "/search.json"),
    ("GET", "/search.csv"),
    ("GET", "/entries/{log}/{index}.json"),
    ("GET", "/entries/{log}/{index}"),
    ("GET", "/logs"),
    ("GET", "/logs/{log}"),
    ("GET", "/inspect"),
    ("POST", "/inspect"),
    ("GET", "/flow"),
    ("POST", "/flow"),
    ("GET", "/flow/live"),
    ("GET", "/flow/entries/{log}/{index}"),
    ("GET", "/flow/{name}/signing.zip"),
    ("GET", "/flow/{name}"),
    ("GET", "/lessons"),
    ("GET", "/lessons/{lesson}"),
    ("POST", "/lessons/{lesson}"),
    ("GET", "/lessons/{lesson}/{name}"),
    ("POST", "/lessons/{lesson}/{name}"),
    ("GET", "/operator"),
    ("GET", "/account"),
    ("POST", "/account"),
    ("GET", "/account/callback"),
    ("GET", "/console/{name}"),
)
LATER_S: Final = 2.0
"""After the start the logs are followed: a stack in a test that lives for a second has nobody who looks."""
_log = logging.getLogger(__name__)


class Console:
    """The console of one stack; the logs are open from before :meth:`start` until after :meth:`stop`."""

    def __init__(
        self, home: Home, settings: Settings, shelves: Mapping[str, Shelf], around: Around | None = None
    ) -> None:
        self._parts = (home, settings, shelves, around or Around())
        self._site: Site | None = None
        self._stale = False
        self._opening = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def make_routes(self) -> list[web.RouteDef]:
        """Every route of the console."""
        return [web.route(method, path, self._make_handler(method, path)) for method, path in PATHS]

    def _make_handler(self, method: str, path: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                site = await self._open()
            except SigError as error:
                return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return await site.handlers[method, path](request)

        return handler

    async def start(self) -> None:
        """Follow the logs from soon on."""
        self._task = asyncio.create_task(self._later(), name="console")

    async def _later(self) -> None:
        await asyncio.sleep(LATER_S)
        try:
            await self._open()
        except SigError as error:
            _log.warning("the console cannot search: %s", error)

    def renew(self) -> None:
        """There is another log to show: a site that is open is made anew."""
        self._stale = True

    async def _open(self) -> Site:
        async with self._opening:
            if self._site is not None and self._stale:
                stale, self._site = self._site, None
                await stale.stop()
            if self._site is None:
                self._stale = False
                # Deferred: see the module.
                from stack.web.console.site import Site  # noqa: PLC0415 - see the line above

                site = Site(*self._parts)
                await site.start()
                self._site = site
            return self._site

    async def stop(self) -> None:
        """No pages from now on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        async with self._opening:
            site, self._site = self._site, None
            if site is not None:
                await site.stop()
