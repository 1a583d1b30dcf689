# SPDX-License-Identifier: Apache-2.0
"""HTTP for the client: one small Protocol, aiohttp behind it.

Rules that hold for every request: the answer is bounded in size and time; redirects are not followed (a token would go with
them); no proxy, netrc or cookie of the environment is read, a proxy is used where the caller gives one; no compressed answer is asked for, so none is unpacked. Failures
come as one of two kinds: :class:`~sigcore.errors.Unavailable` (no usable answer: connection, timeout, 5xx, 429) and
:class:`ServiceRefused` (the service said no; it carries the status and the service's own words).

Only commands that talk to services import this module: aiohttp takes 280 ms to import.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

import aiohttp

from sigcore import limits, x509
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.proxy import Way, straight
from sigcore.strict import Fields, shown
from sigcore.values import dataclass

CONNECT_TIMEOUT_S: Final = 10.0
REQUEST_TIMEOUT_S: Final = 30.0
"""sigstore-go gives a Rekor v2 log 30 s to integrate an entry."""
_WORDS: Final = 300
"""Characters of a service's message that are repeated to the user."""


class ServiceRefused(Refused):
    """A service answered and said no. ``status`` is the HTTP status, ``body`` its answer as it came."""

    def __init__(self, message: str, hint: str = "", *, status: int, body: bytes = b"") -> None:
        super().__init__(message, hint)
        self.status = status
        self.body = body


class Untrusted(Unavailable):
    """The other side shows a certificate that is not trusted here, or not its own."""


class Lost(Unavailable):
    """Nobody listens there now, or the connection ended before the answer: whoever asks again may have more luck."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer of any status."""

    status: int
    body: bytes


class Transport(Protocol):
    """What the client needs of HTTP."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        """Send one request, return the whole answer, whatever its status.

        Args:
            method: ``GET`` or ``POST``.
            url: absolute, http or https.
            headers: sent as they are.
            body: the request's content, or None.
            limit: bytes of the answer's body that are accepted.

        Raises:
            Unavailable: no connection, no answer in time. Malformed: an answer longer than ``limit``, no valid URL.
        """
        ...


class AiohttpTransport:
    """The Protocol on aiohttp; use it as an asynchronous context manager.

    Args:
        tls: what to trust for https, from :func:`tls_context`; the system's certificates (and ``SSL_CERT_FILE``) when None.
        timeout_s: for one whole request, in seconds.
        request_id: sent with every request where it is not empty, so that the logs of all services tell of one signing.
        way: the proxy that leads to a URL.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        request_id: str = "",
        way: Way = straight,
    ) -> None:
        self._tls = tls
        self._way = way
        self._own_headers = {"X-Request-Id": request_id} if request_id else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=16),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "sigbox", "Accept-Encoding": "identity", **self._own_headers},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        """As the Protocol says."""
        if self._session is None:
            raise RuntimeError("the transport is used outside its `async with`")
        if self._tls is None and url.startswith("https:"):
            self._tls = tls_context()  # made here and not by aiohttp, which may have been imported without any roots
        proxy = self._way(url)
        through, its = (proxy.url, proxy.headers) if proxy is not None else (None, None)
        async with (
            explained(url, timeout_s=self._timeout.total or 0, hint=_UNREACHED),
            self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=self._tls or True,
                proxy=through,
                proxy_headers=its,
            ) as answer,
        ):
            return Response(answer.status, await _read(answer, limit, url))


_UNREACHED: Final = "is the stack running, and is the URL in the signing config the one you can reach?"


