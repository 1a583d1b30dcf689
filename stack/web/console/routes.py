# SPDX-License-Identifier: Apache-2.0
"""The console's place on the stack's origin: its pages, scripts and style sheet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from aiohttp import web

from stack.config import Home, Settings
from stack.web.console import entry, inspect, logs, search
from stack.web.console.answers import static
from stack.web.console.entry import Shelf
from tlog.catalog.catalog import Catalog

if TYPE_CHECKING:
    from stack.web.console.pages import Pages

_KINDS: Final = {"js": "text/javascript", "css": "text/css"}
FILES: Final = ("console.css", "search.js", "proof.js", "inspect.js")


def make_routes(home: Home, settings: Settings, catalog: Catalog, shelves: Mapping[str, Shelf]) -> list[web.RouteDef]:
    """Every route of the console."""

    @cache
    def pages() -> Pages:
        # Deferred: the template engine takes a fifth of a start, and most stacks are never looked at.
        from stack.web.console.pages import Pages  # noqa: PLC0415 - see the line above

        return Pages(settings)

    return [
        *search.make_routes(catalog, pages),
        *entry.make_routes(catalog, shelves, pages),
        *inspect.make_routes(home, settings, pages),
        *logs.make_routes(shelves, pages),
        web.get("/console/{name}", _file),
    ]


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in FILES:
        raise web.HTTPNotFound
    kind = _KINDS[name.rpartition(".")[2]]
    return web.Response(body=static(name), content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"})
