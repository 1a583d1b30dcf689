# SPDX-License-Identifier: Apache-2.0
"""What a fault is: a name, what a client must notice, and a function that stands between a request and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from sigcore.values import dataclass
from stack.faults.means import Means
from stack.faults.parameters import Parameters

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Take: TypeAlias = Callable[[], bool]
"""Called just before an answer is made wrong; False where the fault has been seen as often as was asked for."""
Lie: TypeAlias = Callable[[web.Request, Handler, Take], Awaitable[web.StreamResponse]]
"""The answer to a request: that of the handler, or another one."""


Arm: TypeAlias = Callable[[Means, Parameters], Lie]
"""Makes the lie when the fault is switched on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table.

    Attributes:
        name: what it is switched on by.
        does: what is wrong then.
        noticed: the check of a client that must notice it.
        arm: see :data:`Arm`.
        takes: the parameters that it has beside ``count``.
    """

    name: str
    does: str
    noticed: str
    arm: Arm
    takes: tuple[str, ...] = ()
