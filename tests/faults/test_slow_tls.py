# SPDX-License-Identifier: Apache-2.0
"""Nine hundred slow connections over TLS, of four kinds at once (D01): all are closed in time, and nobody else notices.

Who says no hello has 5 s, a head 10 s, a body 25 s, an answer that nobody takes 25 s; the gate looks once per second. That a connection
is closed is seen by its client; where that takes nothing, it is in the stack's log.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.faults.writers import Sent
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

COUNTS = {"handshake": 200, "head": 300, "body": 200, "deaf": 200}
ALLOWED_S = {"handshake": 5, "head": 10, "body": 25, "deaf": 25}
LATE_S = 4.0
"""Its look once per second, and the wait for a processor on both sides."""
DRIBBLE_S = 1.0
AT_MOST_S = 60
P95_S = 0.25
MEMORY = 128 * 2**20
AT_ONCE = 20
"""So many connections are made at one time: nine hundred greetings at once would be another attack."""
HELLO = b"\x16\x03\x01\x02\x00\x01"
"""The first bytes of a hello that does not come."""
HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n"
UNREAD = "the answer is not being read"
BODY = b"POST /api/v2/log/entries HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n{"
ENTRIES = 64
MANY = b"GET /api/v2/tile/entries/000.p/%d HTTP/1.1\r\nHost: h\r\n\r\n" % ENTRIES * 30
"""A megabyte of answers, which cost next to nothing to make."""


class Attack:
    """The connections, the good requests beside them, and what became of both."""

    def __init__(self, stack: RunningStack) -> None:
        self.process, self.log = stack.process.pid, stack.log
        self.port = urlsplit(stack.url).port
        self.context = ssl.create_default_context(cafile=stack.data / "public" / "tls_ca.pem")
        self.making = asyncio.Semaphore(AT_ONCE)
        self.closed = dict.fromkeys(COUNTS, 0.0)
        self.times: list[float] = []

    async def run(self) -> None:
        """All four kinds, until the last of them is gone."""
        kinds = {
            "handshake": lambda: self.dribble("handshake", HELLO, b"", None),
            "head": lambda: self.dribble("head", HEAD + b"X: ", b"x", self.context),
            "body": lambda: self.dribble("body", BODY, b" ", self.context),
            "deaf": self.deaf,
        }
        attackers = asyncio.gather(*(kinds[kind]() for kind, count in COUNTS.items() for _ in range(count)))
        good = asyncio.create_task(self.good())
        writers = [writer for writer in await attackers if writer is not None]
        while (unread := self.log.read_text("utf-8").count(UNREAD)) < COUNTS["deaf"]:
            assert time.monotonic() - self.asked < AT_MOST_S, f"{unread} that take nothing were closed"
            await asyncio.sleep(0.5)
        self.closed["deaf"] = time.monotonic() - self.asked
        good.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(good, return_exceptions=True)

    async def dribble(self, kind: str, first: bytes, more: bytes, context: ssl.SSLContext | None) -> None:
        """Say ``first``, then ``more`` now and then, until it is closed."""
        reader, writer = await self.connect(context)
        began = time.monotonic()
        writer.write(first)
        end = asyncio.create_task(reader.read())
        while not (await asyncio.wait((end,), timeout=DRIBBLE_S))[0]:
            writer.write(more)
        writer.transport.abort()
        await asyncio.gather(end, return_exceptions=True)
        self.closed[kind] = max(self.closed[kind], time.monotonic() - began)

    async def deaf(self) -> asyncio.StreamWriter:
        """Ask for much and take nothing."""
        _, writer = await self.connect(self.context)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # every transport of a stream has it
        writer.write(MANY)
        self.asked = time.monotonic()
        return writer

    async def connect(self, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of small segments, for which the kernel keeps some 100 KB of answers and not megabytes."""
        async with self.making:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
            raw.setblocking(False)
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
            named = {"server_hostname": "localhost"} if context else {}
            return await asyncio.open_connection(sock=raw, ssl=context, **named)

    async def good(self) -> None:
        """One good request after the other, each on a connection of its own."""
        while True:
            began = time.monotonic()
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.context, server_hostname="localhost"
            )
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            self.times.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    def memory(self, row: str) -> int:
        """``VmRSS``, or ``VmHWM``, the most that there was, in bytes."""
        found = re.search(rf"{row}:\s+(\d+) kB", Path(f"/proc/{self.process}/status").read_text("ascii"))
        assert found
        return int(found[1]) * 1024


async def fill(stack: RunningStack, context: ssl.SSLContext) -> None:
    """Some entries, to be read as one bundle."""
    async with aiohttp.ClientSession(stack.url, connector=aiohttp.TCPConnector(ssl=context)) as session:

        async def add() -> None:
            async with session.post("/api/v2/log/entries", data=Sent.make().request()) as answer:
                assert answer.status == 201

        await asyncio.gather(*(add() for _ in range(ENTRIES)))


@pytest.mark.alone
def test_nine_hundred_slow_connections_over_tls_end_and_nobody_else_notices_d01(tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data", "--tls", "auto", forked=False) as stack:
        attack = Attack(stack)
        asyncio.run(fill(stack, attack.context))
        idle = attack.memory("VmRSS")
        asyncio.run(attack.run())
        grown = attack.memory("VmHWM") - idle
    p95 = sorted(attack.times)[len(attack.times) * 95 // 100]
    print(
        f"\n{sum(COUNTS.values())} closed within "
        + ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in attack.closed.items())
        + f"; {len(attack.times)} others: p95 {p95 * 1000:.0f} ms; memory +{grown / 2**20:.0f} MiB"
    )
    for kind, seconds in attack.closed.items():
        assert ALLOWED_S[kind] <= seconds <= ALLOWED_S[kind] + LATE_S, kind
    assert p95 <= P95_S
    assert grown <= MEMORY
