# SPDX-License-Identifier: Apache-2.0
"""The gate: who is slow is cut off, who is not is left alone, and there is always room for one more."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from aiohttp import web

from stack.edge import Edge, make_edge_app
from stack.gate import Gate, Pace
from stack.logs import RequestLog
from stack.traffic import Traffic
from tests.until import until

FAST = Pace(head_s=0.15, body_s=0.3, body_rate=100_000, write_s=0.4, idle_s=0.5, look_s=0.02)
END_S = 60
GET = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"


@dataclass
class Served:
    gate: Gate
    edge: Edge
    port: int
    release: asyncio.Event
    working: list[web.Request]
    """Requests that wait for ``release``."""

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)


async def hello(_request):
    return web.json_response({"hello": "world"})


async def length(request):
    return web.json_response({"length": len(await request.read())})


async def large(_request):
    return web.Response(body=bytes(64 << 20))


async def small(_request):
    return web.Response(body=bytes(1 << 16))


@asynccontextmanager
async def serving(pace=FAST, most=100):
    edge, release = Edge(Traffic(), RequestLog("json", io.StringIO())), asyncio.Event()
    working: list[web.Request] = []

    async def slow(request):
        working.append(request)
        await release.wait()
        return web.json_response({"slow": True})

    app = make_edge_app(edge)
    app.add_routes(
        [
            web.get("/hello", hello),
            web.post("/length", length),
            web.get("/large", large),
            web.get("/small", small),
            web.get("/slow", slow),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    gate = Gate(runner.server, most=most, pace=pace)
    server = await asyncio.get_running_loop().create_server(gate, "127.0.0.1", 0)
    try:
        yield Served(gate, edge, server.sockets[0].getsockname()[1], release, working)
    finally:
        server.close()
        gate.close()
        await runner.cleanup()


async def read_all(reader):
    async with asyncio.timeout(END_S):
        return await reader.read()


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(size)


# --- deadlines -----------------------------------------------------------------------------------------
async def test_who_connects_and_says_nothing_is_closed_d01():
    async with serving() as served:
        reader, writer = await served.connect()
        assert await read_all(reader) == b""
        writer.close()
        assert served.gate.cut == 1


@pytest.mark.parametrize("sent", [b"GET /", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: "])
async def test_who_dribbles_its_head_is_told_so_and_closed_d01(sent):
    async with serving() as served:
        reader, writer = await served.connect()
        dribbled = asyncio.create_task(dribble(writer, sent))
        answer = await read_all(reader)
        dribbled.cancel()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["code"] == 408
        assert int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]) == len(body)


async def dribble(writer, first):
    writer.write(first)
    while True:
        await asyncio.sleep(0.02)
        writer.write(b"x")


async def test_who_dribbles_its_body_is_closed_d01():
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        dribbled = asyncio.create_task(dribble(writer, b"x"))
        answer = await read_all(reader)
        dribbled.cancel()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_arrives_at_the_pace_is_taken_however_long_it_is():
    async with serving() as served:
        reader, writer = await served.connect()
        piece, size = bytes(40_000), 20 * 40_000  # each gives 0.4 s more: a busy machine is not too slow for that
        writer.write(b"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(20):  # 0.6 s, twice what a body without progress gets
            writer.write(piece)
            await asyncio.sleep(0.03)
        async with asyncio.timeout(END_S):
            _, body = await read_answer(reader)
        writer.close()
        assert json.loads(body) == {"length": size}


async def test_a_connection_that_is_kept_may_be_idle_and_is_then_closed_without_a_word():
    async with serving(replace(FAST, idle_s=2.0)) as served:
        reader, writer = await served.connect()
        for _ in range(2):
            writer.write(GET)
            head, _ = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.25)  # longer than a head may take
        assert await read_all(reader) == b""
        writer.close()


async def test_who_does_not_read_the_answer_is_dropped_d01():
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        async with asyncio.timeout(END_S):
            while served.gate.connections:
                await asyncio.sleep(0.02)
        writer.transport.abort()
        assert served.gate.cut == 1


async def test_an_answer_that_waits_in_the_kernel_is_not_being_read_either_d01(caplog):
    caplog.set_level("INFO", "sigbox.gate")
    async with serving() as served:
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(("127.0.0.1", served.port))
            peer.sendall(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
            async with asyncio.timeout(END_S):
                while not served.gate.cut:
                    assert not any(one.transport.get_write_buffer_size() for one in served.gate.connections)
                    await asyncio.sleep(0.02)
    assert "the answer is not being read" in caplog.text


async def test_a_handler_that_works_is_not_hurried():
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.7)  # longer than every deadline
        served.release.set()
        async with asyncio.timeout(END_S):
            _, body = await read_answer(reader)
        writer.close()
        assert json.loads(body) == {"slow": True}


# --- too many ------------------------------------------------------------------------------------------
async def test_when_full_the_one_that_waits_longest_makes_room():
    async with serving(pace=Pace(), most=3) as served:
        idle = [await served.connect() for _ in range(3)]
        await until(lambda: len(served.gate.connections) == 3)
        reader, writer = await served.connect()
        writer.write(GET)
        async with asyncio.timeout(END_S):
            head, _ = await read_answer(reader)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await read_all(idle[0][0]) == b""
        for _, other in (*idle, (reader, writer)):
            other.close()


async def test_when_full_half_a_body_makes_room_too_d01():
    async with serving(pace=Pace(), most=2) as served:
        halves = [await served.connect() for _ in range(2)]
        for _, writer in halves:
            writer.write(b"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
        await until(lambda: [one.quiet for one in served.gate.connections] == [False] * 2)
        reader, writer = await served.connect()
        writer.write(GET)
        async with asyncio.timeout(END_S):
            head, _ = await read_answer(reader)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (await read_all(halves[0][0])).startswith(b"HTTP/1.1 408 ")
        for _, other in (*halves, (reader, writer)):
            other.close()


async def test_when_all_are_busy_the_new_one_is_turned_away_and_no_other():
    async with serving(pace=Pace(), most=2) as served:
        busy = [await served.connect() for _ in range(2)]
        for _, writer in busy:
            writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: len(served.working) == 2)
        reader, writer = await served.connect()
        assert await closed(reader)
        served.release.set()
        for old, _ in busy:
            async with asyncio.timeout(END_S):
                head, _ = await read_answer(old)
            assert head.startswith(b"HTTP/1.1 200 ")
        for _, other in (*busy, (reader, writer)):
            other.close()


async def closed(reader):
    try:
        return await read_all(reader) == b""
    except ConnectionError:
        return True


# --- the end -------------------------------------------------------------------------------------------
async def test_draining_finishes_what_is_under_way_and_says_that_the_connection_ends_f11():
    async with serving(pace=Pace()) as served:
        (busy, writer), (idle, other) = await served.connect(), await served.connect()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: served.working)
        served.edge.draining = True
        drained = asyncio.create_task(served.gate.drain(END_S))
        assert await read_all(idle) == b""
        assert not drained.done()
        served.release.set()
        head, body = await read_answer(busy)
        assert b"connection: close" in head.lower()
        assert json.loads(body) == {"slow": True}
        await asyncio.wait_for(drained, END_S)
        assert not served.gate.connections
        writer.close()
        other.close()


async def test_draining_waits_for_a_request_whose_head_has_begun_f11():
    """Its rest comes later than a connection without a word is closed."""
    async with serving(pace=Pace()) as served:
        (slow, writer), (idle, other) = await served.connect(), await served.connect()
        writer.write(GET[:10])
        async with asyncio.timeout(END_S):
            while not any(not one.waiting for one in served.gate.connections):
                await asyncio.sleep(0.01)
        drained = asyncio.create_task(served.gate.drain(END_S))
        assert await read_all(idle) == b""
        writer.write(GET[10:-2] + b"Connection: close\r\n\r\n")
        head, body = await read_answer(slow)
        assert (head[:13], json.loads(body)) == (b"HTTP/1.1 200 ", {"hello": "world"})
        await asyncio.wait_for(drained, END_S)
        writer.close()
        other.close()


async def test_draining_ends_in_time_whoever_is_still_there():
    async with serving(pace=Pace()) as served:
        reader, writer = await served.connect()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: served.working)
        await asyncio.wait_for(served.gate.drain(0.2), END_S)
        assert (await read_all(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
