# SPDX-License-Identifier: Apache-2.0
"""The gate: how many connections there are, and how long each may take. aiohttp closes none that dribbles its header.

One look at all connections per second, no timer per request:

1. A peer that has begun a request head, or has just connected, must finish that head within ``head_s``.
2. A body must be whole within ``body_s`` and one second more for each ``body_rate`` bytes of it that came.
3. A peer that takes nothing of an answer for ``write_s`` is dropped.
4. A connection on which nothing happens is closed after ``idle_s``.
5. When there are as many as there may be, the one whose peer has owed the rest of a request for longest makes room.

A TLS handshake counts as a connection from its first byte on, which is still owed then (:mod:`stack.tls_port`).

Who was cut off in (1) or (2) gets a 408 where that is still possible. A handler that works on a whole request is left alone.

Source: the figures are those of ``ReadHeaderTimeout`` in Rekor and Fulcio (10 s) and of nginx (75 s idle).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import sys
import time
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.hdrs import EXPECT

from sigcore.values import dataclass
from stack import plain

HANDSHAKE_S: Final = 5.0
"""For TLS, which asyncio watches over."""
CONNECTIONS: Final = 2048
SPARE_FILES: Final = 64
"""File descriptors that are not for connections: databases, locks, standard streams."""
QUIET_S: Final = 0.5
"""When the process ends, a connection on which nothing came for this long is closed. Shorter, and a request that is on its
way, or lies unread while a batch is made, is cut off. Counted in looks: who gets no processor has read nothing meanwhile."""
DRAIN_LOOK_S: Final = 0.02
UNSENT: Final = 64 * 1024
"""Bytes of an answer that may wait in this process for its peer; a TLS connection would keep eight times as many."""
_SIOCOUTQ: Final = 0x5411
"""How many bytes wait in the kernel for the peer to take them (tcp(7) of Linux)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a peer may be, in seconds; ``body_rate`` in bytes per second."""

    head_s: float = 10.0
    body_s: float = 25.0
    body_rate: float = 100 * 1024
    write_s: float = 25.0
    idle_s: float = 75.0
    look_s: float = 1.0


def _answer(status: HTTPStatus, message: str) -> bytes:
    body = b'{"code": %d, "message": "%s"}' % (status, message.encode("ascii"))
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    return b"%sContent-Length: %d\r\n\r\n%s" % (head.encode("ascii"), len(body), body)


_TOO_SLOW: Final = _answer(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
_ENDING: Final = _answer(
    HTTPStatus.SERVICE_UNAVAILABLE, "the server ends; what was asked may or may not have been done"
)
HTTP_OPTIONS: Final[dict[str, Any]] = {
    "keepalive_timeout": 3600,  # never reached: the gate looks first
    "lingering_time": 2,  # for the rest of a body that was refused: its sender shall see the answer
    "max_line_size": plain.TARGET_LIMIT,
    "max_field_size": plain.HEADER_LIMIT,
    "max_headers": 64,
    "auto_decompress": False,  # the edge refuses compressed bodies; nothing is inflated before that
    "access_log": None,
}
"""What every connection's parser is held to."""

_log = logging.getLogger("sigbox.gate")


class Peer(Protocol):
    """Whoever is connected: a :class:`Connection`, or what will become one."""

    since: float
    """When the present state began."""

    @property
    def peername(self) -> Any:
        """Its address."""

    @property
    def quiet(self) -> bool:
        """It has begun nothing: when the process ends, it may be closed."""

    @property
    def owing(self) -> bool:
        """The peer has to say something before there is anything to do."""

    def overdue(self, now: float) -> str:
        """Why it has had its time; empty while it has not."""

    def drop(self, answer: bytes) -> None:
        """Close it now, with ``answer`` where that can still be said."""

    def force_close(self) -> None:
        """Close it, which is quiet."""


