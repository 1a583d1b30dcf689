# SPDX-License-Identifier: Apache-2.0
"""O22: what a client may not do it may not do by any grant; and none of its grants lets it choose scope or audience."""

from __future__ import annotations

from dataclasses import replace

import jwt
import pytest

from oidc_dev import clients
from oidc_dev.app import make_app
from oidc_dev.claims import Identity
from oidc_dev.clients import DEVICE, EXCHANGE, GRANTS, Client
from oidc_dev.machines import Machine, SqliteMachines, new_secret
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import OOB, Visitor, query_of

TOO_MUCH = "openid email groups offline_access profile"


class Everybody:
    """A broker that takes every token."""

    async def identify(self, token, *, now):
        return Identity(subject=f"https://ci.example.com/{token}/{now.year}")


@pytest.fixture
def secret(tmp_path, clock):
    text, kept = new_secret("release")
    SqliteMachines(tmp_path / "accounts.db").add(Machine("release", "https://ci.example.com/release", kept, clock()))
    return text


@pytest.fixture
async def everything(aiohttp_client, provider, directory, tmp_path, secret):
    whole = replace(directory, machines=SqliteMachines(tmp_path / "accounts.db"), broker=Everybody())
    return await aiohttp_client(make_app(provider, whole))


async def obtain(http, grant: str, secret: str, **more: str):
    """Go through the whole of one grant; the answer that has the token, or the first refusal."""
    if grant == "authorization_code":
        visitor = Visitor(http)
        asked = await visitor.ask(**more)
        return asked if asked.status != 200 else await visitor.redeem(await visitor.code(**more), **more)
    program = Program(http)
    if grant == DEVICE:
        begun = await program.begin(**more)
        if begun.status != 200:
            return begun
        codes = await begun.json()
        await program.decide(codes["user_code"])
        return await program.poll(codes["device_code"], **more)
    return await (program.exchange("job", **more) if grant == EXCHANGE else program.credentials(secret, **more))


@pytest.mark.parametrize("grant", GRANTS)
async def test_a_client_has_the_grants_that_it_has_and_no_other_o22(everything, secret, monkeypatch, grant):
    assert (await obtain(everything, grant, secret)).status == 200
    others = tuple(other for other in GRANTS if other != grant)
    monkeypatch.setitem(clients.CLIENTS, "sigstore", Client("sigstore", others))
    refused = await obtain(everything, grant, secret)
    error = query_of(refused)["error"] if refused.status == 303 else (await refused.json())["error"]
    assert error in {"unauthorized_client", "unsupported_response_type"}
    for other in others:
        assert (await obtain(everything, other, secret)).status == 200


async def test_a_waiting_program_whose_client_lost_the_grant_gets_nothing_o22(everything, monkeypatch):
    program = Program(everything)
    begun = await program.begun()
    await program.decide(begun["user_code"])
    monkeypatch.setitem(clients.CLIENTS, "sigstore", Client("sigstore", ("authorization_code",)))
    assert await program.error(begun["device_code"]) == "unauthorized_client"


@pytest.mark.parametrize("grant", GRANTS)
async def test_no_grant_gives_more_scope_or_a_refresh_token_o22(everything, secret, grant):
    body = await (await obtain(everything, grant, secret, scope=TOO_MUCH)).json()
    assert set(body["scope"].split()) <= {"openid", "email"}
    assert "refresh_token" not in body


@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("name", ["audience", "resource", "aud"])
async def test_no_grant_lets_anybody_choose_an_audience_a02(everything, secret, grant, name):
    answer = await obtain(everything, grant, secret, **{name: "https://other.example"})
    if answer.status == 200:
        claims = jwt.decode((await answer.json())["id_token"], options={"verify_signature": False})
        assert claims["aud"] == "sigstore"
    else:
        assert (await answer.json())["error"] == "invalid_target"


async def test_what_one_grant_gave_is_nothing_to_another_o22(everything, secret):
    visitor, program = Visitor(everything), Program(everything)
    begun = await program.begun()
    await program.decide(begun["user_code"])
    code = await visitor.code()
    assert (await visitor.redeem(begun["device_code"])).status == 400
    assert (await visitor.redeem(begun["user_code"], redirect_uri=OOB)).status == 400
    assert await program.error(code) == "invalid_grant"
    assert (await program.credentials(code)).status == 400
    assert (await program.poll(begun["device_code"])).status == 200
    assert (await visitor.redeem(await visitor.code())).status == 200
