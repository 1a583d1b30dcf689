# SPDX-License-Identifier: Apache-2.0
"""``/_ctl``: what tests order from an ephemeral stack. It mints tokens for anybody who asks, so it is never durable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from oidc_dev.claims import Identity, make_claims
from oidc_dev.signing import SigningKey, mint
from sigcore import limits
from sigcore.errors import SigError
from sigcore.strict import Fields


def make_routes(issuer: str, key: SigningKey, clock: Callable[[], datetime]) -> list[web.RouteDef]:
    """Routes of the control API."""

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
            audience = fields.optional_text("audience", "sigstore")
            claims = make_claims(identity, issuer=issuer, audience=audience, now=clock())
        except SigError as error:
            return web.json_response({"code": 400, "message": str(error)}, status=400)
        return web.json_response({"token": mint(claims, key)})

    return [web.post("/_ctl/token", token)]
