# SPDX-License-Identifier: Apache-2.0
"""A provider of others, in memory: its documents by URL, its tokens really signed, and what was asked of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from oidc_dev.federation import Federation
from oidc_dev.upstream import Upstream
from sigcore.errors import Refused
from sigcore.strict import encode_base64url
from stack.outside import Reader
from tests.unit.oidc_dev.visitor import REQUEST, Clock

IDP = "https://login.corp.example"
BASE = "http://localhost:7780/auth"
COOKIE = "c" * 43
KEY, OTHER_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


@dataclass
class Abroad:
    """Answers as a provider does; ``claims`` and ``header`` go over what its tokens say, ``documents`` over what it shows."""

    clock: Clock
    claims: dict[str, object] = field(default_factory=dict)
    header: dict[str, object] = field(default_factory=dict)
    documents: dict[str, object] = field(default_factory=dict)
    key: ec.EllipticCurvePrivateKey = KEY
    nonce: str = ""
    asked: list[tuple[str, Mapping[str, str] | None, Mapping[str, str]]] = field(default_factory=list)

    async def fetch(self, url, *, form=None, headers=None):
        self.asked.append((url, form, headers or {}))
        known = {
            f"{IDP}/.well-known/openid-configuration": self.discovery,
            f"{IDP}/keys": lambda: {
                "keys": [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "k"}]
            },
            f"{IDP}/token": lambda: {"id_token": self.token(), "access_token": "opaque", "expires_in": 0.5},
            f"{IDP}/userinfo": lambda: {"sub": "007"},
        }
        if url not in known:
            raise Refused(f"the service answered 404 to {url}")
        return json.dumps(self.documents.get(url) or known[url]()).encode()

    def discovery(self, **changed: object) -> dict[str, object]:
        names = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
            "userinfo_endpoint": "userinfo",
        }
        return {"issuer": IDP, **{name: f"{IDP}/{path}" for name, path in names.items()}, **changed}

    def token(self) -> str:
        now = int(self.clock().timestamp())
        claims = {"iss": IDP, "aud": "sigbox", "sub": "007", "iat": now, "exp": now + 300, "nonce": self.nonce}
        claims |= {"email": "bond@corp.example", "email_verified": True} | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "typ": "JWT", "kid": "k"} | self.header
        good = jwt.encode(claims, self.key, "ES256", {"kid": "k"})
        if not self.header:
            return good
        return f"{encode_base64url(json.dumps(header).encode())}.{good.partition('.')[2]}"

    def forms(self) -> list[tuple[Mapping[str, str], Mapping[str, str]]]:
        """What the token endpoint got."""
        return [(form, headers) for _, form, headers in self.asked if form is not None]

    def upstream(self, **changed: object) -> Upstream:
        row = {"name": "corp", "label": "Corp", "issuer": IDP, "client_id": "sigbox", "domains": ("corp.example",)}
        return Upstream(**{**row, "outside": self, **changed})  # type: ignore[arg-type]  # a row of a table

    def federation(self, *others: Upstream, **changed: object) -> Federation:
        return Federation(BASE, (self.upstream(**changed), *others), Reader())


@dataclass
class Traveller:
    """A browser that logs in through the provider ``corp``."""

    abroad: Abroad
    federation: Federation

    async def go(self, *, cookie: str = COOKIE, address: str = "127.0.0.1") -> dict[str, str]:
        """Begin; the query that the provider is sent."""
        now = self.abroad.clock()
        url = await self.federation.begin("corp", REQUEST, cookie=cookie, address=address, now=now)
        assert url.startswith(f"{IDP}/authorize?")
        query = {name: value for name, [value] in parse_qs(urlsplit(url).query, strict_parsing=True).items()}
        self.abroad.nonce = query["nonce"]
        return query

    async def come_back(self, answer: dict[str, str], *, cookie: str = COOKIE, name: str = "corp"):
        """End it with the provider's answer."""
        return await self.federation.finish(name, answer, cookie=cookie, now=self.abroad.clock())

    async def travel(self, **more: str):
        """There and back."""
        query = await self.go()
        return await self.come_back({"state": query["state"], "code": "a code", **more})
