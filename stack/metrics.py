# SPDX-License-Identifier: Apache-2.0
"""``/metrics`` for Prometheus: what the process has counted, put into the exposition format when somebody asks.

prometheus_client is imported with the first scrape, on a thread: that takes 100 ms, a third of a start, and its own counters
would cost each request more than all of the edge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module

from aiohttp import web

from stack.config import Home
from stack.gate import Gate
from stack.traffic import Traffic
from tlog.log import Log


@dataclass(slots=True)
class Sources:
    """Where the figures are. ``gate`` comes with the listening socket, after the routes."""

    home: Home
    traffic: Traffic
    logs: Mapping[str, Log]
    clock: Callable[[], datetime]
    gate: Gate | None = None


def make_routes(sources: Sources) -> list[web.RouteDef]:
    """``/metrics``."""

    async def metrics(_request: web.Request) -> web.Response:
        exposition = await asyncio.to_thread(import_module, "stack.exposition")
        body, kind = exposition.expose(sources)
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-store"})

    return [web.get("/metrics", metrics)]
