# SPDX-License-Identifier: Apache-2.0
"""A role that has keys of its own and no trust root yet: it says its public keys, for the trust role to collect, and waits."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from aiohttp import web

from sigcore.errors import SigError, Unavailable
from sigcore.trustroot import parse_trusted_root
from stack.config import Home
from stack.files import load_file
from stack.part import Part
from stack.role import RolePlan
from stack.service import During, working
from stack.trust.documents import load_public

LOOK_S: Final = 0.5
OFFERING: Final = ("ca", "ct", "log", "tsa")


def waits_for_trust(plan: RolePlan) -> bool:
    """Whether the plan's role needs a trust root that is not there."""
    return plan.role in OFFERING and not plan.home.trusted_root.exists()


class Arrival:
    """Looks for the trust root, and ends the waiting process's loop as a signal would."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.seen = False

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        async with working(self._look):
            yield

    async def _look(self) -> None:
        while not self.seen:
            await asyncio.sleep(LOOK_S)
            self.seen = _whole(self._home)
        signal.raise_signal(signal.SIGTERM)

    def check(self, _now: datetime) -> None:
        """Raises Unavailable: it waits."""
        raise Unavailable(
            f"it waits for {self._home.trusted_root}", "sigbox init --role trust makes it; copy public/ here"
        )


def _whole(home: Home) -> bool:
    """Whether ``public/`` is there, all of it that a role reads: somebody may be copying it."""
    try:
        parse_trusted_root(load_file(home.trusted_root, what="the trusted root"))
        load_public(home)
    except SigError:
        return False
    return home.tuf_root.exists()


def offering_part(plan: RolePlan, arrival: Arrival) -> Part:
    """``/public/ROLE.json``, and the reason why nothing else answers. Errors: as :func:`stack.trust.collect.offer_of`."""
    # Deferred: the client's transport, which a role with a trust root does not need here.
    from stack.trust.collect import offer_of, place_of  # noqa: PLC0415 - see the line above

    offer = offer_of(plan.home, plan.role)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=offer, content_type="application/json", headers={"Cache-Control": "no-cache"})

    return Part([web.get(place_of(plan.role), answer)], {"trust": arrival.check}, services=(During(arrival.watching),))
