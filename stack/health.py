# SPDX-License-Identifier: Apache-2.0
"""Liveness and readiness, in the forms that the clients' probes know."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from sigcore.errors import SigError
from stack.config import Home
from tlog.log import Log


def make_routes(home: Home, logs: Sequence[Log]) -> list[web.RouteDef]:
    """``/healthz`` and ``/ping``: the process answers. ``/readyz``: so does every role."""

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "SERVING"})

    async def ready(_request: web.Request) -> web.Response:
        faults = _faults(home, logs)
        return web.json_response({"ready": not faults, "faults": faults}, status=503 if faults else 200)

    return [web.get("/healthz", alive), web.get("/ping", alive), web.get("/readyz", ready)]


def _faults(home: Home, logs: Sequence[Log]) -> list[str]:
    faults = [] if (home.tuf_repository / "timestamp.json").exists() else ["the TUF repository is not published yet"]
    faults += [log.damage for log in logs if log.damage]
    for log in logs:
        try:
            log.checkpoint()
        except SigError as error:
            faults.append(error.message)
    return faults
