# SPDX-License-Identifier: Apache-2.0
"""A worker: takes connections, verifies, signs and answers. What it logs goes over the link, what it does not know over the hop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sigcore.errors import SigError
from stack.bootstrap import load_material
from stack.compose import compose_front
from stack.edge import Edge
from stack.figures import Figures
from stack.live_issuers import LiveIssuers, issuer_files
from stack.running import answer, stop_on_signals, utc_now
from stack.start import Plan, Prepared, ServerTls
from stack.upkeep import REFRESH_S, attempt
from stack.workers.child import stop_with
from stack.workers.counts import REPORT_S, encode_counts
from stack.workers.floors import SharedFloor
from stack.workers.frames import Report
from stack.workers.hop import ROUTE, Hop
from stack.workers.link import Link
from stack.workers.place import Place

FIRST_LINK_S: Final = 5.0
"""A worker that finds no sequencer for so long answers all the same, that it should be tried again."""

_log = logging.getLogger("sigbox.workers")


async def serve(
    prepared: Prepared,
    plan: Plan,
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
    prepared = as_it_is_now(prepared, plan)
    issuers, tls = prepared.issuers, prepared.tls
    link, hop = Link(place.link, utc_now, floors), Hop(place.hop)
    if tls is not None:
        await _reload(tls)
    front = compose_front(
        prepared.home,
        prepared.settings,
        prepared.material,
        issuers,
        utc_now,
        logs=link.logs,
        floor=floors["tsa"],
        elsewhere=hop.make_routes(),
        control_api=plan.control,
        edge=edge,
    )
    async with link.open(), hop.open(), front as (app, figures):
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LINK_S):
                await link.connected.wait()
        work: list[Callable[[], Coroutine[Any, Any, None]]] = [issuers.watch, partial(_report, link, figures)]
        if tls is not None:
            work.append(partial(_follow_tls, tls))
        await answer(app, figures, edge, listener, tls, ready, work, stopping)
        link.report(_counted(figures))


def as_it_is_now(prepared: Prepared, plan: Plan) -> Prepared:
    """With the keys and issuers of this moment: who takes the place of another comes long after the start.

    Issuers that cannot be used leave those of the start in place, as in a running authority.

    Raises:
        NotFound, Malformed, Refused: a key cannot be read.
    """
    prepared = replace(prepared, material=load_material(prepared.home))
    try:
        return replace(prepared, issuers=LiveIssuers(issuer_files(prepared.home, plan.config)))
    except (SigError, OSError) as error:
        _log.error("the issuers cannot be used, so those of the start stay: %s", error)
        return prepared


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
