# SPDX-License-Identifier: Apache-2.0
"""The console as a whole: its catalogue, its pages, and the handler of each path. Imported when it is first needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from aiohttp import web

from stack.config import Home, Settings
from stack.files import make_folder
from stack.shards import Shard
from stack.web.console import entry, inspect, logs, search
from stack.web.console.answers import static
from stack.web.console.around import Around
from stack.web.console.door import Door, open_routes
from stack.web.console.flow import Flow
from stack.web.console.lessons import Lessons
from stack.web.console.shelf import Shelf
from stack.web.operating.page import Operating
from tlog.catalog.catalog import SOURCES, Catalog

if TYPE_CHECKING:
    from stack.web.console.pages import Pages
    from stack.web.console.workshop import Workshop

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KINDS: Final = {"js": "text/javascript", "css": "text/css"}
FILES: Final = ("console.css", "search.js", "proof.js", "inspect.js", "live.js")


class Site:
    """The console of one stack, open from :meth:`start` to :meth:`stop`."""

    def __init__(self, home: Home, settings: Settings, shelves: Mapping[str, Shelf], around: Around) -> None:
        folder = home.path / "console"
        if not settings.ephemeral:
            make_folder(folder)  # a stack from before the console has none
        path = None if settings.ephemeral else folder / "catalog.db"
        self._catalog = Catalog(path, {name: SOURCES[Shard.of(name).log](shelf.log) for name, shelf in shelves.items()})
        self.handlers = self._make_handlers(home, settings, shelves, around)
        """By method and path."""

    async def start(self) -> None:
        """Open the catalogue, which can be made anew. Unavailable: the storage failed."""
        await self._catalog.start()

    async def stop(self) -> None:
        """Close the catalogue."""
        await self._catalog.stop()

    def _make_handlers(
        self, home: Home, settings: Settings, shelves: Mapping[str, Shelf], around: Around
    ) -> dict[tuple[str, str], Handler]:
        @cache
        def pages() -> Pages:
            # Deferred: following the logs needs no template engine.
            from stack.web.console.pages import Pages  # noqa: PLC0415 - see the line above

            return Pages(settings, login=around.login is not None)

        @cache
        def workshop() -> Workshop:
            # Deferred: the client's modules, which nothing else of a serving stack needs.
            from stack.web.console.workshop import Workshop  # noqa: PLC0415 - see the line above

            return Workshop(home, settings, around.clock)

        signs = workshop if around.control else None
        door = None if around.login is None else Door(settings, around, *around.login)
        routes = (
            *search.make_routes(self._catalog, pages),
            *entry.make_routes(self._catalog, shelves, pages),
            *inspect.make_routes(home, settings, pages),
            *logs.make_routes(shelves, pages, settings.writers),
            *Flow(home, settings, self._catalog, shelves, pages, signs).make_routes(),
            *Lessons(settings, pages, signs).make_routes(),
            *Operating(home, settings, shelves, self._catalog, around).make_routes(pages),
            *(open_routes(pages) if door is None else door.make_routes(pages)),
        )
        handlers = {(route.method, route.path): route.handler for route in routes}
        handlers["GET", "/console/{name}"] = _file
        return handlers if door is None else door.before(handlers)


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in FILES:
        raise web.HTTPNotFound
    kind = _KINDS[name.rpartition(".")[2]]
    return web.Response(body=static(name), content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"})
