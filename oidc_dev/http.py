# SPDX-License-Identifier: Apache-2.0
"""The provider's HTTP face: discovery, the key set, and honest refusals where login will be.

Sources: OpenID Connect Discovery 1.0 section 3, RFC 7517 section 5, RFC 6749 sections 4.1.2.1 and 5.2 (errors).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from oidc_dev.claims import LIFETIME_S, Identity, make_claims
from oidc_dev.signing import ALGORITHM, SigningKey, jwks, mint
from sigcore.errors import Malformed
from sigcore.strict import JSON, shown

Clock = Callable[[], datetime]

_PUBLIC: Final = {"Access-Control-Allow-Origin": "*"}
_PRIVATE: Final = {"Cache-Control": "no-store"}
_NO_LOGIN: Final = "interactive login is not built yet; mint a token with `sigbox token` and hand it to the client"


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider: its exact issuer string and its keys. The first key signs; all of them are published."""

    issuer: str
    keys: tuple[SigningKey, ...]
    clock: Clock

    def __post_init__(self) -> None:
        url = urlsplit(self.issuer)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise Malformed(f"the issuer is {shown(self.issuer)}, expected an http(s) URL without query and fragment")
        if self.issuer.endswith("/"):
            raise Malformed(f"the issuer {shown(self.issuer)} ends in a slash", "clients compare it byte for byte")
        if not self.keys:
            raise Malformed("the provider has no signing key")

    def token(self, identity: Identity, *, audience: str = "sigstore", lifetime_s: int = LIFETIME_S) -> str:
        """An ID token for ``identity``, valid from now on for ``lifetime_s`` seconds."""
        claims = make_claims(identity, issuer=self.issuer, audience=audience, now=self.clock(), lifetime_s=lifetime_s)
        return mint(claims, self.keys[0])


def discovery(issuer: str) -> dict[str, JSON]:
    """The discovery document. Endpoints that do not exist are left out, not promised.

    ``code_challenge_methods_supported`` stands there although login is not built: Go clients refuse a provider without it
    before they ask for anything.
    """
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "code_challenge_methods_supported": ["S256"],
        "grant_types_supported": ["authorization_code"],
        "scopes_supported": ["openid", "email"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "email", "email_verified"],
    }


def make_routes(provider: Provider, prefix: str = "/auth") -> list[web.RouteDef]:
    """Routes below ``prefix``, which is the path of the issuer as this server sees it.

    The authorization endpoint answers by itself and never redirects: no redirect URI has been checked (RFC 6749 section
    4.1.2.1).
    """
    document = discovery(provider.issuer)
    key_set = jwks(provider.keys)

    async def configuration(_: web.Request) -> web.Response:
        return web.json_response(document, headers=_PUBLIC)

    async def keys(_: web.Request) -> web.Response:
        return web.json_response(key_set, headers=_PUBLIC)

    async def authorize(_: web.Request) -> web.Response:
        return _refusal("unsupported_response_type")

    async def token(_: web.Request) -> web.Response:
        return _refusal("unsupported_grant_type")

    return [
        web.get(f"{prefix}/.well-known/openid-configuration", configuration),
        web.get(f"{prefix}/keys", keys),
        web.get(f"{prefix}/auth", authorize),
        web.post(f"{prefix}/auth", authorize),
        web.post(f"{prefix}/token", token),
    ]


def _refusal(code: str) -> web.Response:
    return web.json_response({"error": code, "error_description": _NO_LOGIN}, status=400, headers=_PRIVATE)
