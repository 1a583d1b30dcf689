# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client.transport import REQUEST_TIMEOUT_S, AiohttpTransport, Response, ServiceRefused, call
from sigcore.errors import Malformed, Refused, Unavailable
from stack.cli import log_options
from tests.ports import free_port


@asynccontextmanager
async def serving(handler):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("/x"))


class Canned:
    """A transport that always answers the same."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.response = Response(status, body)

    async def request(self, *_, **__):
        return self.response


async def ask(transport) -> bytes:
    return await call(transport, "GET", "http://h/x", service="the log", headers={})


async def test_request_and_answer_pass_through_unchanged():
    async def echo(request):
        seen = {"method": request.method, "path": request.path, "type": request.headers["Content-Type"]}
        seen["encoding"] = request.headers["Accept-Encoding"]
        return web.Response(status=418, text=json.dumps(seen | {"body": (await request.read()).hex()}))

    async with serving(echo) as url, AiohttpTransport() as transport:
        answer = await transport.request("POST", url, headers={"Content-Type": "a/b"}, body=b"\x00\xff", limit=1000)
    assert answer.status == 418
    assert json.loads(answer.body) == {
        "method": "POST",
        "path": "/x",
        "type": "a/b",
        "encoding": "identity",
        "body": "00ff",
    }


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_beyond_the_limit_is_refused(chunked):
    async def big(request):
        answer = web.StreamResponse()
        if chunked:
            answer.enable_chunked_encoding()
        await answer.prepare(request)
        for _ in range(11):
            await answer.write(b"x" * 10)
        return answer

    async with serving(big) as url, AiohttpTransport() as transport:
        with pytest.raises(Malformed, match="longer than 100 bytes"):
            await transport.request("GET", url, headers={}, body=None, limit=100)
        assert len((await transport.request("GET", url, headers={}, body=None, limit=110)).body) == 110


async def test_no_answer_in_time_is_unavailable():
    release = asyncio.Event()

    async def silent(request):
        await release.wait()
        return web.Response()

    async with serving(silent) as url, AiohttpTransport(timeout_s=0.05) as transport:
        with pytest.raises(Unavailable, match=r"did not answer within 0.05 s"):
            await transport.request("GET", url, headers={}, body=None, limit=100)
        release.set()


async def test_no_connection_is_unavailable_and_says_why():
    async with AiohttpTransport() as transport:
        port = free_port()
        with pytest.raises(Unavailable, match=rf"/ cannot be reached: connection refused \(port {port}\)"):
            await transport.request("GET", f"http://127.0.0.1:{port}/", headers={}, body=None, limit=1)
        with pytest.raises(Unavailable, match=r"cannot be reached: the name 'no\.invalid' has no address \(DNS: "):
            await transport.request("GET", "http://no.invalid/", headers={}, body=None, limit=1)


async def test_no_url_is_malformed():
    async with AiohttpTransport() as transport:
        with pytest.raises(Malformed, match="no http or https URL"):
            await transport.request("GET", "http://", headers={}, body=None, limit=1)


async def test_redirects_are_not_followed():
    followed = []

    async def redirect(request):
        followed.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(redirect) as url, AiohttpTransport() as transport:
        with pytest.raises(ServiceRefused, match="answered 307") as caught:
            await call(transport, "POST", url, service="the log", headers={"Authorization": "Bearer x"})
    assert caught.value.status == 307
    assert followed == ["/x"]


async def test_the_environment_and_cookies_play_no_role(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    seen = []

    async def note(request):
        seen.append((request.headers.get("Authorization"), request.headers.get("Cookie")))
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with serving(note) as url, AiohttpTransport() as transport:
        for _ in range(2):
            await transport.request("GET", url, headers={}, body=None, limit=10)
    assert seen == [(None, None)] * 2


async def test_use_outside_the_context_is_a_programming_error():
    with pytest.raises(RuntimeError, match="async with"):
        await AiohttpTransport().request("GET", "http://h", headers={}, body=None, limit=1)


async def test_an_expected_status_gives_the_body():
    assert await ask(Canned(200, b"yes")) == b"yes"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413])
async def test_a_refusal_carries_status_and_words(status):
    with pytest.raises(ServiceRefused, match=f"the log at http://h/x answered {status}: 'no such thing'") as caught:
        await ask(Canned(status, b'{"code":5,"message":"no such thing"}'))
    assert isinstance(caught.value, Refused)
    assert caught.value.status == status


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_trouble_at_the_service_is_unavailable(status):
    with pytest.raises(Unavailable, match=f"answered {status}: 'out of order'"):
        await ask(Canned(status, b"out of order\n"))


async def test_words_of_a_service_are_escaped_and_cut():
    with pytest.raises(ServiceRefused) as caught:
        await ask(Canned(400, b"\x1b[31m\xff" + b"x" * 1000))
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400


async def test_a_success_that_was_not_expected_is_refused():
    with pytest.raises(ServiceRefused, match=r"answered 204: \(nothing\)"):
        await ask(Canned(204))


def test_the_help_that_imports_no_http_says_the_timeout_of_the_transport():
    assert log_options.TIMEOUT_S == REQUEST_TIMEOUT_S
