# SPDX-License-Identifier: Apache-2.0
"""``/metrics`` for Prometheus: what the process has counted, put into the exposition format when somebody asks.

prometheus_client is imported with the first scrape, on a thread: that takes 100 ms, a third of a start, and its own counters
would cost each request more than all of the edge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from stack.figures import Figures


def make_routes(figures: Figures) -> list[web.RouteDef]:
    """``/metrics``."""

    async def metrics(_request: web.Request) -> web.Response:
        expose = await asyncio.to_thread(_import_expose)
        body, kind = expose(figures)
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-store"})

    return [web.get("/metrics", metrics)]


def _import_expose() -> Callable[[Figures], tuple[bytes, str]]:
    from stack.exposition import expose  # noqa: PLC0415 - see above

    return expose
