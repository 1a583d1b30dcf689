# SPDX-License-Identifier: Apache-2.0
"""``/_ctl``: what tests order from an ephemeral stack. It lets anybody be anybody, so it is never durable."""

from __future__ import annotations

import asyncio
from datetime import datetime

from aiohttp import web

from oidc_dev.accounts import Account
from oidc_dev.claims import Identity
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider
from sigcore import limits
from sigcore.errors import SigError
from sigcore.strict import Fields


def make_routes(provider: Provider, directory: Directory) -> list[web.RouteDef]:
    """Routes of the control API; tokens are ``provider``'s, users are added to ``directory``."""

    async def token(request: web.Request) -> web.Response:
        try:
            fields = Fields.parse(await request.read(), what="the request", limit=limits.IDENTITY_TOKEN)
            fields.only("email", "subject", "audience", "claims")
            extra = fields.optional_object("claims")
            identity = Identity(
                email=fields.optional_text("email"),
                subject=fields.optional_text("subject"),
                extra=tuple(extra.raw().items()) if extra else (),
            )
            minted = provider.token(identity, audience=fields.optional_text("audience", "sigstore"))
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

    return [web.post("/_ctl/token", token), web.post("/_ctl/user", user)]


def _add(directory: Directory, email: str, password: str, *, verified: bool, now: datetime) -> None:
    # Deferred: argon2 takes 25 ms to import, and few stacks are asked for an account.
    from oidc_dev.mailbox import parse_email  # noqa: PLC0415 - see the line above
    from oidc_dev.passwords import Passwords  # noqa: PLC0415 - the same

    hashed = Passwords(directory.rules.passes).hash(password)
    directory.accounts.add(Account(parse_email(email), hashed, verified, now.replace(microsecond=0)))


def _refusal(error: SigError) -> web.Response:
    return web.json_response({"code": 400, "message": str(error)}, status=400)
