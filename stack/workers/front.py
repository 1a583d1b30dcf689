# SPDX-License-Identifier: Apache-2.0
"""A worker: takes connections, verifies, signs and answers. What it logs goes over the link, what it does not know over the hop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from stack.edge import Edge
from stack.figures import Figures
from stack.running import answer, stop_on_signals, utc_now
from stack.start import ServerTls
from stack.upkeep import REFRESH_S, attempt
from stack.workers.child import stop_with
from stack.workers.counts import REPORT_S, encode_counts
from stack.workers.crew import Crew, Reached, Work
from stack.workers.floors import SharedFloor
from stack.workers.frames import Report
from stack.workers.hop import ROUTE, Hop
from stack.workers.link import Link
from stack.workers.place import Place

FIRST_LINK_S: Final = 5.0
"""A worker that finds no sequencer for so long answers all the same, that it should be tried again."""


async def serve(
    crew: Crew,
    listener: socket.socket,
    place: Place,
    floors: Mapping[str, SharedFloor],
    lifeline: int,
    ready: Callable[[], None],
    edge: Edge,
) -> None:
    """Serve on ``listener`` until it is told to stop; the link is open until the last request is answered."""
    stopping = asyncio.Event()
    stop_on_signals(stopping, lambda: None)
    stop_with(stopping, lifeline)
    edge.passed_on = ROUTE
    link, hop = Link(place.link, utc_now, floors), Hop(place.hop)
    served = crew.front(edge, Reached(link.logs, floors, hop.make_routes()))
    tls = served.tls
    if tls is not None:
        await _reload(tls)
    async with link.open(), hop.open(), served.app as (app, figures):
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LINK_S):
                await link.connected.wait()
        work: list[Work] = [*served.work, partial(_report, link, figures)]
        if tls is not None:
            work.append(partial(_follow_tls, tls))
        await answer(app, figures, edge, listener, tls, ready, work, stopping)
        link.report(_counted(figures))


async def _report(link: Link, figures: Figures) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        link.report(_counted(figures))


def _counted(figures: Figures) -> Report:
    open_, cut = figures.connections() or (0, 0)
    return Report(encode_counts(figures.traffic, open_, cut))


async def _follow_tls(tls: ServerTls) -> None:
    """The sequencer makes new files, once an hour; they are taken up here."""
    while True:
        await asyncio.sleep(REFRESH_S)
        await _reload(tls)


async def _reload(tls: ServerTls) -> None:
    await attempt("the TLS certificate was not read anew", partial(tls.reload, utc_now()))
