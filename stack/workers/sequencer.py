# SPDX-License-Identifier: Apache-2.0
"""The process that commits: the logs, and everything that is not hot. It answers to the workers and to nobody else.

It asks to interrupt nobody: a worker on the same core first finishes what it has in hand, and what all of them bring meanwhile
shares one commit. On a core that is idle it runs at once.

At the end it waits until the workers have gone, which need it for what they have under way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

from stack.edge import Edge
from stack.figures import Figures
from stack.running import DRAIN_S, answer, stop_on_signals
from stack.service import working
from stack.shards import Shard
from stack.workers.child import stop_with
from stack.workers.crew import Crew
from stack.workers.floors import SharedFloor
from stack.workers.intake import Links, WorkerLink
from stack.workers.place import Place

LINKS_S = DRAIN_S + 1.0
"""The workers' end takes no longer."""


async def serve(
    crew: Crew,
    place: Place,
    floors: Mapping[str, SharedFloor],
    lifeline: int,
    ready: Callable[[], None],
    edge: Edge,
) -> None:
    """Serve until it is told to stop. Start order: logs, links, HTTP."""
    _interrupt_nobody()
    told, stopping = asyncio.Event(), asyncio.Event()
    stop_on_signals(told, lambda: None)
    stop_with(told, lifeline)
    intake = Links(edge.traffic, crew.workers)
    served = crew.commit(edge, {"workers": intake.check})
    ending = working(partial(_stop_after, intake, told, stopping))
    async with served.app as (app, figures), _linked(intake, figures, place, floors), ending:
        await answer(app, figures, edge, place.bind(place.hop), None, ready, served.work, stopping)


def _interrupt_nobody() -> None:
    """For this process and the threads that it starts (sched(7) of Linux, SCHED_BATCH); elsewhere nothing is to be had."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # a filter of system calls may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@asynccontextmanager
async def _linked(
    intake: Links, figures: Figures, place: Place, floors: Mapping[str, SharedFloor]
) -> AsyncIterator[None]:
    """Take entries of workers while the block runs."""
    for name, log in figures.logs.items():
        log.clock.share(floors[Shard.of(name).log])
    intake.begin(figures.logs)
    figures.workers = intake.connections
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: WorkerLink(intake), sock=place.bind(place.link)
    )
    try:
        yield
    finally:
        server.close()


async def _stop_after(intake: Links, told: asyncio.Event, stopping: asyncio.Event) -> None:
    await told.wait()
    try:
        async with asyncio.timeout(LINKS_S):
            await intake.all_gone()
    except TimeoutError:
        pass
    stopping.set()
