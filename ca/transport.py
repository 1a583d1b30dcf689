# SPDX-License-Identifier: Apache-2.0
"""Documents of issuers over HTTP. Only processes that have such issuers import this: aiohttp's client takes 280 ms.

One GET, bounded in size and time, over a connection of its own. TLS is checked against the row's own authority, or the
system's. Redirects stay at one scheme, host and port. No proxy but the one that is given; no cookie, netrc or compression.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import ResolveResult

from sigcore.errors import Malformed, Unavailable
from sigcore.proxy import Way, straight
from sigcore.strict import shown
from sigcore.values import dataclass

TIMEOUT_S: Final = 5.0
"""For one document, with its redirects. A client waits for two of them, and sigstore-js gives up after some more."""
REDIRECTS: Final = 3
_WORDS: Final = 200
"""Characters of somebody else's words in a message."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the documents of one issuer are read; a :class:`~ca.ports.Fetch`.

    Attributes:
        ca: PEM of the one authority for TLS; empty for those of the system.
        bearer: gives what is sent as ``Authorization: Bearer``, and to ``bearer_origin`` only.
        bearer_origin: scheme, host and port.
        public_only: refuse hosts whose addresses are not of the public internet. A proxy could not be held to that, so there is none.
        way: the proxy that leads to a URL.
    """

    ca: str = ""
    bearer: Callable[[], str] | None = None
    bearer_origin: str = ""
    public_only: bool = False
    way: Way = straight

    async def __call__(self, url: str, *, limit: int) -> bytes:
        """As :class:`~ca.ports.Fetch` says.

        1. GET without following redirects. 2. A redirect within the same origin is followed, three times at most.
        3. The answer is 200, not compressed, and not longer than ``limit``.

        Raises:
            Unavailable: no such answer. Malformed: it is too long, or leads elsewhere.
        """
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session(await asyncio.to_thread(_trusting, self.ca)) as session,
            ):
                for _ in range(REDIRECTS + 1):
                    async with self._get(session, url) as answer:
                        if answer.status not in (301, 302, 303, 307, 308):
                            return await _body(answer, url, limit)  # 3
                        url = _redirected(url, answer.headers.get("Location", ""))  # 2
        except TimeoutError as error:
            raise Unavailable(f"{url} did not answer within {TIMEOUT_S:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"{url} cannot be read: {shown(str(error), _WORDS)}") from error
        raise Malformed(f"{url} is redirected more than {REDIRECTS} times")

    def _get(self, session: aiohttp.ClientSession, url: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        proxy = self.way(url)
        if proxy is not None and self.public_only:
            raise Malformed(
                f"{url} matches a pattern for hosts, and a proxy would choose its address",
                "write an issuer without * in its host, say private-addresses, or put the host on NO_PROXY",
            )
        if self.public_only:
            _check_literal(urlsplit(url).hostname or "")
        through, its = (proxy.url, proxy.headers) if proxy is not None else (None, None)
        return session.get(url, headers=self._headers(url), allow_redirects=False, proxy=through, proxy_headers=its)

    def _session(self, tls: ssl.SSLContext) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=tls, resolver=_Resolver(public_only=self.public_only), force_close=True)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "sigbox", "Accept": "application/json", "Accept-Encoding": "identity"},
        )

    def _headers(self, url: str) -> dict[str, str]:
        if self.bearer is None or _origin(url) != self.bearer_origin:
            return {}
        return {"Authorization": f"Bearer {self.bearer()}"}


@lru_cache(maxsize=64)
def _trusting(pem: str) -> ssl.SSLContext:
    """A context of our own: that of aiohttp may have been made without any roots (stack/quick_import.py)."""
    try:
        return ssl.create_default_context(cadata=pem or None)
    except ssl.SSLError as error:
        raise Malformed("the certificate authority of the issuer is not in PEM") from error


async def _body(answer: aiohttp.ClientResponse, url: str, limit: int) -> bytes:
    if answer.status != 200:
        raise Unavailable(f"{url} answered {answer.status}")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Malformed(f"{url} answered with a compressed body, which was not asked for")
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise Malformed(f"{url} answered with more than {limit} bytes")
    return bytes(data)


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    if not location or _origin(target) != _origin(url):
        raise Malformed(f"{url} is redirected to {shown(target, _WORDS)}, expected the same scheme, host and port")
    return target


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _check_literal(host: str) -> None:
    """An address that is written in the URL is never looked up, so :class:`_Resolver` does not see it."""
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not address.is_global:
        raise _private(host)


def _private(host: str) -> OSError:
    return OSError(f"{host} is in a private network, and the pattern does not say private-addresses")


class _Resolver(aiohttp.ThreadedResolver):
    """The system's, without addresses that a host of somebody's choice must not lead us to."""

    def __init__(self, *, public_only: bool) -> None:
        super().__init__()
        self._public_only = public_only

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        if self._public_only and not all(ip_address(one["host"]).is_global for one in found):
            raise _private(host)
        return found
