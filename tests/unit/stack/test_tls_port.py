# SPDX-License-Identifier: Apache-2.0
"""Handshakes that are under way are connections: there are no more of them than there may be, and the end waits for them."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import web

from stack.edge import Edge, make_edge_app
from stack.gate import Gate
from stack.logs import RequestLog
from stack.tls_port import TlsPort
from stack.traffic import Traffic
from tests.unit.ca.tls_pair import make_tls_authority
from tests.until import until

AUTHORITY = make_tls_authority()
CONTEXT = ssl.create_default_context(cadata=AUTHORITY.pem)
HELLO = b"\x16\x03\x01\x02\x00\x01"
"""The first bytes of a hello that does not come."""
MOST = 8
END_S = 20


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Runs a coroutine on one of the two loops that there are."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@asynccontextmanager
async def serving():
    """A port with its gate, and where it is."""

    async def hello(_request):
        return web.Response(text="hello")

    app = make_edge_app(Edge(Traffic(), RequestLog("json", io.StringIO())))
    app.add_routes([web.get("/", hello)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    gate, listener = Gate(runner.server, most=MOST), socket.create_server(("127.0.0.1", 0))
    port = TlsPort(listener, gate, AUTHORITY.server, 100)
    try:
        yield gate, port, listener.getsockname()[1]
    finally:
        port.close()
        await gate.drain(0)
        gate.close()
        await runner.cleanup()


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=CONTEXT, server_hostname="localhost")
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("said", [b"", HELLO])
def test_half_open_handshakes_make_room_for_others_d01(run, said):
    run(half_open(said))


async def half_open(said):
    async with serving() as (gate, _, port), asyncio.timeout(END_S):
        ends = []
        for number in range(1, 4 * MOST):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            ends.append((reader, writer))
            await until(lambda: len(gate.connections) + gate.cut == number)  # noqa: B023 - it is awaited here
            assert len(gate.connections) <= MOST
        for reader, _ in ends[: 3 * MOST - 1]:
            assert await reader.read() == b""  # those that have been there for longest
        assert (await ask(port)).endswith(b"hello")
        for _, writer in ends:
            writer.close()
        await until(lambda: not gate.connections)


def test_a_handshake_that_becomes_a_connection_is_one_of_them(run):
    run(become())


async def become():
    async with serving() as (gate, _, port), asyncio.timeout(END_S):
        made = [
            await asyncio.open_connection("127.0.0.1", port, ssl=CONTEXT, server_hostname="localhost")
            for _ in range(MOST)
        ]
        await until(lambda: len(gate.connections) == MOST)
        assert gate.cut == 0
        for reader, writer in made:
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"hello")
            writer.close()
        await until(lambda: not gate.connections)


def test_the_end_waits_for_a_handshake_that_has_begun_f11(run):
    """Its hello comes in two pieces, and between them a connection without a word is closed."""
    run(ended())


async def ended():
    async with serving() as (gate, port, number), asyncio.timeout(END_S):
        with (
            socket.create_connection(("127.0.0.1", number)) as connection,
            socket.create_connection(("127.0.0.1", number)) as silent,
        ):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = CONTEXT.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            hello = outgoing.read()
            connection.sendall(hello[:100])
            await until(lambda: [one.quiet for one in gate.connections].count(False) == 1)
            port.close()
            drained = asyncio.create_task(gate.drain(END_S))
            assert await asyncio.to_thread(silent.recv, 1) == b""
            connection.sendall(hello[100:])
            assert (await asyncio.to_thread(finish, connection, tls, incoming, outgoing)).endswith(b"hello")
        await drained


def finish(connection: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> bytes:
    """The rest of the handshake, one request, and what is answered."""

    def repeated(step, *arguments):
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))

    repeated(tls.do_handshake)
    tls.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    connection.sendall(outgoing.read())
    answer = b""
    while not answer.endswith(b"hello"):
        answer += repeated(tls.read, 65536)
    return answer
