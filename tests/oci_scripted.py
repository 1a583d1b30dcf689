# SPDX-License-Identifier: Apache-2.0
"""A registry that says whatever a test wants it to say, and keeps what it was sent."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestServer

from client.oci.digests import digest_of
from client.oci.manifest import IMAGE_MANIFEST
from client.oci.reference import Reference, parse_reference

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse] | web.StreamResponse]
Answer: TypeAlias = web.Response | Handler


@dataclass(frozen=True, slots=True)
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


@dataclass(slots=True)
class Scripted:
    """Answers by ``METHOD /path``, without the query; what is not scripted is not found.

    With ``challenge`` (a ``WWW-Authenticate`` header) nothing is answered but that, to whoever sends no Authorization.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    challenge: str = ""
    seen: list[Seen] = field(default_factory=list)
    address: str = ""
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    @property
    def image(self) -> Reference:
        return parse_reference(f"{self.address}/team/app:1")

    @property
    def asked(self) -> list[str]:
        """The requests, as they are scripted."""
        return [f"{one.method} {one.path}" for one in self.seen]

    def manifest(self, data: bytes, media_type: str = IMAGE_MANIFEST, *, at: str = "", **headers: str) -> None:
        """Script a manifest at its digest, or at a tag or another digest."""
        typed = {"Content-Type": media_type, **headers}
        self.answers[f"GET /v2/team/app/manifests/{at or digest_of(data)}"] = web.Response(body=data, headers=typed)

    def blob(self, data: bytes, *, at: str = "") -> None:
        """Script a blob at its digest, or at another."""
        self.answers[f"GET /v2/team/app/blobs/{at or digest_of(data)}"] = raw(data)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, headers, await request.read()))
        if self.challenge and "authorization" not in headers and not request.path.startswith("/token"):
            return web.Response(status=401, headers={"WWW-Authenticate": self.challenge})
        answer = self.answers.get(f"{request.method} {request.path}")
        if answer is None:
            return web.json_response({"errors": [{"code": "NOT_SCRIPTED", "message": request.path}]}, status=404)
        if isinstance(answer, web.Response):
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        said = answer(request)
        return said if isinstance(said, web.StreamResponse) else await said


def raw(data: bytes = b"", status: int = 200, **headers: str) -> web.Response:
    """These bytes, with these headers (``_`` for ``-``)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(body=data, status=status, headers=named)


def sent_to(location: str, status: int = 307) -> web.Response:
    """A redirect, or the place of an upload."""
    return raw(status=status, Location=location)


@asynccontextmanager
async def scripted(tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """A server on a free port of the loopback address."""
    script = Scripted(scheme="https" if tls else "http")
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", script.handle)
    server = TestServer(app, host="127.0.0.1", scheme=script.scheme)
    await server.start_server(ssl=tls)
    try:
        script.address = f"127.0.0.1:{server.port}"
        yield script
    finally:
        await server.close()
