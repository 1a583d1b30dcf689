# SPDX-License-Identifier: Apache-2.0
"""Clients in a closed loop: each sends its next request when the last one was answered.

A client library costs more per request than the server under test, on a machine where both share the cores; so this one
writes requests that were made before the clock starts and reads of an answer its status and its length, nothing else. It runs in the
event loop of the servers that it asks.
"""

from __future__ import annotations

import asyncio
import re
import socket
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of the clients measured."""

    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float


def post(path: str, bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Requests in HTTP/1.1, one for each JSON body."""
    headers = {"Content-Type": "application/json"}
    return (encode(path, headers, body) for body in bodies)


def encode(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One request in HTTP/1.1."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


class Line:
    """One connection that is asked and waited for: the time from the first byte sent to the last byte read."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[bytes, float]:
        """The body of the answer, and the seconds that it took; an answer without success ends the benchmark."""
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(1 << 16)
        while (whole := _whole(answer)) is None:
            answer += self._socket.recv(1 << 16)
        elapsed = time.perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"the server answered {answer[:2000]!r}")
        return whole, elapsed

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _whole(answer: bytes) -> bytes | None:
    """The body, when all of it is there."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return body if blank and (length is None or len(body) >= int(length[1])) else None


async def load(url: str, requests: list[bytes], clients: int, seconds: float, *, status: int) -> Sample:
    """Send for ``seconds``, taking requests off the end; another status, or too few requests, end the benchmark."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = parts.hostname or "", parts.port or 80
    start = time.perf_counter()
    connected = [
        await loop.create_connection(lambda: _Client(requests, start + seconds, status), host, port)
        for _ in range(clients)
    ]
    latencies = [latency for _, client in connected for latency in await client.done]
    elapsed = time.perf_counter() - start
    ranked = sorted(latencies)
    p99 = ranked[(len(ranked) - 1) * 99 // 100]
    return Sample(clients, len(ranked) / elapsed, statistics.median(ranked) * 1000, p99 * 1000)


class _Client(asyncio.Protocol):
    def __init__(self, requests: list[bytes], end: float, status: int) -> None:
        self._requests = requests
        self._end = end
        self._expected = b"HTTP/1.1 %d " % status
        self._latencies: list[float] = []
        self._answer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport
        self.done: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # that of another event loop is not one by name
        self._send()

    def _send(self) -> None:
        self._answer = b""
        self._sent = time.perf_counter()
        if self._sent >= self._end:
            self._transport.close()
            self.done.set_result(self._latencies)
        elif self._requests:
            self._transport.write(self._requests.pop())
        else:
            self._fail("there were too few requests: prepare more")

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if _whole(self._answer) is not None:
            self._latencies.append(time.perf_counter() - self._sent)
            if self._answer.startswith(self._expected):
                self._send()
            else:
                self._fail(f"the server answered {self._answer[:2000]!r}")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the server closed the connection: {error}")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
            self._transport.close()
