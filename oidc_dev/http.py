# SPDX-License-Identifier: Apache-2.0
"""The provider's HTTP face.

| route, below the issuer's path | answer |
|---|---|
| GET /.well-known/openid-configuration, /keys | JSON for everybody |
| GET, POST /auth | the login page; an error page; or a redirect with an error |
| POST /login | a redirect to the client; the code; or the login page again |
| POST /token | 200 with the token, 400 and 401 as RFC 6749 section 5.2 |
| GET, POST /userinfo | 200 with the claims, 401 as RFC 6750 section 3 |
| GET /style.css | of the pages |

Sources: OpenID Connect Core 1.0, OpenID Connect Discovery 1.0 section 3, RFC 7517 section 5, RFC 6749, RFC 6750.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from oidc_dev.provider import Provider
from oidc_dev.signing import jwks
from oidc_dev.store import Accounts
from oidc_dev.userinfo import userinfo
from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import JSON

if TYPE_CHECKING:
    from oidc_dev.authorization import Authorization
    from oidc_dev.reply import Reply
    from oidc_dev.server import Server

_PUBLIC: Final = {"Access-Control-Allow-Origin": "*"}
_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM: Final = "application/x-www-form-urlencoded"


def make_routes(provider: Provider, accounts: Accounts, prefix: str = "/auth") -> list[web.RouteDef]:
    """Routes below ``prefix``, which is the path of the issuer as this server sees it."""
    key_set = jwks(provider.keys)
    endpoints = _Endpoints(provider, accounts)

    async def configuration(_: web.Request) -> web.Response:
        from oidc_dev.discovery import discovery  # noqa: PLC0415 - a start is counted in milliseconds

        return web.json_response(discovery(provider.issuer), headers=_PUBLIC)

    async def keys(_: web.Request) -> web.Response:
        return web.json_response(key_set, headers=_PUBLIC)

    return [
        web.get(f"{prefix}/.well-known/openid-configuration", configuration),
        web.get(f"{prefix}/keys", keys),
        web.get(f"{prefix}/style.css", endpoints.style),
        web.get(f"{prefix}/auth", endpoints.authorize),
        web.post(f"{prefix}/auth", endpoints.authorize),
        web.post(f"{prefix}/login", endpoints.login),
        web.post(f"{prefix}/token", endpoints.token),
        web.get(f"{prefix}/userinfo", endpoints.userinfo),
        web.post(f"{prefix}/userinfo", endpoints.userinfo),
    ]


class _Endpoints:
    """The endpoints that need Authlib, Jinja and argon2: imported, beside the event loop, when the first of them is asked."""

    def __init__(self, provider: Provider, accounts: Accounts) -> None:
        self._provider = provider
        self._accounts = accounts
        self._loading: asyncio.Future[tuple[Server, Authorization]] | None = None
        # A browser sends a cookie of this name only to the host that set it, over TLS.
        self._cookie = "__Host-sigbox-login" if provider.secure else "sigbox-login"

    async def _loaded(self) -> tuple[Server, Authorization]:
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        return await asyncio.shield(self._loading)

    def _load(self) -> tuple[Server, Authorization]:
        from oidc_dev.authorization import Authorization  # noqa: PLC0415 - see the class
        from oidc_dev.server import Server  # noqa: PLC0415 - see the class

        server = Server(self._provider)
        return server, Authorization(self._provider, self._accounts, server)

    async def authorize(self, request: web.Request) -> web.Response:
        """The authorization endpoint."""
        try:
            data = await _form(request) if request.method == "POST" else _query(request)
        except Malformed as error:
            return _refusal(error)
        _, authorization = await self._loaded()
        return self._respond(authorization.ask(data, request.cookies.get(self._cookie, "")))

    async def login(self, request: web.Request) -> web.Response:
        """Where the login form goes."""
        try:
            data = await _form(request)
        except Malformed as error:
            return _refusal(error)
        _, authorization = await self._loaded()
        from oidc_dev.authorization import Browser  # noqa: PLC0415 - see the class

        browser = Browser(
            cookie=request.cookies.get(self._cookie, ""),
            origin=request.headers.get("Origin", ""),
            address=request.remote or "",
        )
        return self._respond(await authorization.login(data, browser))

    async def token(self, request: web.Request) -> web.Response:
        """The token endpoint."""
        try:
            data, credentials = await _form(request), _authorization(request)
            server, _ = await self._loaded()
            return self._respond(server.redeem(data, credentials, now=self._provider.clock()))
        except Malformed as error:
            return _refusal(error)

    async def style(self, _: web.Request) -> web.Response:
        """The style sheet of the pages."""
        _server, authorization = await self._loaded()
        return web.Response(
            text=authorization.style, content_type="text/css", headers={"Cache-Control": "max-age=3600"}
        )

    async def userinfo(self, request: web.Request) -> web.Response:
        """The userinfo endpoint."""
        try:
            scheme, _, token = _authorization(request).partition(" ")
            if scheme.lower() != "bearer":
                return web.json_response({"error": "invalid_token"}, status=401, headers=_challenge())
            claims = userinfo(token, self._provider, now=self._provider.clock())
        except SigError as error:
            return _json(401, _body("invalid_token", error), _challenge('error="invalid_token"'))
        return _json(200, claims, _PUBLIC)

    def _respond(self, reply: Reply) -> web.Response:
        headers = dict(reply.headers)
        if not isinstance(reply.body, str):
            headers.pop("Content-Type", None)
            return _json(reply.status, reply.body, headers)
        response = web.Response(text=reply.body, status=reply.status, headers=headers)
        if reply.cookie:
            response.set_cookie(
                self._cookie, reply.cookie, secure=self._provider.secure, httponly=True, samesite="Lax", path="/"
            )
        return response


def _query(request: web.Request) -> bytes:
    return request.raw_path.partition("?")[2].encode("utf-8", "surrogateescape")


async def _form(request: web.Request) -> bytes:
    """The body of a form, of which never more than the limit and one chunk is held."""
    if request.content_type != _FORM or request.headers.get("Content-Encoding", "identity") != "identity":
        raise Malformed(f"the content type must be {_FORM}, uncompressed")
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limits.OAUTH_PARAMETERS:
                raise Malformed(f"the form is longer than {limits.OAUTH_PARAMETERS} bytes")
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Malformed("the form did not arrive whole") from error
    return bytes(body)


def _authorization(request: web.Request) -> str:
    found = request.headers.getall("Authorization", [])
    if len(found) > 1:
        raise Malformed("the request has more than one Authorization header")
    return found[0] if found else ""


def _refusal(error: SigError) -> web.Response:
    return _json(400, _body("invalid_request", error), {})


def _body(code: str, error: SigError) -> Mapping[str, JSON]:
    """RFC 6749 section 5.2; quotation marks and backslashes have no place in a description."""
    return {"error": code, "error_description": str(error).replace('"', "'").replace("\\", "/")}


def _challenge(attributes: str = "") -> Mapping[str, str]:
    return {"WWW-Authenticate": f"Bearer {attributes}".rstrip()}


def _json(status: int, body: Mapping[str, JSON], headers: Mapping[str, str]) -> web.Response:
    return web.json_response(body, status=status, headers={**_PRIVATE, **headers})
