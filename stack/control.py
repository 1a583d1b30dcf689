# SPDX-License-Identifier: Apache-2.0
"""``/_ctl``: what tests order from an ephemeral stack. It lets anybody be anybody, so it is never durable."""

from __future__ import annotations

import asyncio
from datetime import datetime

from aiohttp import web

from oidc_dev.accounts import Account
from oidc_dev.mock_login import MockLogin
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider
from sigcore import limits
from sigcore.errors import NotFound, SigError
from sigcore.strict import Fields
from stack.ambient import Sources
from stack.ambient import make_routes as make_ambient_routes
from stack.minting import parse_order
from stack.orders import Orders
from stack.other_issuers import OtherIssuers
from stack.other_issuers import make_routes as make_issuer_routes
from stack.personas import parse_persona


def make_routes(provider: Provider, directory: Directory, others: OtherIssuers, orders: Orders) -> list[web.RouteDef]:
    """Routes of the control API; tokens are ``provider``'s or of one of the ``others``, users are added to ``directory``.

    ``orders`` are those to the stack as a whole.
    """
    sources = Sources(provider, provider.origin)

    async def token(request: web.Request) -> web.Response:
        try:
            order = parse_order(Fields.parse(await request.read(), what="the request", limit=limits.IDENTITY_TOKEN))
            speaker = others.provider(order.issuer) if order.issuer else provider
            # Beside the event loop where a key is made for it.
            minted = await asyncio.to_thread(order.token, speaker) if order.wrong else order.token(speaker)
        except SigError as error:
            return _refusal(error)
        return web.json_response({"token": minted})

    async def user(request: web.Request) -> web.Response:
        try:
            fields = Fields.parse(await request.read(), what="the request", limit=limits.IDENTITY_TOKEN)
            fields.only("email", "password", "verified")
            email, password = fields.text("email"), fields.text("password")
            verified = fields.boolean("verified") if "verified" in fields else True
            await asyncio.to_thread(_add, directory, email, password, verified=verified, now=provider.clock())
        except SigError as error:
            return _refusal(error)
        return web.json_response({"user": email})

    async def ambient(request: web.Request) -> web.Response:
        try:
            fields = Fields.parse(await request.read(), what="the request", limit=limits.IDENTITY_TOKEN)
            fields.only("source", "persona")
            environment = sources.add(fields.text("source"), parse_persona(fields.object("persona")))
        except SigError as error:
            return _refusal(error)
        return web.json_response({"ambient": environment})

    return [
        web.post("/_ctl/token", token),
        web.post("/_ctl/user", user),
        web.post("/_ctl/ambient", ambient),
        *make_ambient_routes(sources),
        *_issuer_routes(others),
        *(_login_routes(directory.mock) if directory.mock else ()),
        *orders.make_routes(),
    ]


def _issuer_routes(others: OtherIssuers) -> list[web.RouteDef]:
    async def create(request: web.Request) -> web.Response:
        try:
            made = await asyncio.to_thread(others.create, request.match_info["name"])
        except SigError as error:
            return _refusal(error)
        return web.json_response({"issuer": made.issuer})

    async def remove(request: web.Request) -> web.Response:
        try:
            others.remove(request.match_info["name"])
        except NotFound as error:
            return _refusal(error, 404)
        return web.Response(status=204)

    path = "/_ctl/issuers/{name}"
    return [web.put(path, create), web.delete(path, remove), *make_issuer_routes(others)]


def _login_routes(mock: MockLogin) -> list[web.RouteDef]:
    async def begin(request: web.Request) -> web.Response:
        try:
            fields = Fields.parse(await request.read(), what="the request", limit=limits.IDENTITY_TOKEN)
            fields.only("email")
            mock.answer_as(email := fields.text("email"))
        except SigError as error:
            return _refusal(error)
        return web.json_response({"login": email})

    async def end(_: web.Request) -> web.Response:
        mock.show_pages()
        return web.Response(status=204)

    return [web.put("/_ctl/login", begin), web.delete("/_ctl/login", end)]


def _add(directory: Directory, email: str, password: str, *, verified: bool, now: datetime) -> None:
    # Deferred: argon2 takes 25 ms to import, and few stacks are asked for an account.
    from oidc_dev.mailbox import parse_email  # noqa: PLC0415 - see the line above
    from oidc_dev.passwords import Passwords  # noqa: PLC0415 - the same

    hashed = Passwords(directory.rules.passes).hash(password)
    directory.accounts.add(Account(parse_email(email), hashed, verified, now.replace(microsecond=0)))


def _refusal(error: SigError, status: int = 400) -> web.Response:
    return web.json_response({"code": status, "message": str(error)}, status=status)
