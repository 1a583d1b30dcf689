# SPDX-License-Identifier: Apache-2.0
"""The provider's HTTP face.

| route, below the issuer's path | answer |
|---|---|
| GET /.well-known/openid-configuration, /keys | JSON for everybody |
| GET, POST /auth | the login page; an error page; or a redirect with an error |
| POST /login | a redirect to the client; the code; or the login page again |
| POST /token | 200 with the token, 400 and 401 as RFC 6749 section 5.2 |
| GET /ambient, and /ambient/token at the root | 200 with a machine's token, in the form of GitHub Actions |
| POST /device/code | 200 with the two codes of RFC 8628 section 3.2 |
| GET, POST /device | the page of RFC 8628 section 3.3 |
| GET /upstream/NAME | a redirect to the provider of others NAME |
| GET /upstream/NAME/callback | from there: a redirect to the client, the code, or an error page |
| GET, POST /session | who is logged in with this browser; log out |
| GET, POST /userinfo | 200 with the claims, 401 as RFC 6750 section 3 |
| GET /style.css | of the pages |

Sources: OpenID Connect Core 1.0, OpenID Connect Discovery 1.0 section 3, RFC 7517 section 5, RFC 6749, RFC 6750, RFC 8628.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from oidc_dev.ambient import as_github, grant_request
from oidc_dev.parts import Directory, Parts, assemble
from oidc_dev.provider import Provider
from oidc_dev.signing import jwks
from oidc_dev.userinfo import userinfo
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.language import COOKIE, COOKIE_S, LANGUAGES, PARAMETER, choose
from sigcore.strict import JSON

if TYPE_CHECKING:
    from oidc_dev.forms import Browser
    from oidc_dev.reply import Page, Reply

_PUBLIC: Final = {"Access-Control-Allow-Origin": "*"}
_KEYS: Final = {**_PUBLIC, "Cache-Control": "max-age=300"}
"""A new key is published for longer than that before it signs (``sigbox trust rotate oidc``)."""
_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM: Final = "application/x-www-form-urlencoded"
AMBIENT: Final = "/ambient/token"
"""Where jobs ask on a single origin, whatever the issuer's path."""


def make_routes(provider: Provider, directory: Directory, prefix: str = "/auth") -> list[web.RouteDef]:
    """Routes below ``prefix``, which is the path of the issuer as this server sees it."""
    endpoints = _Endpoints(provider, directory)

    async def configuration(_: web.Request) -> web.Response:
        from oidc_dev.discovery import discovery  # noqa: PLC0415 - a start is counted in milliseconds

        return web.json_response(discovery(provider.issuer, directory), headers=_PUBLIC)

    async def keys(_: web.Request) -> web.Response:
        return web.json_response(jwks(provider.keys.published(provider.clock())), headers=_KEYS)

    return [
        web.get(f"{prefix}/.well-known/openid-configuration", configuration),
        web.get(f"{prefix}/keys", keys),
        web.get(f"{prefix}/style.css", endpoints.style),
        web.get(f"{prefix}/auth", endpoints.authorize),
        web.post(f"{prefix}/auth", endpoints.authorize),
        web.post(f"{prefix}/login", endpoints.login),
        web.post(f"{prefix}/token", endpoints.token),
        web.get(f"{prefix}/ambient", endpoints.ambient),
        web.get(AMBIENT, endpoints.ambient),
        web.post(f"{prefix}/device/code", endpoints.begin_device),
        web.get(f"{prefix}/device", endpoints.device),
        web.post(f"{prefix}/device", endpoints.decide),
        web.get(f"{prefix}/upstream/{{name}}", endpoints.depart),
        web.get(f"{prefix}/upstream/{{name}}/callback", endpoints.arrive),
        web.get(f"{prefix}/session", endpoints.session),
        web.post(f"{prefix}/session", endpoints.leave),
        web.get(f"{prefix}/userinfo", endpoints.userinfo),
        web.post(f"{prefix}/userinfo", endpoints.userinfo),
    ]


