# SPDX-License-Identifier: Apache-2.0
"""Who asks, behind a proxy that says so and in front of everybody else."""

from __future__ import annotations

import io

import pytest
from aiohttp import web

from stack.edge import Edge, make_edge_app
from stack.logs import RequestLog
from stack.traffic import Traffic


async def asker(aiohttp_client, *forwarded: str, behind_proxy: bool) -> str:
    async def remote(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        return web.Response(text=f"{request.remote} {body} {request.match_info['name']}")

    app = make_edge_app(Edge(Traffic(), RequestLog("json", io.StringIO()), behind_proxy=behind_proxy))
    app.add_routes([web.post("/{name}", remote)])
    client = await aiohttp_client(app)
    headers = [("X-Forwarded-For", value) for value in forwarded]
    async with client.post("/route", data=b"body", headers=headers) as answer:
        address, body, name = (await answer.text()).split()
    assert (body, name) == ("body", "route"), "the request is still the same"
    return address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (("198.51.100.7",), "198.51.100.7"),
        (("203.0.113.1, 198.51.100.7",), "198.51.100.7"),
        (("203.0.113.1", "198.51.100.7"), "198.51.100.7"),
        (("198.51.100.7,   2001:db8::1",), "2001:db8::1"),
        ((), "127.0.0.1"),
        (("unknown",), "127.0.0.1"),
        (("198.51.100.7, ",), "127.0.0.1"),
        (("198.51.100.7:4711",), "127.0.0.1"),
        (("9" * 4000,), "127.0.0.1"),
    ],
)
async def test_the_last_address_that_the_proxy_wrote_counts_and_what_is_none_does_not(
    aiohttp_client, forwarded, address
):
    assert await asker(aiohttp_client, *forwarded, behind_proxy=True) == address


async def test_without_a_proxy_nobody_says_who_he_is(aiohttp_client):
    assert await asker(aiohttp_client, "198.51.100.7", behind_proxy=False) == "127.0.0.1"
