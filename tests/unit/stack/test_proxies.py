# SPDX-License-Identifier: Apache-2.0
"""Issuers and providers of others through a CONNECT proxy: who goes through it, who never does, and that all bounds stay."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ca import transport
from ca.transport import Access
from sigcore.errors import Malformed, SigError, Unavailable
from sigcore.proxy import Proxy
from stack.issuers import load_issuers
from stack.outside import Fetcher
from stack.proxies import outside
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.unit.ca.tls_pair import make_tls_authority

HOST = "login.corp.example"
"""A host that no resolver of this machine knows: only the proxy can lead there."""
AUTHORITY = make_tls_authority(HOST)
URL = f"https://{HOST}/keys"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def site() -> AsyncIterator[TestServer]:
    """The host, with documents of every kind."""

    async def answer(request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        if what == "elsewhere":
            raise web.HTTPFound("https://other.example/keys")
        if what == "large":
            return web.Response(body=b" " * (256 * 1024 + 1))
        assert "Proxy-Authorization" not in request.headers
        return web.Response(body=b"{}")

    app = web.Application()
    app.add_routes([web.get("/{what}", answer)])
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=AUTHORITY.server)
    yield server
    await server.close()


@pytest.fixture
async def proxy(site: TestServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectProxy]:
    """The proxy of the environment, which leads to that host."""
    assert site.port is not None
    async with connect_proxy(("127.0.0.1", site.port)) as running:
        monkeypatch.setenv("HTTPS_PROXY", running.url)
        yield running


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    (tmp_path / "ca.pem").write_text(AUTHORITY.pem)
    return str(tmp_path / "ca.pem")


async def test_documents_of_an_issuer_and_of_an_upstream_provider_come_through_it(proxy: ConnectProxy, ca_file: str):
    assert await Access(AUTHORITY.pem, way=outside)(URL, limit=100) == b"{}"
    assert await Fetcher("Corp", ca_file).fetch(URL) == b"{}"
    assert proxy.asked == [f"CONNECT {HOST}:443"] * 2


async def test_a_row_of_the_issuer_table_goes_through_it(proxy: ConnectProxy, tmp_path: Path, ca_file: str):
    (tmp_path / "c.toml").write_text(f'[[issuers]]\nurl = "https://{HOST}"\nkind = "email"\nca_file = "{ca_file}"\n')
    (issuer,) = load_issuers(tmp_path / "c.toml").issuers
    with pytest.raises(SigError):
        await issuer.keys.find("key")  # the document has no jwks_uri; that it was asked for is the point
    assert set(proxy.asked) == {f"CONNECT {HOST}:443"}


async def test_without_the_variable_nobody_goes_there(proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HTTPS_PROXY")
    with pytest.raises(Unavailable):
        await Access(AUTHORITY.pem, way=outside)(URL, limit=100)
    assert proxy.asked == []


async def test_who_was_given_no_way_goes_straight_whatever_the_environment_says(proxy: ConnectProxy):
    """The authority's own log, and the keys of the stack's own provider."""
    with pytest.raises(Unavailable):
        await Access(AUTHORITY.pem)(URL, limit=100)
    assert proxy.asked == []


@pytest.mark.parametrize("no_proxy", [HOST, "corp.example", ".corp.example", "x,corp.example", "*"])
def test_no_proxy_names_hosts_and_their_subdomains(monkeypatch: pytest.MonkeyPatch, no_proxy: str):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert outside(URL) is not None
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert outside(URL) is None
    assert (outside("https://corp.example.org/") is None) == (no_proxy == "*")


@pytest.mark.parametrize(
    "url", ["https://localhost:7780/keys", "https://127.0.0.1/", "https://[::1]:1/", "http://login.corp.example/"]
)
def test_loopback_and_plain_http_never_go_through_it(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert outside(url) is None


async def test_its_password_is_for_the_proxy_alone_and_in_no_message(
    site: TestServer, monkeypatch: pytest.MonkeyPatch, ca_file: str
):
    assert site.port is not None
    expected = "Basic b3BlcmF0b3I6c0BjcmV0"
    async with connect_proxy(("127.0.0.1", site.port), password=expected) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//operator:s%40cret@"))
        assert await Access(AUTHORITY.pem, way=outside)(URL, limit=100) == b"{}"
        assert await Fetcher("Corp", ca_file).fetch(URL) == b"{}"
        assert proxy.credentials == [expected] * 2
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//operator:wr0ng@"))
        for fetch in (Access(AUTHORITY.pem, way=outside)(URL, limit=100), Fetcher("Corp", ca_file).fetch(URL)):
            with pytest.raises(Unavailable, match="Proxy Authentication Required") as refused:
                await fetch
            assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["ftp://h:1", "https://h:1", "socks5://h", "http://", "http://h:x", "http://h/p", "//"]
)
def test_a_proxy_that_cannot_be_used_is_said_without_its_password(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("HTTPS_PROXY", text.replace("//h", "//u:s3cret@h"))
    with pytest.raises(Malformed, match="HTTPS_PROXY") as refused:
        outside(URL)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", ["proxy:3128", "http://proxy:3128", "http://proxy:3128/"])
def test_a_proxy_is_written_as_curl_takes_it(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("https_proxy", text)
    assert outside(URL) == Proxy("http://proxy:3128")


# --- the bounds stay (O24) ---------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["large", "elsewhere"])
async def test_size_and_redirects_are_bounded_there_too(proxy: ConnectProxy, ca_file: str, what: str):
    url = f"https://{HOST}/{what}"
    with pytest.raises(Malformed):
        await Access(AUTHORITY.pem, way=outside)(url, limit=1000)
    with pytest.raises(SigError, match=r"longer than|answered 302"):
        await Fetcher("Corp", ca_file).fetch(url)
    assert set(proxy.asked) == {f"CONNECT {HOST}:443"}


async def test_so_is_time_and_a_proxy_that_says_nothing_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unavailable, match="did not answer"):
            await Access(AUTHORITY.pem, way=outside)(URL, limit=100)
        with pytest.raises(Unavailable, match="did not answer"):
            await Fetcher("Corp", timeout_s=0.2).fetch(URL)


async def test_the_certificate_is_checked_behind_it(proxy: ConnectProxy):
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await Access(make_tls_authority(HOST).pem, way=outside)(URL, limit=100)
    assert proxy.asked


async def test_a_host_of_a_pattern_does_not_go_there_because_the_proxy_would_choose_the_address(proxy: ConnectProxy):
    with pytest.raises(Malformed, match="a proxy would choose"):
        await Access(AUTHORITY.pem, public_only=True, way=outside)(URL, limit=100)
    assert proxy.asked == []


# --- a private authority -----------------------------------------------------------------------------------
async def test_a_private_bundle_of_the_environment_is_honoured_for_issuers_and_for_upstream_providers(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, ca_file: str
):
    for bundle, well in ((ca_file, True), (None, False)):
        transport._trusting.cache_clear()  # a process reads it once
        if bundle:
            monkeypatch.setenv("SSL_CERT_FILE", bundle)
        else:
            monkeypatch.delenv("SSL_CERT_FILE")
        for fetch in (Access(way=outside)(URL, limit=100), Fetcher("Corp").fetch(URL)):
            if well:
                assert await fetch == b"{}"
            else:
                with pytest.raises(Unavailable):
                    await fetch
    transport._trusting.cache_clear()
