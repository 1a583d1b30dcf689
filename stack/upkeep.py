# SPDX-License-Identifier: Apache-2.0
"""What a running stack does once an hour: a failure is said and tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Final

from stack.config import Home
from stack.service import working
from stack.trust.publisher import finish_publisher, start_publisher

REFRESH_S: Final = 3600

_log = logging.getLogger("sigbox")


async def attempt(failure: str, work: Callable[[], None]) -> None:
    """``work`` on a thread; that it failed is logged."""
    try:
        await asyncio.to_thread(work)
    except Exception:  # noqa: BLE001 - logged; what is in place stays good until it expires
        _log.exception("%s; next try in an hour", failure)


async def renewing(renew: Callable[[datetime], None], clock: Callable[[], datetime]) -> None:
    """Bring a role's TLS certificate up to date: made anew where it is ours to make, else as somebody has put it in its place."""
    while True:
        await asyncio.sleep(REFRESH_S)
        await attempt("the TLS certificate was not read anew", partial(renew, clock()))


async def refresh(home: Home) -> None:
    """Have the TUF roles signed anew that have less than half of their life left."""
    await attempt("the TUF repository was not refreshed", partial(_refresh, home))


def _refresh(home: Home) -> None:
    signed = finish_publisher(start_publisher(home))
    if signed:
        _log.info("TUF roles signed anew: %s", signed)


@asynccontextmanager
async def published(home: Home) -> AsyncIterator[None]:
    """The TUF repository, up to date when the block begins and kept so while it runs.

    Raises:
        Refused: it cannot be signed.
    """
    await asyncio.to_thread(_refresh, home)
    async with working(partial(_keep, home)):
        yield


async def _keep(home: Home) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        await refresh(home)
