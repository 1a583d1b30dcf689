# SPDX-License-Identifier: Apache-2.0
"""``/_ctl/faults``: each answer lists every fault, and which are on."""

from __future__ import annotations

from aiohttp import web

from sigcore.errors import NotFound, SigError
from stack.faults.switched import Faults


def make_routes(faults: Faults) -> list[web.RouteDef]:
    """The routes that switch ``faults``."""

    async def show(_request: web.Request) -> web.Response:
        return _listed(faults)

    async def on(request: web.Request) -> web.Response:
        try:
            faults.on(request.match_info["name"], await request.read())
        except SigError as error:
            return _refusal(error)
        return _listed(faults)

    async def off(request: web.Request) -> web.Response:
        try:
            faults.off(request.match_info.get("name"))
        except SigError as error:
            return _refusal(error)
        return _listed(faults)

    return [
        web.get("/_ctl/faults", show),
        web.delete("/_ctl/faults", off),
        web.put("/_ctl/faults/{name}", on),
        web.delete("/_ctl/faults/{name}", off),
    ]


def _listed(faults: Faults) -> web.Response:
    return web.json_response({"faults": faults.document()})


def _refusal(error: SigError) -> web.Response:
    status = 404 if isinstance(error, NotFound) else 400
    return web.json_response({"code": status, "message": str(error)}, status=status)
