# SPDX-License-Identifier: Apache-2.0
"""``sigbox serve ROLE``: from a command line to a process that answers for one role.

Its keys and documents are there already: ``sigbox init`` makes them. The role's folder is held, so that neither a second such
process nor a whole stack serves it too.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from stack.config import Settings, load_settings
from stack.core_dumps import forbid_attaching, forbid_core_dumps
from stack.edge import Edge
from stack.files import save_file
from stack.generations import load_generations, wait_begun
from stack.lock import serving
from stack.offering import Arrival, offering_part, waits_for_trust
from stack.part import Part, assembled
from stack.role import RolePlan, make_part
from stack.room import watch_room
from stack.running import answer, run_loop, stop_on_signals, utc_now
from stack.serve import check_https, ended_by_sigterm, listening
from stack.start import ServerTls
from stack.upkeep import renewing


def serve_role(plan: RolePlan) -> int:
    """Serve until a signal; the answer is the exit code.

    Raises:
        Unavailable: the address is taken. Refused: another process serves this role. NotFound, Malformed: what the role needs
            is not there, or damaged. OSError: the disk refuses.
    """
    gc.disable()  # until everything answers: stack.running
    forbid_core_dumps()
    forbid_attaching()
    settings = replace(load_settings(plan.home), accept_clock=plan.accept_clock)
    if plan.database:
        settings = replace(settings, database=plan.database)
    with ended_by_sigterm(), serving(plan.home.path, plan.role):
        if plan.ready_file is not None:
            plan.ready_file.unlink(missing_ok=True)  # as in stack.serve
        if waits_for_trust(plan) and not _offer(plan, settings):
            return 0
        with ended_by_sigterm(), listening(plan.host, plan.port) as listener:
            _serve_part(plan, settings, listener)
    return 0


def _offer(plan: RolePlan, settings: Settings) -> bool:
    """Answer for the role's public keys alone, until ``public/`` is there; False when a signal ended it before."""
    arrived = Arrival(plan.home)
    sys.stderr.write(f"{plan.home.trusted_root} is not there: {plan.role} says its public keys, and waits\n")
    with listening(plan.host, plan.port) as listener:
        waiting = replace(plan, ready_file=None)
        tls, part = _tls(plan, settings), offering_part(plan, arrived)
        run_loop(plan.log_format, None, partial(_serve, waiting, settings, part, listener, tls))
    return arrived.seen


def _serve_part(plan: RolePlan, settings: Settings, listener: socket.socket) -> None:
    tls = _tls(plan, settings)
    wait_begun(load_generations(plan.home))
    if plan.workers is not None:
        # Deferred: nothing of it is needed by one process.
        from stack.workers.one_role import crew_of  # noqa: PLC0415 - see the line above
        from stack.workers.supervisor import supervise  # noqa: PLC0415 - the same

        supervise(crew_of(plan, settings, tls, partial(announce, plan, settings, listener)), listener)
        return
    part = make_part(plan, settings, utc_now)
    watch_room(plan.home.path, part.logs, part.trees)
    run_loop(plan.log_format, plan.ready_file, partial(_serve, plan, settings, part, listener, tls), quota=plan.quota)


def _tls(plan: RolePlan, settings: Settings) -> ServerTls | None:
    if plan.tls is None:
        return None
    check_https(settings.at(plan.role))
    from stack.server_tls import make_role_tls  # noqa: PLC0415 - nothing of it is needed without --tls

    return make_role_tls(plan.tls, plan.home, plan.role, settings.host_of(plan.role), utc_now())


async def _serve(
    plan: RolePlan, settings: Settings, part: Part, listener: socket.socket, tls: ServerTls | None, edge: Edge
) -> None:
    stopping = asyncio.Event()
    stop_on_signals(stopping, _remover(plan))
    checks = {} if tls is None else {"tls": tls.check}
    work = [] if tls is None else [partial(renewing, tls.renew, utc_now)]
    async with assembled((part,), plan.home, edge, utc_now, checks) as (app, figures):
        await answer(app, figures, edge, listener, tls, partial(announce, plan, settings, listener), work, stopping)


def _remover(plan: RolePlan) -> Callable[[], None]:
    def remove() -> None:
        if plan.ready_file is not None:
            plan.ready_file.unlink(missing_ok=True)

    return remove


def announce(plan: RolePlan, settings: Settings, listener: socket.socket) -> None:
    """Say that the role answers: to people on standard output, to programs in the ready file."""
    host, port = listener.getsockname()[:2]
    url = settings.at(plan.role)
    sys.stdout.write(f"sigbox serves {plan.role} of {settings.url} on {host}:{port}; clients reach it at {url}\n")
    sys.stdout.flush()
    if plan.ready_file is not None:
        content = {"role": plan.role, "url": url, "listen": f"{host}:{port}", "pid": os.getpid()}
        content["data"] = str(plan.home.path)
        save_file(plan.ready_file, json.dumps(content, indent=2).encode() + b"\n", durable=False)
