# SPDX-License-Identifier: Apache-2.0
"""Which faults are on, and the middleware that they work in. Light: the table is imported when somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore.errors import NotFound, Refused
from sigcore.strict import JSON, shown
from stack.faults.means import Means

if TYPE_CHECKING:
    from stack.faults.fault import Fault, Handler, Lie
    from stack.faults.parameters import Parameters

COUNT: Final = "count"


class Active:
    """A fault that is on."""

    def __init__(self, fault: Fault, parameters: Parameters, lie: Lie) -> None:
        self.fault, self.parameters, self.lie = fault, parameters, lie
        self.told = 0
        """Answers that were made wrong."""

    @property
    def spent(self) -> bool:
        """It has been seen as often as was asked for."""
        return self.parameters.count is not None and self.told >= self.parameters.count

    def take(self) -> bool:
        """See :data:`stack.faults.fault.Take`."""
        if self.spent:
            return False
        self.told += 1
        return True

    def document(self) -> dict[str, JSON]:
        """Its parameters, and how often it was seen."""
        given = (*self.fault.takes, *((COUNT,) if self.parameters.count is not None else ()))
        return {"parameters": self.parameters.document(given), "answers": self.told}


class Faults:
    """The faults of one process; ``means`` is None where they would reach only some of the answers."""

    def __init__(self, means: Means | None) -> None:
        self.means = means
        self._active: dict[str, Active] = {}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer of ``handler``, through every fault that is on; those of the control API stay true."""
        if not self._active or request.path.startswith("/_ctl/"):
            return await handler(request)
        for active in reversed(self._sorted()):
            handler = partial(_through, active, handler)
        return await handler(request)

    def on(self, name: str, body: bytes) -> None:
        """Switch a fault on, or anew, with the parameters in ``body``.

        Raises:
            NotFound: there is none of that name. Malformed: see :func:`stack.faults.parameters.parse_parameters`.
            Refused: the stack has workers.
        """
        from stack.faults.parameters import parse_parameters  # noqa: PLC0415 - see the module

        fault, means = self._named(name), self._reachable()
        parameters = parse_parameters(body, fault.takes)
        self._active[name] = Active(fault, parameters, fault.arm(means, parameters))

    def off(self, name: str | None) -> None:
        """Switch a fault off, or all of them. NotFound: there is none of that name."""
        if name is None:
            self._active.clear()
        else:
            self._active.pop(self._named(name).name, None)

    def document(self) -> list[JSON]:
        """Every fault, and what is known of those that are on."""
        return [
            {
                "name": fault.name,
                "does": fault.does,
                "noticed": fault.noticed,
                "parameters": [*fault.takes, COUNT],
                "active": self._active[fault.name].document() if self._is_on(fault.name) else None,
            }
            for fault in _table().values()
        ]

    def _is_on(self, name: str) -> bool:
        return name in self._active and not self._active[name].spent

    def _sorted(self) -> Sequence[Active]:
        """In the order of the table."""
        return [self._active[name] for name in _table() if self._is_on(name)]

    def _named(self, name: str) -> Fault:
        table = _table()
        if name not in table:
            raise NotFound(f"there is no fault {shown(name)}", f"there are {', '.join(table)}")
        return table[name]

    def _reachable(self) -> Means:
        if self.means is None:
            raise Refused(
                "this stack has workers, whose answers faults do not reach", "start one for them without --workers"
            )
        return self.means


async def _through(active: Active, handler: Handler, request: web.Request) -> web.StreamResponse:
    return await active.lie(request, handler, active.take)


def _table() -> Mapping[str, Fault]:
    from stack.faults.table import FAULTS  # noqa: PLC0415 - see the module

    return FAULTS
