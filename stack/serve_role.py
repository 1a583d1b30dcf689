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

from sigcore.errors import Malformed
from stack.compose import Part, assembled
from stack.config import Settings, load_settings
from stack.edge import Edge
from stack.files import save_file
from stack.lock import serving
from stack.role import RolePlan, make_part
from stack.room import watch_room
from stack.running import answer, run_loop, stop_on_signals, utc_now
from stack.serve import ended_by_sigterm, listening, tls_of
from stack.start import ServerTls
from stack.tls import AUTO
from stack.upkeep import REFRESH_S, attempt


def serve_role(plan: RolePlan) -> int:
    """Serve until a signal; the answer is the exit code.

    Raises:
        Unavailable: the address is taken. Refused: another process serves this role. NotFound, Malformed: what the role needs
            is not there, or damaged. OSError: the disk refuses.
    """
    gc.disable()  # until everything answers: stack.running
    settings = load_settings(plan.home)
    with (
        ended_by_sigterm(),
        listening(plan.host, plan.port) as listener,
        serving(plan.home.path, plan.role),
    ):
        tls = _tls(plan, settings)
        part = make_part(plan, settings, utc_now)
        watch_room(plan.home.path, part.logs)
        run_loop(plan.log_format, plan.ready_file, partial(_serve, plan, settings, part, listener, tls))
    return 0


def _tls(plan: RolePlan, settings: Settings) -> ServerTls | None:
    if plan.tls == AUTO:
        raise Malformed(
            "an authority of the stack's own would need a folder that all roles share",
            "give a certificate for this role: --tls CERT,KEY",
        )
    return tls_of(plan.tls, plan.home, replace(settings, url=settings.at(plan.role)), utc_now())


async def _serve(
    plan: RolePlan, settings: Settings, part: Part, listener: socket.socket, tls: ServerTls | None, edge: Edge
) -> None:
    stopping = asyncio.Event()
    stop_on_signals(stopping, _remover(plan))
    checks = {} if tls is None else {"tls": tls.check}
    work = [] if tls is None else [partial(_renew, tls)]
    async with assembled((part,), plan.home, edge, utc_now, checks) as (app, figures):
        await answer(app, figures, edge, listener, tls, partial(_announce, plan, settings, listener), work, stopping)


def _remover(plan: RolePlan) -> Callable[[], None]:
    def remove() -> None:
        if plan.ready_file is not None:
            plan.ready_file.unlink(missing_ok=True)

    return remove


async def _renew(tls: ServerTls) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        await attempt("the TLS certificate was not read anew", partial(tls.renew, utc_now()))


def _announce(plan: RolePlan, settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    url = settings.at(plan.role)
    sys.stdout.write(f"sigbox serves {plan.role} of {settings.url} on {host}:{port}; clients reach it at {url}\n")
    sys.stdout.flush()
    if plan.ready_file is not None:
        content = {"role": plan.role, "url": url, "listen": f"{host}:{port}", "pid": os.getpid()}
        content["data"] = str(plan.home.path)
        save_file(plan.ready_file, json.dumps(content, indent=2).encode() + b"\n", durable=False)
