# SPDX-License-Identifier: Apache-2.0
"""O24: documents of issuers come over bounded requests that stay where they were sent."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ca import transport
from ca.transport import Access
from sigcore.errors import Malformed, SigError, Unavailable
from tests.unit.ca.tls_pair import make_tls_authority

AUTHORITY = make_tls_authority()
OTHER = make_tls_authority()


class Site:
    """A server that notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.elsewhere = ""
        app = web.Application()
        app.router.add_get("/{name}", self.answer)
        self.app = app

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        name = request.match_info["name"]
        return await getattr(self, name)(request)

    async def good(self, _):
        return web.Response(body=b"good")

    async def here(self, _):
        raise web.HTTPFound("/good")

    async def there(self, _):
        raise web.HTTPFound(self.elsewhere)

    async def round_and_round(self, _):
        raise web.HTTPTemporaryRedirect("/round_and_round")

    async def nowhere(self, _):
        return web.Response(status=302)

    async def large(self, _):
        return web.Response(body=b"x" * 101)

    async def endless(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async def compressed(self, _):
        return web.Response(body=gzip.compress(b"x" * 100), headers={"Content-Encoding": "gzip"})

    async def missing(self, _):
        raise web.HTTPNotFound

    async def broken(self, _):
        raise web.HTTPInternalServerError

    async def silent(self, _):
        await asyncio.sleep(60)


@pytest.fixture
async def site():
    made = Site()
    server = TestServer(made.app)
    await server.start_server()
    made.url = f"http://127.0.0.1:{server.port}"
    yield made
    await server.close()


@pytest.fixture
async def tls_site():
    made = Site()
    server = TestServer(made.app, host="localhost")
    await server.start_server(ssl=AUTHORITY.server)
    made.url = f"https://localhost:{server.port}"
    yield made
    await server.close()


async def refusal(url, kind=SigError, access=None, limit=100):
    with pytest.raises(kind) as caught:
        await (access or Access())(url, limit=limit)
    return str(caught.value)


async def test_a_document_and_a_redirect_within_its_host(site):
    assert await Access()(f"{site.url}/good", limit=4) == b"good"
    assert await Access()(f"{site.url}/here", limit=4) == b"good"
    (request, *_) = site.seen
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers
    assert "Cookie" not in request.headers


async def test_a_redirect_to_anywhere_else_is_not_followed(site):
    other = Site()
    async with TestServer(other.app) as server:
        for place in (
            f"http://127.0.0.1:{server.port}/good",
            f"https://127.0.0.1:{site.url.rpartition(':')[2]}/good",
            f"http://localhost:{site.url.rpartition(':')[2]}/good",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "data:text/plain,x",
            "http://169.254.169.254/latest",
            "//evil.example/good",
            "http://[::1]/",
            "http://[",
        ):
            site.elsewhere = place
            assert await refusal(f"{site.url}/there")
    assert other.seen == []
    assert len(site.seen) == 10


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("round_and_round", Malformed, "more than 3 times"),
        ("nowhere", Malformed, "redirected to"),
        ("large", Malformed, "more than 100 bytes"),
        ("endless", Malformed, "more than 100 bytes"),
        ("compressed", Malformed, "compressed"),
        ("missing", Unavailable, "answered 404"),
        ("broken", Unavailable, "answered 500"),
    ],
)
async def test_an_answer_that_is_not_taken(site, name, kind, message):
    assert message in await refusal(f"{site.url}/{name}", kind)
    assert len(site.seen) <= 1 + transport.REDIRECTS


async def test_a_server_that_does_not_answer_is_left(site, monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.2)
    assert "did not answer" in await refusal(f"{site.url}/silent", Unavailable)


async def test_nobody_is_there(unused_tcp_port):
    assert "cannot be read" in await refusal(f"http://127.0.0.1:{unused_tcp_port}/", Unavailable)


async def test_no_proxy_of_the_environment_is_asked(site, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await Access()(f"{site.url}/good", limit=4) == b"good"


async def test_tls_is_checked_against_the_rows_own_authority_and_no_other(tls_site):
    assert await Access(ca=AUTHORITY.pem)(f"{tls_site.url}/good", limit=4) == b"good"
    for access in (Access(), Access(ca=OTHER.pem)):
        assert "cannot be read" in await refusal(f"{tls_site.url}/good", Unavailable, access)
    by_address = tls_site.url.replace("localhost", "127.0.0.1")  # the certificate is for the name
    assert await refusal(f"{by_address}/good", Unavailable, Access(ca=AUTHORITY.pem))
    assert len(tls_site.seen) == 1


async def test_what_is_no_certificate_vouches_for_nobody(tls_site):
    assert "not in PEM" in await refusal(f"{tls_site.url}/good", Malformed, Access(ca="no certificate"))


async def test_a_bearer_token_goes_to_the_issuers_own_origin_only(site):
    access = Access(bearer=lambda: "secret", bearer_origin=site.url)
    await access(f"{site.url}/here", limit=4)
    assert [request.headers.get("Authorization") for request in site.seen] == ["Bearer secret"] * 2
    elsewhere = Access(bearer=lambda: "secret", bearer_origin="http://127.0.0.1:1")
    await elsewhere(f"{site.url}/good", limit=4)
    assert "Authorization" not in site.seen[-1].headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001"])
async def test_a_host_of_somebodys_choice_does_not_lead_into_a_private_network(site, host):
    url = site.url.replace("127.0.0.1", host)
    assert "cannot be read" in await refusal(f"{url}/good", Unavailable, Access(public_only=True))
    assert site.seen == []
