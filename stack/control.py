# SPDX-License-Identifier: Apache-2.0
"""``/_ctl``: what tests order from an ephemeral stack. It mints tokens for anybody who asks, so it is never durable."""

from __future__ import annotations

from aiohttp import web

from oidc_dev.claims import Identity
from oidc_dev.provider import Provider
from sigcore import limits
from sigcore.errors import SigError
from sigcore.strict import Fields


def make_routes(provider: Provider) -> list[web.RouteDef]:
    """Routes of the control API; tokens are ``provider``'s."""

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
            return web.json_response({"code": 400, "message": str(error)}, status=400)
        return web.json_response({"token": minted})

    return [web.post("/_ctl/token", token)]
