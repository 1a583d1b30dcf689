# SPDX-License-Identifier: Apache-2.0
"""The outer edge of HTTP: what every request of the stack goes through, whatever role answers it. One middleware."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from itertools import count
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.hdrs import CONTENT_ENCODING, CONTENT_LENGTH
from aiohttp.typedefs import Middleware
from multidict import istr

from sigcore import limits
from sigcore.patterns import pattern
from stack import plain
from stack.gate import Connection
from stack.logs import ID_HEADER, RequestLog, request_id
from stack.traffic import Traffic, method_of, route_of

if TYPE_CHECKING:
    from stack.quota import Quota

_log = logging.getLogger("sigbox.http")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ID_HEADER: Final = istr(ID_HEADER)
_FORWARDED: Final = istr("X-Forwarded-For")
_SHORT: Final = {
    errno.EMFILE: "of open files; LimitNOFILE or ulimit -n sets how many there may be",
    errno.ENFILE: "of open files, all of this machine's",
    errno.ENOMEM: "of memory",
    errno.ENOSPC: "of room on its disk",
    errno.EDQUOT: "of room on its disk",
}
"""What a process may run short of: no fault of a request, and over when somebody gives some back."""
_ID: Final = pattern(r"[A-Za-z0-9._-]{8,64}\Z", re.ASCII)


class Edge:
    """What the middleware writes to. ``draining`` says that every answer from now on ends its connection.

    ``behind_proxy``: whoever connects is a reverse proxy, and says whom it asks for. ``quota``: how much one network may have signed.
    """

    def __init__(
        self, traffic: Traffic, requests: RequestLog, *, behind_proxy: bool = False, quota: Quota | None = None
    ) -> None:
        self.traffic = traffic
        self.requests = requests
        self.draining = False
        self.behind_proxy = behind_proxy
        self.quota = quota
        self.under_way = 0
        """Requests that are being answered."""
        self.passed_on = ""
        """The route whose requests another process answers, counts and logs."""


def make_edge_app(edge: Edge) -> web.Application:
    """An application with the edge in front and the largest body that any role takes as its limit."""
    return web.Application(middlewares=[_make_middleware(edge)], client_max_size=limits.LOG_REQUEST)


def _make_middleware(edge: Edge) -> Middleware:
    """The middleware.

    1. Give the request an id: the client's own, if it is 8 to 64 letters, digits, dots, hyphens or underscores. Anybody may choose
       one, also that of another request: it joins lines of logs and decides nothing.
    2. Refuse a body that says to be larger than any role takes, and a compressed one: nothing here needs that, and
       unpacking is where bombs go off. Refuse what is more than the quota of its network.
    3. Let the role answer. What no role expected becomes a plain 500 with the id, never a traceback; where files, memory or the
       disk run short, a 503.
    4. Add the headers of every answer; count and log the request.

    Between (3) and (4) lies a turn of the event loop: the answers of all requests that came together are made first and written
    then, so that each half of the work finds its code in the processor's caches. A request that is alone does not wait for it.
    """
    prefix, numbers = secrets.token_hex(5), count()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        connection = request.protocol if isinstance(request.protocol, Connection) else None
        if connection is not None:
            connection.begin(request)
        identifier = request.headers.get(_ID_HEADER, "")  # (1)
        if not identifier or not _ID.match(identifier):
            identifier = f"{prefix}{next(numbers):06x}"
        request_id.set(identifier)
        if edge.behind_proxy:
            request = _as_forwarded(request)
        edge.under_way += 1
        try:
            refused = _refused_body(request)  # (2)
            if refused is None and edge.quota is not None:
                refused = edge.quota.refusal(request)
            response = refused or await handler(request)  # (3)
            if edge.under_way > 1:
                await asyncio.sleep(0)
        except web.HTTPException as error:
            response = plain.from_exception(error, request.path)
        except Exception as error:  # noqa: BLE001 - the outer edge: logged with its traceback, answered without
            response = _failed(request, error, identifier)
        finally:
            edge.under_way -= 1
            if connection is not None:
                connection.end()
        own = response.headers  # (4)
        own.setdefault(_ID_HEADER, identifier)
        for name, value in plain.HEADERS.items():
            own.setdefault(name, value)
        if edge.draining:
            response.force_close()
        seconds, method, route = time.perf_counter() - began, method_of(request), route_of(request)
        if route == edge.passed_on:
            return response
        edge.traffic.record(method, route, response.status, seconds)
        edge.requests.write(identifier, method, route, response.status, seconds, response.content_length or 0)
        return response

    return middleware


def _as_forwarded(request: web.Request) -> web.Request:
    """With the address that the proxy saw: the last one of X-Forwarded-For. Those before it are what the asker wrote."""
    last = ",".join(request.headers.getall(_FORWARDED, ())).rpartition(",")[2].strip()
    try:
        return request.clone(remote=str(ip_address(last)))
    except ValueError:
        return request


def _failed(request: web.Request, error: Exception, identifier: str) -> web.StreamResponse:
    if isinstance(error, ConnectionError) and request.content.exception() is not None:
        return plain.refusal(400, "the request did not arrive whole", request.path)  # for the log; its sender has gone
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno if isinstance(error, OSError) else None
    if number in _SHORT:
        _log.error("%s %s failed: this process is short %s", method_of(request), route_of(request), _SHORT[number])
        short = plain.refusal(503, f"the server is short {_SHORT[number].partition(';')[0]}; try again", request.path)
        short.headers["Retry-After"] = "1"
        return short
    _log.error("%s %s failed", method_of(request), route_of(request), exc_info=error)
    return plain.refusal(500, f"internal error, request {identifier}", request.path)


def _refused_body(request: web.Request) -> web.StreamResponse | None:
    headers = request.headers
    if CONTENT_LENGTH in headers and (request.content_length or 0) > limits.LOG_REQUEST:
        return plain.refusal(
            413,
            f"the request body is {request.content_length} bytes long, the limit is {limits.LOG_REQUEST}",
            request.path,
        )
    if CONTENT_ENCODING not in headers or headers[CONTENT_ENCODING].lower() == "identity":
        return None
    response = plain.refusal(415, "the request body is compressed; send it as it is", request.path)
    response.headers["Accept-Encoding"] = "identity"
    return response
