# SPDX-License-Identifier: Apache-2.0
"""One request to a registry and its answer, on aiohttp.

As in ``client/transport.py``: bounded in size and time, no redirect, no proxy, no cookie, nothing unpacked. Beyond it: the
answer's header, contents that are read from a file or written to one, and TLS as the user asked for it.

Only commands that talk to registries import this module: aiohttp takes 280 ms to import.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import aiohttp
from yarl import URL

from client.oci.options import RegistryOptions
from client.oci.targets import bare_url
from client.transport import CONNECT_TIMEOUT_S, explained, tls_context
from sigcore import limits
from sigcore.errors import Malformed, NotFound
from sigcore.values import dataclass

SLOWEST: Final = 64 * 1024
"""Bytes in a second: what is larger than a manifest has more time, by this rate."""

_AT_ONCE: Final = 1024 * 1024
"""Bytes that aiohttp sends in one piece; it warns of more, and so of an image with many signatures."""
TLS_PATIENCE_S: Final = 3.0
"""Some servers of plain http wait for the end of a line that a handshake does not have."""

Content: TypeAlias = bytes | Path
"""What is sent: bytes, or the file that holds them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of any status. ``body`` is empty where the content was written to a file."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first value of a header, by its lower-case name; empty where it is absent."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a header, by its lower-case name."""
        return tuple(value for key, value in self.headers if key == name)

    @property
    def media_type(self) -> str:
        """``Content-Type`` without its parameters."""
        return self.header("content-type").partition(";")[0].strip()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of one URL; see :meth:`Wire.send`."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: Content | None = None
    limit: int = limits.SERVICE_RESPONSE
    into: BinaryIO | None = None


class Wire:
    """Connections to registries, between :meth:`open` and :meth:`close`."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Before the first request; within the running loop.

        Raises:
            NotFound, Malformed: a file of certificates that the user named.
        """
        if self._options.ca_file or self._options.client_cert:
            self._trust()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=16, limit_per_host=8),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "sigbox", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """After the last one."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> Answer:
        """Send one request, return the whole answer, whatever its status.

        The content of an answer of success is at most ``limit`` bytes, and goes to ``into`` if that is given, from its
        beginning. Of a failure's text only the first bytes are read.

        Raises:
            Unavailable: no connection, no answer in time, an answer that breaks off. Malformed: a longer content.
        """
        if self._session is None:
            raise RuntimeError("the wire is not open")
        url, seconds = bare_url(request.url), self._seconds(request)
        with _opened(request.content) as data:
            async with (
                explained(
                    url, timeout_s=seconds, hint="is the registry running?", authority_option="--registry-cacert"
                ),
                self._session.request(
                    request.method,
                    URL(request.url, encoded=True),  # as it came: a signed query must not be spelled anew
                    headers=request.headers,
                    data=data,
                    allow_redirects=False,
                    ssl=self._trust() if request.url.startswith("https:") else True,
                    server_hostname=self._options.server_name if request.url.startswith("https:") else None,
                    timeout=aiohttp.ClientTimeout(
                        total=seconds, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._options.timeout_s
                    ),
                ) as answer,
            ):
                headers = tuple((name.lower(), value) for name, value in answer.headers.items())
                body = await self._read(answer, request, url)
                return Answer(request.url, answer.status, headers, body)

    async def _read(self, answer: aiohttp.ClientResponse, request: Request, url: str) -> bytes:
        good = 200 <= answer.status < 300
        limit = request.limit if good else limits.TEXT
        into = request.into if good else None
        if good and request.method != "HEAD" and (answer.content_length or 0) > limit:
            raise Malformed(f"the answer of {url} has {answer.content_length} bytes, the limit is {limit}")
        if into:
            into.seek(0)
            into.truncate()
        parts, size = bytearray(), 0
        async for part in answer.content.iter_any():
            size += len(part)
            if size > limit:
                if good:
                    raise Malformed(f"the answer of {url} is longer than {limit} bytes")
                answer.close()
                return bytes(parts)
            if into:
                into.write(part)
            else:
                parts += part
        return bytes(parts)

    def _seconds(self, request: Request) -> float:
        """For all of a request: more where a content is large, so that none is without end."""
        sent = request.content.stat().st_size if isinstance(request.content, Path) else len(request.content or b"")
        return self._options.timeout_s + max(0, sent + request.limit - limits.OCI_MANIFEST) / SLOWEST

    def _trust(self) -> ssl.SSLContext:
        """Made once, when the first https URL is asked: reading the system's authorities takes 40 ms."""
        if self._tls is None:
            options = self._options
            self._tls = tls_context(options.ca_file)
            if options.allow_insecure:
                self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
            if options.client_cert:
                _present(self._tls, options.client_cert, options.client_key)
        return self._tls


def _present(tls: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        tls.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise Malformed(
            f"{certificate} and its key are no certificate in PEM with its unencrypted key",
            "--registry-client-cert and --registry-client-key name them",
        ) from error
    except OSError as error:
        raise NotFound(f"the client's certificate {certificate} or its key cannot be read: {error.strerror}") from error


@contextmanager
def _opened(content: Content | None) -> Iterator[bytes | BinaryIO | None]:
    if isinstance(content, Path):
        with content.open("rb") as file:
            yield file
    elif content is not None and len(content) > _AT_ONCE:
        yield BytesIO(content)
    else:
        yield content


async def speaks_tls(host: str, port: int) -> bool | None:
    """Whether what listens there begins a TLS handshake; None where nothing listens.

    Nothing is sent but that handshake, and what comes is not believed: it decides between https and plain http where both are
    allowed.
    """
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(TLS_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=blind)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it says in TLS that it does not want to
    except (ConnectionResetError, TimeoutError):
        return False
    except OSError:
        return None
    writer.transport.abort()  # to close it in order would take the other side's answer
    return True
