# SPDX-License-Identifier: Apache-2.0
"""Hundreds of slow clients with the deadlines that users have (D01), and more clients than file descriptors (F15)."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

DRIBBLING, SILENT = 500, 200
CLOSED_S = 15
DRIBBLE_S = 1.0
P95_S = 0.25
GET = b"GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


async def valid(stack: RunningStack) -> float:
    """Seconds that one good request took."""
    url, began = urlsplit(stack.url), time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", url.port)
    writer.write(GET)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return time.monotonic() - began


async def slow(stack: RunningStack, first: bytes) -> float:
    """Seconds until the stack closed a connection on which ``first`` was said, and then a byte now and then."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(stack.url).port)
    writer.write(first)
    end = asyncio.create_task(reader.read())
    while not (await asyncio.wait((end,), timeout=DRIBBLE_S))[0]:
        if first:
            writer.write(b"x")
    writer.transport.abort()
    await asyncio.gather(end, return_exceptions=True)
    return time.monotonic() - began


@pytest.mark.alone
def test_slow_clients_are_cut_off_and_the_others_do_not_notice_d01(tmp_path: Path):
    async def attack(stack: RunningStack) -> tuple[list[float], list[float]]:
        heads = [slow(stack, b"GET / HTTP/1.1\r\nHost: h\r\nX: ") for _ in range(DRIBBLING)]
        attackers = asyncio.gather(*heads, *(slow(stack, b"") for _ in range(SILENT)))
        times = []
        while not attackers.done():
            times.append(await valid(stack))
            await asyncio.sleep(0.05)
        return await attackers, times

    with running_stack(tmp_path, "--ephemeral", forked=False) as stack:
        closed, times = asyncio.run(attack(stack))
    p95 = sorted(times)[len(times) * 95 // 100]
    print(
        f"\n{len(closed)} slow connections closed within {max(closed):.1f} s; {len(times)} others: p95 {p95 * 1000:.0f} ms"
    )
    assert max(closed) <= CLOSED_S
    assert min(closed) > 5
    assert p95 <= P95_S


def test_more_connections_than_file_descriptors_leave_room_for_a_good_request_f15(tmp_path: Path):
    async def crowd(stack: RunningStack) -> None:
        idle = [await asyncio.open_connection("127.0.0.1", urlsplit(stack.url).port) for _ in range(400)]
        async with asyncio.timeout(CLOSED_S):
            for _ in range(20):
                await valid(stack)
        for _, writer in idle:
            writer.transport.abort()
        async with asyncio.timeout(CLOSED_S):
            await valid(stack)

    with ExitStack() as running:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            stack = running.enter_context(running_stack(tmp_path, "--data", tmp_path / "data"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        asyncio.run(crowd(stack))
