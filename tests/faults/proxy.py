# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between two services that refuses, delays, cuts and lies: one request per connection, one fault at a time."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from tests.ports import free_port

WAIT_S = 60
"""Longer than anybody waits for an answer."""


class Fault(Enum):
    """What happens to a request, or to its answer."""

    NONE = "nothing"
    REFUSE = "the connection is refused"
    SILENCE = "no answer ever"
    DELAY = "the answer comes after 5 s"
    LOST = "the request arrives, the connection is reset before the answer"
    CUT_HEAD = "the connection is reset inside the answer's head"
    CUT_BODY = "the connection ends inside the answer's body"
    ERROR = "500 instead of the answer"
    GARBAGE = "200 with something else"
    REPLAY = "a good answer, to a POST before"


class Proxy:
    """Listens on a port of its own for ``target``, a port of loopback."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.fault = Fault.NONE
        self.times = 0
        """How many requests the fault is for; 0 for all of them."""
        self.requests = 0
        """Answered or not, since the fault was set."""
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._stopped = threading.Event()
        self._before = b""
        """The last good answer to a POST."""
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def set(self, fault: Fault, times: int = 0) -> None:
        """From now on this happens; connections that are open get it too."""
        self.fault, self.times, self.requests = fault, times, 0
        closed = self._listener.fileno() < 0
        if fault is Fault.REFUSE and not closed:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if fault is not Fault.REFUSE and closed:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @contextmanager
    def during(self, fault: Fault, times: int = 0) -> Iterator[None]:
        """The fault for the length of a block."""
        self.set(fault, times)
        try:
            yield
        finally:
            self.set(Fault.NONE)

    def close(self) -> None:
        """No connections any more."""
        self._stopped.set()
        self.set(Fault.REFUSE)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(WAIT_S)
            request = _message(connection)
            if not request:
                return
            self.requests += 1
            fault = self.fault if not self.times or self.requests <= self.times else Fault.NONE
            self._pass(connection, request, fault)

    def _pass(self, connection: socket.socket, request: bytes, fault: Fault) -> None:
        if fault is Fault.SILENCE:
            self._stopped.wait(WAIT_S)
            return
        if fault is Fault.ERROR:
            connection.sendall(_answer(b"500 Internal Server Error", b"oops"))
            return
        if fault is Fault.GARBAGE:
            connection.sendall(_answer(b"200 OK", b'{"what": "something else"}'))
            return
        if fault is Fault.REPLAY:
            connection.sendall(self._before)
            return
        answer = self._ask(request)
        if request.startswith(b"POST") and fault is Fault.NONE:
            self._before = answer
        if fault is Fault.DELAY:
            time.sleep(5)
        if fault is Fault.LOST:
            _reset(connection)
        elif fault is Fault.CUT_HEAD:
            connection.sendall(answer[:12])
            _reset(connection)
        elif fault is Fault.CUT_BODY:
            connection.sendall(answer[:-10])
        else:
            connection.sendall(answer)

    def _ask(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        head = re.sub(rb"(?im)^connection:[^\r]*\r\n", b"", head) + b"\r\nConnection: close"
        with socket.create_connection(("127.0.0.1", self.target), timeout=WAIT_S) as service:
            service.sendall(head + b"\r\n\r\n" + body)
            parts = []
            while part := service.recv(65536):
                parts.append(part)
        return b"".join(parts)


def _message(connection: socket.socket) -> bytes:
    """A request with the body that its Content-Length announces."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"(?im)^content-length: *(\d+)", head)
    while len(body) < (int(found[1]) if found else 0):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def _answer(status: bytes, body: bytes) -> bytes:
    length = b"%d" % len(body)
    head = b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: " + length))
    return head + b"\r\nConnection: close\r\n\r\n" + body


def _reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
