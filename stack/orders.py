# SPDX-License-Identifier: Apache-2.0
"""What tests may order of a stack as a whole: that it misbehaves, what time it is, that it tells what it was asked, that it begins anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from stack.clock_control import ClockDesk
from stack.clock_control import make_routes as make_clock_routes
from stack.faults.http import make_routes as make_fault_routes
from stack.faults.means import Means
from stack.faults.switched import Faults
from stack.renewal import make_routes as make_reset_routes
from stack.request_record import Requests
from stack.request_record import make_routes as make_request_routes


class Orders:
    """Of one process; ``means`` is None where other processes answer as well, ``renew`` where it cannot begin anew."""

    def __init__(self, means: Means | None, renew: Callable[[], Awaitable[None]] | None) -> None:
        self._clock, self._renew = ClockDesk(means), renew
        self._faults, self._requests = Faults(means), Requests()

    @property
    def middlewares(self) -> Sequence[Middleware]:
        """What they work in, the outermost first: what is told is what was answered in the end."""
        return (self._requests.middleware, self._faults.middleware)

    def make_routes(self) -> list[web.RouteDef]:
        """Where they are given."""
        return [
            *make_fault_routes(self._faults),
            *make_clock_routes(self._clock),
            *make_request_routes(self._requests),
            *make_reset_routes(self._renew),
        ]
