# SPDX-License-Identifier: Apache-2.0
"""What a role adds to a process, and how such parts become one application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiohttp import web

from sigcore.values import dataclass
from stack import health, metrics
from stack.config import Home
from stack.edge import Edge, make_edge_app
from stack.figures import Figures
from stack.service import Service
from stack.shards import Shard
from stack.trees import Arrival, Growing, unseen
from tlog.log import Log

if TYPE_CHECKING:
    from stack.watch.watcher import Watcher
    from tlog.published import Published

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Part:
    """What a role adds to a process.

    Attributes:
        routes: where it answers.
        checks: what readiness asks, by name.
        logs: those that it keeps, by name.
        trees: where logs may come later.
        services: started in this order, stopped in the other.
        watcher: that one of them which follows watch rules.
        arrived: is told of a log that came later.
    """

    routes: Sequence[web.RouteDef]
    checks: Mapping[str, health.Check] = MappingProxyType({})
    logs: Mapping[str, Log] = MappingProxyType({})
    trees: Sequence[Growing] = ()
    services: Sequence[Service] = ()
    watcher: Watcher | None = None
    arrived: Callable[[Shard, Published], None] = unseen


@asynccontextmanager
async def assembled(
    parts: Sequence[Part], home: Home, edge: Edge, clock: Clock, checks: Mapping[str, health.Check]
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """One application of ``parts``, with health and figures; what they keep is open inside the ``async with``."""
    answering: dict[str, health.Check] = {}
    logs: dict[str, Log] = {}
    app = make_edge_app(edge)
    for part in parts:
        app.add_routes(part.routes)
        answering |= part.checks
        logs |= part.logs
        take_in(part.trees, logs, lambda shard, log: all_checks.update({shard.name: health.log_check(log)}))
    watcher = next((part.watcher for part in parts if part.watcher), None)
    figures = Figures(home, edge.traffic, logs, clock, watcher=watcher)
    all_checks = {**answering, **checks}
    app.add_routes(health.make_routes(all_checks, clock))
    app.add_routes(metrics.make_routes(figures))
    async with _opened(parts):
        yield app, figures


@asynccontextmanager
async def assembled_front(
    parts: Sequence[Part], home: Home, edge: Edge, clock: Clock
) -> AsyncIterator[tuple[web.Application, Figures]]:
    """As :func:`assembled`, for a worker: health and figures are the sequencer's."""
    app = make_edge_app(edge)
    for part in parts:
        app.add_routes(part.routes)
    async with _opened(parts):
        yield app, Figures(home, edge.traffic, {}, clock)


@asynccontextmanager
async def _opened(parts: Sequence[Part]) -> AsyncIterator[None]:
    async with AsyncExitStack() as opened:
        for service in (service for part in parts for service in part.services):
            await service.start()
            opened.push_async_callback(service.stop)
        yield


def take_in(trees: Sequence[Growing], logs: dict[str, Log], arrived: Arrival) -> None:
    """A log that comes later is in ``logs`` from then on, and ``arrived`` is told."""

    def came(shard: Shard, log: Log) -> None:
        logs[shard.name] = log
        arrived(shard, log)

    for one in trees:
        one.arrivals.append(came)