class Connection(web.RequestHandler):
    """One client's connection: aiohttp's own protocol, with the time of what happened last."""

    def __init__(self, gate: Gate, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._gate = gate
        self._begun: web.BaseRequest | None = None
        self.since = gate.now()
        """When the present state began: waiting for a head, receiving one, working on a request."""
        self.waiting = True
        """No byte of the next request has come."""
        self.fresh = True
        """No request has come yet."""
        self.greeting: Peer | None = None
        """What it was before."""
        self._unsent = 0
        self._unsent_since = 0.0

    # --- what happens, as asyncio and the edge tell it ---------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: take the connection, or turn it away."""
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(UNSENT)
        self._gate.enter(self, self.greeting)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Asyncio: it is gone."""
        self._gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came; the first of a head start its clock."""
        if self.waiting:
            self.waiting, self.since = False, self._gate.now()
        super().data_received(data)

    def begin(self, request: web.BaseRequest) -> None:
        """The edge: a head is whole."""
        self._begun, self.fresh, self.waiting, self.since = request, False, False, self._gate.now()

    def end(self) -> None:
        """The edge: the answer is made."""
        self._begun, self.waiting, self.since = None, True, self._gate.now()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP gets the edge's answer and one line in the log; aiohttp would log a traceback.

        Its own refusal of an Expect quotes that, which it cannot where it is no UTF-8; what fails later is the edge's.
        """
        if isinstance(exc, UnicodeEncodeError) and self._begun is None and EXPECT in request.headers:
            return web.HTTPExpectationFailed()
        return plain.refuse_connection(request, status, exc, message)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What aiohttp refuses before any middleware, such as an Expect that means nothing, gets the edge's form and headers."""
        if isinstance(resp, web.HTTPException):
            resp = plain.from_exception(resp)
            resp.headers.update(plain.HEADERS)
        return await super().finish_response(request, resp, start_time)

    # --- what the gate asks ------------------------------------------------------------------------------
    @property
    def quiet(self) -> bool:
        """No request is being worked on, and none has begun to come."""
        return self._begun is None and self.waiting

    @property
    def owing(self) -> bool:
        """The peer has to say something before there is anything to do."""
        return self._begun is None or not self._begun.content.is_eof()

    def overdue(self, now: float) -> str:
        """Why this connection has had its time; empty while it has not."""
        pace = self._gate.pace
        if self._unsent_for(now) > pace.write_s:
            return "the answer is not being read"
        spent, request = now - self.since, self._begun
        if request is None:
            if self.waiting and not self.fresh:
                return "nothing was asked" if spent > pace.idle_s else ""
            return "the request head did not come" if spent > pace.head_s else ""
        content = request.content
        if not content.is_eof() and spent > pace.body_s + content.total_bytes / pace.body_rate:
            return "the request body did not come"
        return ""

    def _unsent_for(self, now: float) -> float:
        """Seconds for which the peer has taken nothing of what is to be sent."""
        unsent = 0 if self.transport is None else self.transport.get_write_buffer_size() + _queued(self.transport)
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return now - self._unsent_since if unsent else 0.0

    def drop(self, answer: bytes) -> None:
        """Close now; ``answer`` is said first where a request has begun and nothing of its answer has gone out."""
        transport, request = self.transport, self._begun
        if transport is None:
            return
        if self.waiting or transport.get_write_buffer_size() or (request is not None and request.writer.output_size):
            transport.abort()
            return
        transport.write(answer)
        self.force_close()


def _queued(transport: asyncio.Transport) -> int:
    """What waits in the kernel: an answer may fit there whole. 0 where that cannot be asked."""
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), _SIOCOUTQ, bytes(4))
    except (AttributeError, OSError):  # no socket, or another system
        return 0
    return int.from_bytes(answer, sys.byteorder)


class Gate:
    """All connections of one server; it is the protocol factory of the listening socket."""

    def __init__(self, server: web.Server, most: int | None = None, pace: Pace | None = None) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self.now = time.monotonic
        self._most = most or _most()
        self.connections: dict[Peer, None] = {}
        self.cut = 0
        """Connections that were cut off: too slow, or too many."""
        self.pace = pace or Pace()
        self._look = self._loop.call_later(self.pace.look_s, self._sweep)

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self, self._server, loop=self._loop, **HTTP_OPTIONS)

    def lead_to(self, server: web.Server) -> None:
        """Connections that come from now on are answered by ``server``; those at which nothing was asked are closed."""
        self._server = server
        for connection in tuple(self.connections):
            if connection.quiet:
                connection.force_close()

    def enter(self, connection: Peer, greeting: Peer | None = None) -> None:
        """Count it, in the place of ``greeting``; when there are too many, close the one that has owed longest, or this one if
        there is work for all.
        """
        if greeting is not None:
            self.leave(greeting)
        if len(self.connections) >= self._most:
            victim = min((one for one in self.connections if one.owing), key=lambda one: one.since, default=connection)
            self._cut(victim, f"there are {self._most} connections", _TOO_SLOW)
            if victim is connection:
                return
            self.connections.pop(victim, None)
        self.connections[connection] = None

    def leave(self, connection: Peer) -> None:
        """Forget it."""
        self.connections.pop(connection, None)

    def _sweep(self) -> None:
        self._look = self._loop.call_later(self.pace.look_s, self._sweep)
        now = self.now()
        for connection in tuple(self.connections):
            reason = connection.overdue(now)
            if reason:
                self._cut(connection, reason, _TOO_SLOW)

    def _cut(self, connection: Peer, reason: str, answer: bytes) -> None:
        self.cut += 1
        _log.info("closed the connection of %s: %s", connection.peername, reason)
        connection.drop(answer)

    async def drain(self, seconds: float) -> None:
        """Let what is under way finish: every answer now ends its connection, quiet ones are closed, new ones are not made.

        Returns when none is left; after ``seconds`` those that are left are cut off.
        """
        end = self.now() + seconds
        quiet: dict[Peer, tuple[float, int]] = {}
        while self.connections and self.now() < end:
            for connection in tuple(self.connections):
                since, looks = quiet.get(connection, (0.0, 0))
                looks = looks + 1 if connection.quiet and connection.since == since else 0
                quiet[connection] = connection.since, looks
                if looks * DRAIN_LOOK_S >= QUIET_S and self.now() - connection.since > QUIET_S:
                    connection.force_close()
            await asyncio.sleep(DRAIN_LOOK_S)
        for connection in tuple(self.connections):
            self._cut(connection, "the process ends", _ENDING)

    def close(self) -> None:
        """No more looks."""
        self._look.cancel()


def _most() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, soft - SPARE_FILES))
