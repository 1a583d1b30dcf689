# SPDX-License-Identifier: Apache-2.0
"""The listening socket of HTTPS, which tells whoever speaks plain HTTP to it what is wrong instead of hanging up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Coroutine
from typing import Any, Final

from stack.gate import HANDSHAKE_S, Connection, Gate

_HANDSHAKE: Final = 0x16
"""The first byte of a TLS connection: a record of type handshake (RFC 8446 section 5.1)."""
_BODY: Final = b'{"code": 400, "message": "this port speaks HTTPS: use https:// in the URL"}'
_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_RETRY_S: Final = 0.1
_log = logging.getLogger("sigbox.tls")


class Greeting:
    """A handshake that is under way: for the gate one more whose peer owes something (:class:`stack.gate.Peer`)."""

    def __init__(self, gate: Gate, connection: socket.socket) -> None:
        self._gate, self._connection = gate, connection
        self._task: asyncio.Task[None] | None = None
        self._made: Connection | None = None
        self.since = gate.now()
        self.quiet = True
        """The peer has not said anything."""
        self.owing = True

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """``work`` on it. At its end, or where it is ended before it has begun, whatever has become of it is all that is left."""
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)
        self._gate.enter(self)

    def make(self) -> Connection:
        """What it becomes when the handshake is done."""
        self._made = self._gate()
        self._made.greeting = self
        return self._made

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._gate.leave(self)
        if self._made is None or self._made.transport is None:
            self._connection.close()

    @property
    def peername(self) -> Any:
        """Its address."""
        try:
            return self._connection.getpeername()
        except OSError:  # it has gone
            return None

    def overdue(self, _now: float) -> str:
        """Never: who greets has a time of its own, ``HANDSHAKE_S``."""
        return ""

    def drop(self, _answer: bytes) -> None:
        """End it; nothing can be said yet."""
        self.force_close()

    def force_close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()


class TlsPort:
    """Accepts on ``listener``, looks at the first byte, and hands TLS connections to ``gate``."""

    def __init__(self, listener: socket.socket, gate: Gate, context: ssl.SSLContext, backlog: int) -> None:
        listener.listen(backlog)
        listener.setblocking(False)
        self._listener, self._gate, self._context = listener, gate, context
        self._task = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept nobody any more; handshakes that have begun may end."""
        self._task.cancel()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # no file descriptors left: those that are open will end
                _log.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(_RETRY_S)
                continue
            self.greet(connection)

    def greet(self, connection: socket.socket) -> None:
        """Begin a connection that was accepted."""
        greeting = Greeting(self._gate, connection)
        greeting.begin(self._greet(connection, greeting))

    async def _greet(self, connection: socket.socket, greeting: Greeting) -> None:
        """Within ``HANDSHAKE_S`` the peer must say something, and within as much again be done with the handshake."""
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                first = await _peek(connection)
            greeting.quiet = not first
            if first == bytes((_HANDSHAKE,)):
                await loop.connect_accepted_socket(
                    greeting.make, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
                )
                return
            if first:
                await loop.sock_sendall(connection, _ANSWER)
                with contextlib.suppress(BlockingIOError):
                    connection.recv(65536)  # what is left unread would turn the answer into a reset
                connection.shutdown(socket.SHUT_WR)
        except (OSError, TimeoutError) as error:
            _log.info("a TLS connection did not come about: %s", getattr(error, "reason", None) or type(error).__name__)


def taken(listener: socket.socket) -> list[socket.socket]:
    """The connections that wait on ``listener``, which is to be closed at once: that would reset them.

    From here on the kernel lets newcomers wait at the door, one but for the rest; they try again and find the door closed.
    """
    listener.listen(0)
    listener.setblocking(False)
    waiting = []
    with contextlib.suppress(OSError):  # BlockingIOError: nobody is left
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            waiting.append(connection)
    return waiting


async def _peek(connection: socket.socket) -> bytes:
    """The first byte, which stays there to be read again; nothing when the peer has closed."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)
