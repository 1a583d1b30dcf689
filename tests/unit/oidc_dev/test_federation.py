# SPDX-License-Identifier: Apache-2.0
"""Logging in through a provider of others: what is sent there, what is believed of what comes back, and what is not."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from oidc_dev.federation import LIFETIME_S, MOST, PER_ADDRESS
from oidc_dev.guests import Guest, identity_of_user
from sigcore.errors import Malformed, NotFound, Refused, SigError
from tests.unit.oidc_dev.abroad import BASE, COOKIE, IDP, OTHER_KEY, Abroad, Traveller
from tests.unit.oidc_dev.visitor import REQUEST

BOND = Guest("bond@corp.example", "corp:007", IDP, "007")


@pytest.fixture
def abroad(clock):
    return Abroad(clock)


@pytest.fixture
def traveller(abroad):
    return Traveller(abroad, abroad.federation())


async def test_who_comes_back_is_known_with_what_was_asked_before(traveller):
    asked, guest = await traveller.travel()
    assert asked == REQUEST
    assert guest == BOND


async def test_each_login_has_state_nonce_and_challenge_of_its_own(traveller):
    first, second = await traveller.go(), await traveller.go()
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) == 43
        assert first[name] != second[name]
    assert first["redirect_uri"] == f"{BASE}/upstream/corp/callback"
    assert (first["scope"], first["code_challenge_method"]) == ("openid email", "S256")


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [({}, None), ({"prompt": "consent"}, None), ({"prompt": "login"}, "login"), ({"max_age": "0"}, "login")],
)
async def test_a_program_that_wants_a_login_gets_one_there_too(traveller, abroad, clock, asked, prompt):
    url = await traveller.federation.begin("corp", REQUEST | asked, cookie=COOKIE, address="", now=clock())
    assert parse_qs(urlsplit(url).query).get("prompt", [None]) == [prompt]


async def test_without_a_secret_the_code_is_redeemed_by_pkce_alone(traveller, abroad):
    query = await traveller.go()
    await traveller.come_back({"state": query["state"], "code": "a code"})
    [(form, headers)] = abroad.forms()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
    assert challenge == query["code_challenge"]
    assert (form["code"], form["client_id"], form["redirect_uri"]) == ("a code", "sigbox", query["redirect_uri"])
    assert "Authorization" not in headers


async def test_a_secret_goes_by_basic_with_both_halves_encoded(abroad):
    await Traveller(abroad, abroad.federation(client_secret="p:ä +")).travel()
    [(form, headers)] = abroad.forms()
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"sigbox:p%3A%C3%A4%20%2B"
    assert "client_id" not in form
    assert "client_secret" not in form


# --- O16, O21: the answer belongs to this login, of this browser --------------------------------------------------------
async def test_an_answer_counts_once(traveller):
    answer = {"state": (await traveller.go())["state"], "code": "a code"}
    await traveller.come_back(answer)
    with pytest.raises(Refused, match="was ended before"):
        await traveller.come_back(answer)


async def test_a_failed_answer_uses_the_login_up_too(traveller):
    answer = {"state": (await traveller.go())["state"]}
    with pytest.raises(Malformed, match="has no code"):
        await traveller.come_back(answer)
    with pytest.raises(Refused, match="was ended before"):
        await traveller.come_back(answer | {"code": "a code"})


@pytest.mark.parametrize("state", ["", "x" * 43, "é"])
async def test_an_answer_to_no_login_of_ours_is_refused_and_nothing_is_redeemed(traveller, abroad, state):
    await traveller.go()
    with pytest.raises(Refused, match="not known here"):
        await traveller.come_back({"state": state, "code": "a code"})
    assert abroad.forms() == []


@pytest.mark.parametrize("cookie", ["", "d" * 43, COOKIE[:-1]])
async def test_an_answer_in_another_browser_is_refused(traveller, abroad, cookie):
    query = await traveller.go()
    with pytest.raises(Refused, match="begun in another browser"):
        await traveller.come_back({"state": query["state"], "code": "a code"}, cookie=cookie)
    assert abroad.forms() == []


async def test_an_answer_that_comes_too_late_is_refused(traveller, clock):
    query = await traveller.go()
    clock.turn(LIFETIME_S)
    with pytest.raises(Refused, match="took too long"):
        await traveller.come_back({"state": query["state"], "code": "a code"})


async def test_an_answer_to_a_login_at_another_provider_is_refused(abroad):
    other = abroad.upstream(name="other")
    traveller = Traveller(abroad, abroad.federation(other))
    query = await traveller.go()
    with pytest.raises(Refused, match="not known here"):
        await traveller.come_back({"state": query["state"], "code": "a code"}, name="other")
    assert abroad.forms() == []


@pytest.mark.parametrize("nonce", [None, "another", ["a"], 7, ""])
async def test_a_token_without_the_nonce_of_this_login_is_refused(traveller, abroad, nonce):
    query = await traveller.go()
    abroad.claims["nonce"] = nonce
    with pytest.raises(Refused, match="another nonce"):
        await traveller.come_back({"state": query["state"], "code": "a code"})


# --- RFC 9207: who answers ----------------------------------------------------------------------------------------------
async def test_the_issuer_in_the_answer_is_compared_where_it_is_sent(traveller):
    assert (await traveller.travel(iss=IDP))[1] == BOND
    with pytest.raises(Refused, match=r"from 'https://evil\.example', expected 'https://login\.corp\.example'"):
        await traveller.travel(iss="https://evil.example")


async def test_the_issuer_in_the_answer_may_not_be_missing_where_it_was_promised(abroad):
    discovery = abroad.discovery(authorization_response_iss_parameter_supported=True)
    abroad.documents[f"{IDP}/.well-known/openid-configuration"] = discovery
    traveller = Traveller(abroad, abroad.federation())
    assert (await traveller.travel(iss=IDP))[1] == BOND
    with pytest.raises(Refused, match="from nobody"):
        await traveller.travel()


async def test_what_the_provider_says_of_its_refusal_is_told(traveller, abroad):
    with pytest.raises(Refused, match="Corp refused the login: 'access_denied: not on a Sunday'"):
        await traveller.travel(error="access_denied", error_description="not on a Sunday")
    assert abroad.forms() == []


# --- the token ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "somebody else"}, "audience"),
        ({"aud": ["sigbox", "somebody else"]}, "audience"),
        ({"iss": f"{IDP}/"}, "not accepted"),
        ({"iss": "https://evil.example"}, "not accepted"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"iat": 99999999999, "exp": 99999999999}, "not valid yet"),
        ({"sub": ""}, "sub is empty"),
        ({"sub": "x" * 256}, "255 ASCII"),
        ({"sub": "ü"}, "255 ASCII"),
        ({"azp": "somebody else"}, "another client"),
    ],
)
async def test_a_token_that_is_not_for_us_and_now_is_refused(traveller, abroad, claims, why):
    abroad.claims |= claims
    with pytest.raises(SigError, match=why):
        await traveller.travel()


async def test_a_token_signed_by_somebody_else_is_refused(traveller, abroad):
    abroad.key = OTHER_KEY
    with pytest.raises(Refused, match="signature does not verify"):
        await traveller.travel()


@pytest.mark.parametrize(
    "header", [{"kid": "other"}, {"alg": "none"}, {"alg": "HS256"}, {"jku": "https://evil.example"}]
)
async def test_the_tokens_header_chooses_nothing(traveller, abroad, header):
    abroad.header |= header
    with pytest.raises(Refused, match="the token of https://login"):
        await traveller.travel()


# --- O24: nothing is fetched from anywhere else -------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://login.corp.example/x",
        "https://login.corp.example:444/x",
        "https://login.corp.example@evil.example/x",
        "https://login.corp.example.evil.example/x",
        "https://LOGIN.corp.example/x",
        "file:///etc/passwd",
        "//login.corp.example/x",
        "https://login.corp.example",
        "https://login.corp.example\\@evil.example/x",
        "https://login.corp.example/x\ny",
        "https://login[.corp.example/x",
        "https://login.corp.example/x#y",
        " https://login.corp.example/x",
        "",
    ],
)
async def test_a_discovery_document_cannot_send_us_elsewhere(traveller, abroad, name, url):
    abroad.documents[f"{IDP}/.well-known/openid-configuration"] = abroad.discovery(**{name: url})
    with pytest.raises(Refused, match=r"not on login\.corp\.example"):
        await traveller.go()
    assert [asked for asked, _, _ in abroad.asked] == [f"{IDP}/.well-known/openid-configuration"]


async def test_a_host_that_the_row_names_is_as_good_as_the_issuers(abroad):
    discovery = abroad.discovery(jwks_uri="https://keys.corp.example/jwks")
    abroad.documents[f"{IDP}/.well-known/openid-configuration"] = discovery
    await Traveller(abroad, abroad.federation(hosts=("keys.corp.example",))).go()


async def test_a_discovery_document_of_another_issuer_is_refused_and_not_kept(traveller, abroad):
    abroad.documents[f"{IDP}/.well-known/openid-configuration"] = abroad.discovery(issuer=f"{IDP}/")
    for _ in range(2):
        with pytest.raises(Refused, match="look for a trailing slash"):
            await traveller.go()
    abroad.documents.clear()
    await traveller.go()


async def test_the_keys_of_today_count_and_the_discovery_document_is_kept_for_a_while(traveller, abroad, clock):
    await traveller.travel()
    await traveller.travel()
    urls = [url for url, _, _ in abroad.asked]
    assert urls.count(f"{IDP}/.well-known/openid-configuration") == 1
    assert urls.count(f"{IDP}/keys") == 2
    clock.turn(301)
    await traveller.travel()
    assert [url for url, _, _ in abroad.asked].count(f"{IDP}/.well-known/openid-configuration") == 2


# --- bounds -------------------------------------------------------------------------------------------------------------
async def test_one_address_cannot_begin_without_end(traveller, clock):
    for _ in range(PER_ADDRESS.burst):
        await traveller.go()
    with pytest.raises(Refused, match="too many logins"):
        await traveller.go()
    await traveller.go(address="127.0.0.2")
    clock.turn(PER_ADDRESS.pause_s)
    await traveller.go()


async def test_logins_under_way_are_bounded_and_the_oldest_goes_first(traveller):
    queries = [await traveller.go(address=str(number)) for number in range(MOST + 1)]
    with pytest.raises(Refused, match="not known here"):
        await traveller.come_back({"state": queries[0]["state"], "code": "a code"})
    assert (await traveller.come_back({"state": queries[-1]["state"], "code": "a code"}))[1] == BOND


async def test_a_provider_that_is_not_configured_is_not_found(traveller, clock):
    with pytest.raises(NotFound):
        await traveller.federation.begin("../corp", REQUEST, cookie=COOKIE, address="", now=clock())


# --- userinfo -----------------------------------------------------------------------------------------------------------
async def test_userinfo_adds_what_the_token_lacks_and_changes_nothing_in_it(abroad):
    abroad.claims["groups"] = None
    userinfo = {"sub": "007", "groups": ["spies"], "email": "mallory@corp.example"}
    abroad.documents[f"{IDP}/userinfo"] = userinfo
    traveller = Traveller(abroad, abroad.federation(userinfo=True, groups=("spies",)))
    assert (await traveller.travel())[1] == BOND
    assert abroad.asked[-1][2] == {"Authorization": "Bearer opaque"}


async def test_userinfo_about_somebody_else_is_refused(abroad):
    abroad.documents[f"{IDP}/userinfo"] = {"sub": "008", "groups": ["spies"]}
    with pytest.raises(Refused, match="somebody else"):
        await Traveller(abroad, abroad.federation(userinfo=True)).travel()


# --- what our token says ------------------------------------------------------------------------------------------------
def test_our_token_says_who_knows_the_guest(clock):
    identity = identity_of_user(BOND, scope="openid email", nonce="n", logged_in=clock())
    assert (identity.email, identity.subject) == ("bond@corp.example", "corp:007")
    extra = dict(identity.extra)
    assert extra["federated_claims"] == {"connector_id": "corp", "user_id": "007"}
    named = identity_of_user(replace(BOND, certified=True), scope="openid email", nonce="", logged_in=clock())
    assert dict(named.extra)["federated_claims"] == {"connector_id": IDP, "user_id": "007"}
    assert (extra["nonce"], extra["auth_time"]) == ("n", int(clock().timestamp()))
    assert identity_of_user(BOND, scope="openid", nonce="", logged_in=clock()).email == ""