@asynccontextmanager
async def explained(
    url: str, *, timeout_s: float, hint: str, authority_option: str = "--ca-file"
) -> AsyncIterator[None]:
    """What aiohttp raises inside, as an error of ours that names ``url``.

    Args:
        url: as it may stand in messages.
        timeout_s: for the message, in seconds.
        hint: what to do where no connection comes about.
        authority_option: of the command line, which names a certificate authority.

    Raises:
        Unavailable: no connection, no answer in time. Malformed: no valid URL.
    """
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise Malformed(f"{shown(url)} is no http or https URL") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise await _untrusted(url, error.certificate_error, authority_option) from error
    except aiohttp.ClientConnectorSSLError as error:
        raise Unavailable(
            f"{url}: TLS failed: {shown(str(error.os_error), _WORDS)}",
            "does the service speak TLS at all, or does the URL begin with http:?",
        ) from error
    except TimeoutError as error:
        raise Unavailable(
            f"{url} did not answer within {timeout_s:g} s", "is the service overloaded or blocked?"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        # The text of an answer's error ends with the whole URL, and a query may be a secret.
        said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
        reason = _connecting(error) if isinstance(error, aiohttp.ClientConnectorError) else shown(said, _WORDS)
        kind = Unavailable if isinstance(error, aiohttp.ClientConnectorDNSError) else Lost
        raise kind(f"{url} cannot be reached: {reason}", hint) from error


def _connecting(error: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, in the system's words: of the name (DNS), or of whoever should listen there."""
    failed = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {shown(error.host, _WORDS)} has no address (DNS: {shown(failed.strerror or str(failed), _WORDS)})"
    if failed.errno is None:
        return shown(str(failed), _WORDS)  # of several addresses
    return f"{os.strerror(failed.errno).lower()} (port {error.port})"


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """What https connections trust: the authorities in ``ca_file`` alone, or the system's and those of ``SSL_CERT_FILE``.

    Raises:
        NotFound: no such file. Malformed: it holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise Malformed(
            f"{ca_file} holds no certificate authority in PEM", "give the file of a CA certificate"
        ) from error
    except OSError as error:
        raise NotFound(f"the file of certificate authorities {ca_file} cannot be read: {error.strerror}") from error


_OTHER_HOST: Final = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


async def _untrusted(url: str, error: Exception, authority_option: str) -> Untrusted:
    """The failure of a TLS handshake, with the name of the authority that would have to be trusted."""
    if not isinstance(error, ssl.SSLCertVerificationError) or error.verify_code in _OTHER_HOST:
        return Untrusted(
            f"{url} shows a TLS certificate that is not its own: {shown(str(error), _WORDS)}",
            "use the host name that the certificate is for",
        )
    issuer = await _issuer_of(url)
    return Untrusted(
        f"{url} shows a TLS certificate by {shown(issuer or 'an unknown authority')}, which is not trusted here: "
        f"{error.verify_message}",
        f"name the file of that authority with {authority_option}, or in SSL_CERT_FILE; check it first with whoever runs the service",
    )


async def _issuer_of(url: str) -> str:
    """Who issued the certificate that ``url`` shows. A second connection, on which nothing is sent and nothing believed."""
    parts = urlsplit(url)
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=blind)
        shown_certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()  # to close it in order would take the other side's answer
        issuer = x509.parse_certificate(shown_certificate).issuer
        return x509.common_name(issuer) or x509.organization(issuer)
    except (OSError, TimeoutError, SigError):
        return ""


async def _read(answer: aiohttp.ClientResponse, limit: int, url: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > limit:
            raise Malformed(f"the answer of {url} is longer than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


async def call(
    transport: Transport,
    method: str,
    url: str,
    *,
    service: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    expected: Collection[int] = (200,),
    limit: int = limits.SERVICE_RESPONSE,
) -> bytes:
    """The body of a successful answer of ``service`` (a noun for messages: "the certificate authority").

    Raises:
        ServiceRefused: another status, with the service's words. Unavailable: 5xx, 429, or no answer at all.
        Malformed: the answer is too long.
    """
    response = await transport.request(method, url, headers=headers, body=body, limit=limit)
    status = response.status
    if status in expected:
        return response.body
    said = f"{service} at {url} answered {status}: {_message(response.body)}"
    if status >= 500 or status == 429:
        raise Unavailable(said, "try again later; the service's own log says more")
    if 300 <= status < 400:
        raise ServiceRefused(said, "redirects are not followed; configure the final URL", status=status)
    raise ServiceRefused(said, _HINTS.get(status, ""), status=status, body=response.body)


_HINTS: Final = {
    400: "the request was understood and refused; the message says which part",
    401: "the identity token was not accepted: is it expired, of another issuer, or for another audience?",
    403: "the identity is not allowed to do this",
    404: "the URL in the signing config does not belong to such a service",
    409: "the log already holds this entry",
}


def _message(body: bytes) -> str:
    """The service's words: the ``message`` of Google's and Rekor's error JSON, else the start of the text."""
    try:
        fields = Fields.parse(body, what="the answer", limit=limits.TEXT)
        return shown(fields.text("message"), _WORDS)
    except SigError:
        return shown(body.decode("utf-8", "replace").strip(), _WORDS) if body else "(nothing)"
