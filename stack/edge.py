# SPDX-License-Identifier: Apache-2.0
"""The outer edge of HTTP: what every answer of the stack has in common, whatever role gave it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from sigcore import limits

_log = logging.getLogger("sigbox.http")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'",
}


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each request an id; turn what no role expected into a plain 500 with that id, never a traceback."""
    request_id = secrets.token_hex(8)
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _plain(error)
    except Exception:  # noqa: BLE001 - the outer edge: logged with its traceback, answered without
        _log.exception("request %s %s %s failed", request_id, request.method, request.path)
        response = web.json_response({"code": 500, "message": f"internal error, request {request_id}"}, status=500)
    response.headers.setdefault("X-Request-Id", request_id)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _plain(error: web.HTTPException) -> web.Response:
    """404, 405, 413 and the like, which aiohttp raises before a role is asked, in the JSON that clients print."""
    response = web.json_response({"code": error.status, "message": error.reason}, status=error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def make_edge_app() -> web.Application:
    """An application with the edge in front and the largest body that any role takes as its limit."""
    return web.Application(middlewares=[edge], client_max_size=limits.LOG_REQUEST)