class _Endpoints:
    """The endpoints whose parts are assembled, beside the event loop, when the first of them is asked."""

    def __init__(self, provider: Provider, directory: Directory) -> None:
        self._provider = provider
        self._directory = directory
        self._loading: asyncio.Future[Parts] | None = None
        # A browser sends a cookie of this name only to the host that set it, over TLS.
        prefix = "__Host-" if provider.secure else ""
        self._cookie, self._session_cookie = f"{prefix}sigbox-login", f"{prefix}sigbox-session"

    async def _parts(self) -> Parts:
        if self._loading is None or (self._loading.done() and self._loading.exception()):  # a failure is not kept
            self._loading = asyncio.ensure_future(asyncio.to_thread(assemble, self._provider, self._directory))
        return await asyncio.shield(self._loading)

    # --- pages -----------------------------------------------------------------------------------------------
    async def authorize(self, request: web.Request) -> web.Response:
        """The authorization endpoint."""
        try:
            data = await _form(request) if request.method == "POST" else _query(request)
        except Malformed as error:
            return _refusal(error)
        parts = await self._parts()
        return await self._respond(request, await parts.authorization.ask(data, self._browser(request)))

    async def login(self, request: web.Request) -> web.Response:
        """Where the login form goes."""
        try:
            data = await _form(request)
        except Malformed as error:
            return _refusal(error)
        parts = await self._parts()
        return await self._respond(request, await parts.authorization.login(data, self._browser(request)))

    async def device(self, request: web.Request) -> web.Response:
        """The page for user codes."""
        parts = await self._parts()
        return await self._respond(request, await parts.devices.ask(_query(request), self._browser(request)))

    async def decide(self, request: web.Request) -> web.Response:
        """Where its form goes."""
        try:
            data = await _form(request)
        except Malformed as error:
            return _refusal(error)
        parts = await self._parts()
        return await self._respond(request, await parts.devices.decide(data, self._browser(request)))

    async def depart(self, request: web.Request) -> web.Response:
        """To a provider of others, from the login page."""
        guests = (await self._parts()).guests
        if guests is None:
            raise web.HTTPNotFound
        return await self._respond(
            request, await guests.begin(request.match_info["name"], _query(request), self._browser(request))
        )

    async def arrive(self, request: web.Request) -> web.Response:
        """Back from there."""
        guests = (await self._parts()).guests
        if guests is None:
            raise web.HTTPNotFound
        reply = await guests.finish(request.match_info["name"], _query(request), self._browser(request))
        return await self._respond(request, reply)

    async def session(self, request: web.Request) -> web.Response:
        """Who is logged in."""
        parts = await self._parts()
        return await self._respond(request, await parts.devices.session(self._browser(request)))

    async def leave(self, request: web.Request) -> web.Response:
        """Log out."""
        try:
            data = await _form(request)
        except Malformed as error:
            return _refusal(error)
        parts = await self._parts()
        return await self._respond(request, parts.devices.leave(data, self._browser(request)))

    async def style(self, _: web.Request) -> web.Response:
        """The style sheet of the pages."""
        text = (await self._parts()).pages.style
        return web.Response(text=text, content_type="text/css", headers={"Cache-Control": "max-age=3600"})

    # --- for programs ------------------------------------------------------------------------------------------
    async def token(self, request: web.Request) -> web.Response:
        """The token endpoint."""
        try:
            data, credentials = await _form(request), _authorization(request)
            parts = await self._parts()
            return await self._respond(
                request, await parts.server.redeem(data, credentials, now=self._provider.clock())
            )
        except Malformed as error:
            return _refusal(error)
        except Unavailable as error:
            return _json(503, _body("temporarily_unavailable", error), {"Retry-After": "5"})

    async def ambient(self, request: web.Request) -> web.Response:
        """The token endpoint, for jobs that ask as GitHub's do.

        Refusals are plain text: cosign reads any JSON object whatever the status, finds no token in it, and waits for a person.
        """
        try:
            form = grant_request(_query(request), _authorization(request))
            server = (await self._parts()).server
            return _json(200, as_github(await server.redeem(form, "", now=self._provider.clock())), {})
        except Unavailable as error:
            return web.Response(text=f"{error}\n", status=503, headers={**_PRIVATE, "Retry-After": "5"})
        except SigError as error:
            status = 401 if isinstance(error, Refused) else 400
            return web.Response(text=f"{error}\n", status=status, headers=_PRIVATE)

    async def begin_device(self, request: web.Request) -> web.Response:
        """The device authorization endpoint."""
        try:
            data, credentials = await _form(request), _authorization(request)
            parts = await self._parts()
            now, address = self._provider.clock(), request.remote or ""
            return await self._respond(request, parts.server.begin_device(data, credentials, address, now=now))
        except Malformed as error:
            return _refusal(error)

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

    # --- HTTP --------------------------------------------------------------------------------------------------
    def _browser(self, request: web.Request) -> Browser:
        from oidc_dev.forms import Browser  # noqa: PLC0415 - imported with the parts

        return Browser(
            cookie=request.cookies.get(self._cookie, ""),
            session=request.cookies.get(self._session_cookie, ""),
            origin=request.headers.get("Origin", ""),
            address=request.remote or "",
        )

    async def _respond(self, request: web.Request, reply: Reply) -> web.Response:
        headers = dict(reply.headers)
        if isinstance(reply.body, Mapping):
            headers.pop("Content-Type", None)
            return _json(reply.status, reply.body, headers)
        text = reply.body if isinstance(reply.body, str) else await self._text(request, reply.body)
        response = web.Response(text=text, status=reply.status, headers=headers)
        if (asked := request.query.get(PARAMETER)) in LANGUAGES:
            response.set_cookie(
                COOKIE, str(asked), max_age=COOKIE_S, httponly=True, samesite="Lax", secure=self._provider.secure
            )
        cookies: dict[str, str | None] = {self._cookie: reply.cookie or None, self._session_cookie: reply.session}
        for name, value in cookies.items():
            if value is not None:
                response.set_cookie(
                    name,
                    value,
                    secure=self._provider.secure,
                    httponly=True,
                    samesite="Lax",
                    path="/",
                    max_age=None if value else 0,
                )
        return response

    async def _text(self, request: web.Request, page: Page) -> str:
        """``page`` in the reader's language; what a program asked for counts before what the browser asks for."""
        accepted = ",".join((*page.wanted.split()[:8], request.headers.get("Accept-Language", "")))
        language = choose(request.query.get(PARAMETER, ""), request.cookies.get(COOKIE, ""), accepted)
        stem = f"{page.again}{'&' if '?' in page.again else '?'}{PARAMETER}="
        others = {name: stem + name for name in LANGUAGES if name != language and page.again}
        return (await self._parts()).pages.render(page, language, others)


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
