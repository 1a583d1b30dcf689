# SPDX-License-Identifier: Apache-2.0
"""The listening socket of HTTPS, which tells whoever speaks plain HTTP to it what is wrong instead of hanging up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Final

from stack.gate import HANDSHAKE_S, Gate

_HANDSHAKE: Final = 0x16
"""The first byte of a TLS connection: a record of type handshake (RFC 8446 section 5.1)."""
_BODY: Final = b'{"code": 400, "message": "this port speaks HTTPS: use https:// in the URL"}'
_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_RETRY_S: Final = 0.1
_log = logging.getLogger("sigbox.tls")


class TlsPort:
    """Accepts on ``listener``, looks at the first byte, and hands TLS connections to ``gate``."""

    def __init__(self, listener: socket.socket, gate: Gate, context: ssl.SSLContext, backlog: int) -> None:
        listener.listen(backlog)
        listener.setblocking(False)
        self._listener, self._gate, self._context = listener, gate, context
        self._greeting: set[asyncio.Task[None]] = set()
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
        task = asyncio.create_task(self._greet(connection))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, connection: socket.socket) -> None:
        """Within ``HANDSHAKE_S`` the peer must say something, and within as much again be done with the handshake."""
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                first = await _peek(connection)
            if first == bytes((_HANDSHAKE,)):
                await loop.connect_accepted_socket(
                    self._gate, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
                )
                return
            if first:
                await loop.sock_sendall(connection, _ANSWER)
                with contextlib.suppress(BlockingIOError):
                    connection.recv(65536)  # what is left unread would turn the answer into a reset
                connection.shutdown(socket.SHUT_WR)
        except (OSError, TimeoutError) as error:
            _log.info("a TLS connection did not come about: %s", getattr(error, "reason", None) or type(error).__name__)
        connection.close()


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
