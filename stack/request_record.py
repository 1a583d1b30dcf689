# SPDX-License-Identifier: Apache-2.0
"""What a stack for tests was asked, so that a test can say what its client must have asked: the last requests, without what they carry."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from sigcore.strict import JSON
from sigcore.values import dataclass
from stack.logs import request_id

MOST: Final = 1000
PATH: Final = 400
"""Characters of a path that are kept."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered. ``path`` is as it was asked, without the query; ``status`` is 0 where the answer broke off."""

    method: str
    path: str
    status: int
    request: str

    def document(self) -> dict[str, JSON]:
        """As JSON."""
        return {"method": self.method, "path": self.path, "status": self.status, "request": self.request}


class Requests:
    """The last :data:`MOST` of them, oldest first; those of the control API are not among them."""

    def __init__(self) -> None:
        self._kept: deque[Asked] = deque(maxlen=MOST)
        self._number = 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer of ``handler``, and a note of it."""
        if request.path.startswith("/_ctl/"):
            return await handler(request)
        status = 0
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self._number += 1
            self._kept.append(Asked(request.method, request.rel_url.raw_path[:PATH], status, request_id.get()))
        return response

    def document(self) -> dict[str, JSON]:
        """All that are kept, and how many there were before them."""
        kept: list[JSON] = [one.document() for one in self._kept]
        return {"requests": kept, "earlier": self._number - len(kept)}

    def forget(self) -> None:
        """Begin anew."""
        self._kept.clear()
        self._number = 0


def make_routes(requests: Requests) -> list[web.RouteDef]:
    """The two routes."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(requests.document())

    async def forget(_request: web.Request) -> web.Response:
        requests.forget()
        return web.Response(status=204)

    return [web.get("/_ctl/requests", show), web.delete("/_ctl/requests", forget)]
