# SPDX-License-Identifier: Apache-2.0
"""The front page's routes; what it says is in :mod:`stack.web.front_page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore.errors import SigError
from sigcore.language import COOKIE, COOKIE_S, LANGUAGES, PARAMETER, choose
from stack.config import Home, Settings
from stack.plain import refusal
from stack.web.style import ICON, STYLE

if TYPE_CHECKING:
    from tlog.published import Published

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}


def make_routes(home: Home, settings: Settings, logs: Mapping[str, Published]) -> list[web.RouteDef]:
    """The page, its style sheet and its icon."""

    async def page(request: web.Request) -> web.Response:
        # Deferred: a start does without the page until somebody looks.
        from stack.web.front_page import describe, render  # noqa: PLC0415 - see the line above

        asked = request.query.get(PARAMETER, "")
        language = choose(asked, request.cookies.get(COOKIE, ""), request.headers.get("Accept-Language", ""))
        try:
            text = render(describe(home, settings, logs), language)
        except SigError as error:  # the trust root is gone or damaged, which /readyz says too
            return refusal(503, str(error))
        response = web.Response(text=text, content_type="text/html", headers=_HEADERS)
        if asked in LANGUAGES:
            secure = settings.url.startswith("https:")
            response.set_cookie(COOKIE, asked, max_age=COOKIE_S, httponly=True, samesite="Lax", secure=secure)
        return response

    async def style(_request: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    async def icon(_request: web.Request) -> web.Response:
        return web.Response(text=ICON, content_type="image/svg+xml")

    return [web.get("/", page), web.get("/style.css", style), web.get("/icon.svg", icon)]
