# SPDX-License-Identifier: Apache-2.0
"""Token exchange (RFC 8693): what the broker takes becomes a token of ours; nothing that is asked for changes whom it is for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import jwt
import pytest

from oidc_dev.app import make_app
from oidc_dev.claims import Identity
from oidc_dev.clients import EXCHANGE
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from tests.unit.oidc_dev.program import Program

SUBJECT = "https://ci.example.com/release"
PREFIX = "urn:ietf:params:oauth:token-type:"


@dataclass
class OneToken:
    """A broker that knows one token."""

    asked: list[str] = field(default_factory=list)
    error: SigError = field(
        default_factory=lambda: Refused('aud is "foo", expected "sigstore"', "ask your CI for that")
    )

    async def identify(self, token, *, now):
        assert now.tzinfo
        self.asked.append(token)
        await asyncio.sleep(0)
        if token != "good":
            raise self.error
        return Identity(subject=SUBJECT, extra=(("pipeline", 7),))


@pytest.fixture
def broker():
    return OneToken()


@pytest.fixture
async def program(aiohttp_client, provider, directory, broker):
    return Program(await aiohttp_client(make_app(provider, replace(directory, broker=broker))))


async def test_an_outside_token_becomes_one_of_ours(program):
    body = await (await program.exchange("good")).json()
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["aud"], claims["pipeline"]) == (SUBJECT, "sigstore", 7)
    assert body["issued_token_type"] == f"{PREFIX}id_token"
    assert (body["token_type"], body["id_token"]) == ("Bearer", body["access_token"])
    assert "refresh_token" not in body


@pytest.mark.parametrize("kind", ["id_token", "jwt", "access_token"])
async def test_a_token_may_be_called_by_each_of_its_names(program, kind):
    answer = await program.exchange("good", subject_token_type=PREFIX + kind, requested_token_type=PREFIX + kind)
    assert (await answer.json())["issued_token_type"] == PREFIX + kind


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": f"{PREFIX}saml2"}, "invalid_request"),
        ({"requested_token_type": f"{PREFIX}refresh_token"}, "invalid_request"),
        ({"actor_token": "good"}, "invalid_request"),
        ({"actor_token_type": f"{PREFIX}jwt"}, "invalid_request"),
        ({"audience": "https://another.example"}, "invalid_target"),
        ({"resource": "http://127.0.0.1:1/never-asked"}, "invalid_target"),
        ({"client_id": "another"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"scope": "email"}, "invalid_scope"),
    ],
)
async def test_nothing_else_is_exchanged_and_nobody_chooses_an_audience_a02(program, changed, error):
    answer = await program.exchange("good", **changed)
    assert (answer.status, (await answer.json())["error"]) == (400, error)


async def test_the_audience_may_be_said_when_it_is_ours(program):
    assert (await program.exchange("good", audience="sigstore")).status == 200


async def test_the_reason_is_for_whoever_sent_the_token_and_well_formed(program, broker):
    broker.error = Malformed('iss is "\u00e9\\x"\n\x00')
    for expected in ("iss is '''x'''", "aud is 'foo', expected 'sigstore'"):
        body = await (await program.exchange("bad")).json()
        assert body["error"] == "invalid_request"
        assert expected in body["error_description"]
        assert not set(body["error_description"]) & set('"\\\n\x00')
        broker.error = OneToken().error


async def test_an_issuer_that_cannot_be_reached_is_no_wrong_token(program, broker):
    broker.error = Unavailable("its keys cannot be had now")
    answer = await program.exchange("bad")
    assert (answer.status, (await answer.json())["error"]) == (503, "temporarily_unavailable")


async def test_the_broker_is_asked_by_this_grant_alone(program, broker):
    await program.exchange("good", grant_type="client_credentials")
    await program.exchange("good", grant_type="authorization_code")
    await program.exchange("")
    assert broker.asked == []


async def test_without_a_broker_there_is_no_exchange(http):
    answer = await Program(http).exchange("good")
    assert (await answer.json())["error"] == "unsupported_grant_type"
    document = await (await http.get("/auth/.well-known/openid-configuration")).json()
    assert EXCHANGE not in document["grant_types_supported"]


async def test_with_one_discovery_says_so(program):
    document = await (await program.http.get("/auth/.well-known/openid-configuration")).json()
    assert EXCHANGE in document["grant_types_supported"]
