# SPDX-License-Identifier: Apache-2.0
"""A stack in this process, and a client whose answers can be changed on their way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from client.identity import parse_identity_token
from client.sign import Signing, sign_blob
from client.transport import Response
from client.trust import Trust, load_trust
from sigcore.bundle import Bundle
from stack import bootstrap
from stack.compose import compose
from stack.config import Home
from stack.edge import Edge
from stack.live_issuers import LiveIssuers
from stack.logs import RequestLog
from stack.traffic import Traffic
from stack.trust.documents import save_documents

ALICE = "alice@example.com"
CONTENT = b"a file\n"
URL = "http://localhost:7780"
Change = Callable[[bytes], bytes]


@dataclass
class Changing:
    """A transport of the client; ``seen`` has the body before and after each change."""

    http: TestClient
    ending: str = "never"
    change: Change = bytes
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        path = urlsplit(url).path
        async with self.http.request(method, path, headers=headers, data=body) as answer:
            whole = await answer.read()
            assert len(whole) <= limit
            if path.endswith(self.ending):
                self.seen.append((whole, self.change(whole)))
                whole = self.seen[-1][1]
            return Response(answer.status, whole)


@dataclass
class Stack:
    """``home`` has its keys, ``http`` asks it."""

    home: Home
    http: TestClient
    trust: Trust

    async def sign(self, transport: Changing, version: int = 2) -> Bundle:
        async with self.http.post("/_ctl/token", json={"email": ALICE}) as answer:
            token = (await answer.json())["token"]
        signing = Signing(parse_identity_token(token), self.trust, transport, rekor_version=version)
        return await sign_blob(signing, hashlib.sha256(CONTENT).digest(), now=datetime.now(UTC))


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stack(tmp_path_factory) -> AsyncIterator[Stack]:
    home, now = Home(tmp_path_factory.mktemp("faults") / "data"), datetime.now(UTC)
    settings = bootstrap.prepare(home, url=URL, default_url=URL, ephemeral=True, now=now)
    material = bootstrap.load_material(home)
    save_documents(home, material.public, settings)
    key = bootstrap.oidc_key(home, settings)
    edge, clock = Edge(Traffic(), RequestLog("json", io.StringIO())), partial(datetime.now, UTC)
    composed = compose(home, settings, material, key, LiveIssuers(), clock, control_api=True, edge=edge, checks={})
    async with composed as (app, _), TestClient(TestServer(app)) as http:
        trust = load_trust(trusted_root=home.trusted_root, signing_config=home.signing_config)
        yield Stack(home, http, trust)
