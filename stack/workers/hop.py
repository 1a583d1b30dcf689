# SPDX-License-Identifier: Apache-2.0
"""From a worker to the sequencer: every request that is not answered where it came, over HTTP on a socket of this stack.

The body is read whole first, so that a slow client holds a worker's connection and none of the sequencer's. The answer is passed
on as it comes. The request keeps its id; who asked stands in X-Forwarded-For, which the sequencer believes.

Imports aiohttp's client: only workers do.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    UnixConnector,
    hdrs,
    web,
)
from multidict import CIMultiDict
from yarl import URL

from sigcore import limits
from sigcore.errors import Malformed
from stack import plain
from stack.logs import ID_HEADER, request_id
from tlog.http import TooLarge, read_body

ROUTE: Final = "/{path}"
"""As :func:`stack.traffic.route_of` knows the route."""
CONNECTIONS: Final = 512
"""From one worker; more requests wait."""
CONNECT_S: Final = 2.0
SILENT_S: Final = 60.0
"""An answer of which nothing comes for so long is given up."""
WHOLE: Final = 256 * 1024
"""An answer up to this size is passed on in one piece."""
_THIS_HOP: Final = (
    hdrs.CONNECTION, hdrs.KEEP_ALIVE, hdrs.PROXY_AUTHENTICATE, hdrs.PROXY_AUTHORIZATION, hdrs.TE, hdrs.TRAILER,
    hdrs.TRANSFER_ENCODING, hdrs.UPGRADE, hdrs.EXPECT, hdrs.CONTENT_LENGTH, hdrs.DATE, hdrs.X_FORWARDED_FOR,
)  # fmt: skip
"""RFC 9110 section 7.6.1, and what each server writes itself."""

_log = logging.getLogger("sigbox.hop")


class Hop:
    """The way to the sequencer's socket at ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._session: ClientSession

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connections for the length of a block."""
        self._session = ClientSession(
            connector=UnixConnector(self._path, limit=CONNECTIONS),
            timeout=ClientTimeout(connect=None, sock_connect=CONNECT_S, sock_read=SILENT_S),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        )
        async with self._session:
            yield

    def make_routes(self) -> list[web.RouteDef]:
        """Everything; add them after those that are answered here."""
        return [web.route("*", "/{path:.*}", self.pass_on)]

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """The sequencer's answer; without a sequencer, at once that it is not there."""
        try:
            body = await read_body(request, limit=limits.LOG_REQUEST)
        except Malformed as error:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if isinstance(error, TooLarge) else HTTPStatus.BAD_REQUEST
            return plain.refusal(status, str(error))
        headers = CIMultiDict(request.headers)
        for name in _THIS_HOP:
            headers.popall(name, None)
        headers[ID_HEADER] = request_id.get()
        if request.remote:
            headers[hdrs.X_FORWARDED_FOR] = request.remote
        response: web.StreamResponse | None = None
        try:
            asked = self._session.request(
                request.method, _url(request), headers=headers, data=body or None, allow_redirects=False
            )
            async with asked as answer:
                response = _begin(answer, request.method)
                return await _copy(answer, response, request)
        except (ClientError, OSError, TimeoutError) as error:
            _log.warning("no answer from the sequencer: %s", str(error) or type(error).__name__)
            if response is not None and response.prepared:
                _cut(request)  # what has gone out cannot be taken back
                return response
            return _away()


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _url(request: web.Request) -> URL:
    """As it was asked, byte for byte."""
    asked = request.rel_url
    path = asked.raw_path if asked.raw_path.startswith("/") else f"/{asked.raw_path}"
    query = f"?{asked.raw_query_string}" if asked.raw_query_string else ""
    return URL(f"http://sequencer{path}{query}", encoded=True)


def _begin(answer: ClientResponse, method: str) -> web.StreamResponse:
    headers = CIMultiDict(answer.headers)
    headers[ID_HEADER] = headers.pop(ID_HEADER, request_id.get())  # spelt as everywhere else
    for name in _THIS_HOP:
        headers.popall(name, None)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    if answer.content_length is not None and (method != hdrs.METH_HEAD or answer.content_length):
        response.content_length = answer.content_length
    return response


async def _copy(answer: ClientResponse, response: web.StreamResponse, request: web.Request) -> web.StreamResponse:
    length = response.content_length
    if request.method != hdrs.METH_HEAD and length is not None and length <= WHOLE:
        body = await answer.read()
        return web.Response(status=answer.status, reason=answer.reason, headers=response.headers, body=body)
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def _away() -> web.Response:
    response = plain.refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, "a part of this stack is being started again; try again in a second"
    )
    response.headers["Retry-After"] = "1"
    return response
