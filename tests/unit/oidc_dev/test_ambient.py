# SPDX-License-Identifier: Apache-2.0
"""The token endpoint in the form of GitHub Actions: whoever proves who it is gets its token, as official clients ask for it."""

from __future__ import annotations

from dataclasses import replace

import jwt
import pytest

from oidc_dev.app import make_app
from oidc_dev.machines import Machine, SqliteMachines, new_secret
from sigcore.errors import Unavailable
from tests.unit.oidc_dev.test_exchange import OneToken

SUBJECT = "https://ci.example.com/release"
URL = "/auth/ambient?api-version=2.0&audience=sigstore"


class Exchange(OneToken):
    """A broker that knows one token, which has the form of a JWT."""

    async def identify(self, token, *, now):
        return await super().identify("good" if token == "a.good.jwt" else token, now=now)


@pytest.fixture
def secret(tmp_path, clock):
    return new_secret("release")


@pytest.fixture
async def http(aiohttp_client, provider, directory, tmp_path, secret, clock):
    machines = SqliteMachines(tmp_path / "accounts.db")
    machines.add(Machine("release", SUBJECT, secret[1], clock()))
    return await aiohttp_client(make_app(provider, replace(directory, machines=machines, broker=Exchange())))


async def ask(http, credential: str | None, url: str = URL):
    return await http.get(url, headers={"Authorization": credential} if credential is not None else {})


@pytest.mark.parametrize("url", [URL, "/ambient/token?run=1&audience=sigstore"])
@pytest.mark.parametrize("scheme", ["bearer", "Bearer"])
async def test_a_machine_asks_with_its_secret(http, secret, scheme, url):
    answer = await ask(http, f"{scheme} {secret[0]}", url)
    body = await answer.json()
    claims = jwt.decode(body["value"], options={"verify_signature": False})
    assert (claims["sub"], claims["aud"]) == (SUBJECT, "sigstore")
    assert body["count"] == len(body["value"])
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_job_asks_with_the_token_of_its_own_ci_system(http):
    body = await (await ask(http, "bearer a.good.jwt")).json()
    assert jwt.decode(body["value"], options={"verify_signature": False})["sub"] == SUBJECT


@pytest.mark.parametrize(
    "credential",
    [
        None,
        "",
        "bearer",
        "bearer ",
        "Basic eDp5",
        "bearer x",
        "bearer release.x",
        "bearer a.b.c",
        "bearer \u00ff",
        "bearer ..",
        "bearer a.b.c.d",
    ],
)
async def test_nobody_else_gets_one(http, credential):
    answer = await ask(http, credential)
    assert answer.status in (400, 401), await answer.text()
    assert await answer.text()
    assert answer.content_type == "text/plain"


@pytest.mark.parametrize(
    "query", ["", "?audience=", "?audience=other", "?audience=sigstore&audience=other", "?audience=%ff"]
)
async def test_nobody_chooses_for_whom_it_is(http, secret, query):
    """A02."""
    answer = await ask(http, f"bearer {secret[0]}", f"/auth/ambient{query}")
    assert answer.status in (400, 401)
    assert answer.content_type == "text/plain"


async def test_the_reason_of_the_broker_is_told(http):
    assert "aud is 'foo', expected 'sigstore'" in await (await ask(http, "bearer a.bad.jwt")).text()


async def test_keys_that_cannot_be_read_now_are_no_refusal(aiohttp_client, provider, directory):
    broker = Exchange(error=Unavailable("the keys of the issuer cannot be read now"))
    http = await aiohttp_client(make_app(provider, replace(directory, broker=broker)))
    answer = await ask(http, "bearer a.bad.jwt")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_a_provider_without_machines_and_broker_refuses_in_order(aiohttp_client, provider, directory):
    http = await aiohttp_client(make_app(provider, directory))
    for credential in ("bearer a.good.jwt", "bearer release.x"):
        answer = await ask(http, credential)
        assert answer.status == 401
        assert "grant type" in await answer.text()
