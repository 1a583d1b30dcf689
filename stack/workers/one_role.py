# SPDX-License-Identifier: Apache-2.0
"""``sigbox serve ROLE --workers N``: one role, of which the workers answer what is hot. All of its processes have its keys alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from stack.config import Settings
from stack.edge import Edge
from stack.generations import LOGS
from stack.health import Check
from stack.part import Part, assembled, assembled_front
from stack.role import RolePlan, make_front_part, make_part
from stack.room import watch_room
from stack.running import utc_now
from stack.start import ServerTls
from stack.upkeep import renewing
from stack.workers.crew import Crew, Reached, Served


def crew_of(plan: RolePlan, settings: Settings, tls: ServerTls | None, announce: Callable[[], None]) -> Crew:
    """The processes that were asked for."""
    own = [log for log in LOGS if ("ct" if log == "ct" else "log") == plan.role]
    return Crew(
        workers=plan.workers or 1,
        commit=partial(_commit, plan, settings, tls),
        front=partial(_front, plan, settings, tls),
        announce=announce,
        locked=tuple(plan.home.path / log for log in own),
        ready_file=plan.ready_file,
        log_format=plan.log_format,
        quota=plan.quota,
    )


def _commit(
    plan: RolePlan, settings: Settings, tls: ServerTls | None, edge: Edge, checks: Mapping[str, Check]
) -> Served:
    part = make_part(plan, settings, utc_now)
    watch_room(plan.home.path, part.logs, part.trees)
    checks = checks if tls is None else {**checks, "tls": tls.check}
    work = () if tls is None else (partial(renewing, tls.renew, utc_now),)
    return Served(assembled((part,), plan.home, edge, utc_now, checks), work)


def _front(plan: RolePlan, settings: Settings, tls: ServerTls | None, edge: Edge, reached: Reached) -> Served:
    parts = (make_front_part(plan, settings, utc_now, reached), Part(reached.elsewhere))
    return Served(assembled_front(parts, plan.home, edge, utc_now), tls=tls)
