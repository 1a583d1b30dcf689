# SPDX-License-Identifier: Apache-2.0
"""The authorization code flow as each official client goes through it (wire contract sections 1.2 to 1.7)."""

from __future__ import annotations

import asyncio
import re

import jwt
import pytest

from oidc_dev.accounts import Account
from oidc_dev.redirects import OUT_OF_BAND
from tests.unit.oidc_dev.visitor import ALICE, CALLBACK, CHALLENGE, ISSUER, PASSWORD, REQUEST, Html, basic, query_of


async def claims_of(http, answer):
    """The claims, after the checks that clients make."""
    assert answer.status == 200, await answer.text()
    assert answer.headers["Cache-Control"] == "no-store"
    body = await answer.json()
    assert body["token_type"] == "Bearer"
    assert body["id_token"] == body["access_token"]
    keys = jwt.PyJWKSet.from_dict(await (await http.get("/auth/keys")).json())
    header = jwt.get_unverified_header(body["id_token"])
    assert header["alg"] == "RS256"
    claims = jwt.decode(
        body["id_token"],
        keys[header["kid"]],
        algorithms=["RS256"],
        audience="sigstore",
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert body["expires_in"] == claims["exp"] - claims["iat"]
    return claims


# --- the clients -------------------------------------------------------------------------------------------
async def test_sigstore_python_sends_its_empty_secret_in_the_query_and_by_basic(visitor, http):
    code = await visitor.code(client_secret="")
    answer = await visitor.redeem(code, client_id=None, headers=basic("sigstore:"))
    claims = await claims_of(http, answer)
    assert claims["email"] == ALICE
    assert claims["email_verified"] is True
    assert claims["aud"] == "sigstore"  # a plain string
    assert "nonce" not in claims
    assert "at_hash" not in claims


async def test_cosign_sends_a_nonce_twice_and_other_parameters_of_its_own(visitor, http):
    answer = await visitor.log_in(nonce="n-0S6_WzA2Mj", access_type="online", connector_id="x")
    found = query_of(answer)
    assert found["state"] == "a state"
    answer = await visitor.redeem(found["code"], nonce="n-0S6_WzA2Mj", client_id=None, headers=basic("sigstore:"))
    assert (await claims_of(http, answer))["nonce"] == "n-0S6_WzA2Mj"


async def test_sigstore_js_has_no_path_in_its_redirect_uri_and_names_itself_in_the_form(visitor, http):
    uri = "http://localhost:43211"
    answer = await visitor.log_in(redirect_uri=uri, nonce="n")
    assert answer.headers["Location"].startswith(f"{uri}?code=")
    answer = await visitor.redeem(query_of(answer)["code"], redirect_uri=uri)
    assert (await claims_of(http, answer))["nonce"] == "n"


async def test_out_of_band_the_page_shows_the_bare_code(visitor, http):
    page = await visitor.log_in(redirect_uri=OUT_OF_BAND)
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "Location" not in page.headers
    text = await page.text()
    (code,) = re.findall(r'<code id="code">([0-9a-f]{64})</code>', text)
    assert (await claims_of(http, await visitor.redeem(code, redirect_uri=OUT_OF_BAND)))["email"] == ALICE


@pytest.mark.parametrize("headers", [basic("sigstore:"), basic("sigstore:anything"), basic("%73igstore:"), {}])
@pytest.mark.parametrize("secret", [None, "", "anything"])
async def test_every_way_of_naming_the_public_client_is_taken(visitor, http, headers, secret):
    answer = await visitor.redeem(await visitor.code(), headers=headers, client_secret=secret)
    await claims_of(http, answer)


async def test_an_authorization_request_may_come_as_a_form(visitor, http):
    page = await http.post("/auth/auth", data=REQUEST)
    assert page.status == 200
    assert "password" in Html(await page.text()).inputs()


# --- what the token says -----------------------------------------------------------------------------------
async def test_the_token_is_of_the_moment_of_its_redemption_and_says_when_the_login_was(visitor, http, clock):
    login = int(clock().timestamp())
    code = await visitor.code()
    clock.turn(30)
    claims = await claims_of(http, await visitor.redeem(code))
    assert (claims["auth_time"], claims["iat"], claims["nbf"]) == (login, login + 30, login + 30)


async def test_without_the_email_scope_there_is_no_email(visitor, http):
    answer = await visitor.redeem(await visitor.code(scope="openid"))
    claims = await claims_of(http, answer)
    assert claims["sub"] == ALICE
    assert "email" not in claims


async def test_scopes_that_nobody_knows_are_dropped_o22(visitor):
    answer = await visitor.redeem(await visitor.code(scope="email groups openid offline_access"))
    body = await answer.json()
    assert body["scope"] == "openid email"
    assert "refresh_token" not in body


async def test_an_unverified_email_is_said_to_be_unverified_o19(visitor, http, accounts, hashed, clock):
    accounts.add(Account("new@example.com", hashed, verified=False, created=clock()))
    claims = await claims_of(http, await visitor.redeem(await visitor.code(email="new@example.com")))
    assert claims["email_verified"] is False


async def test_the_email_is_found_whatever_its_capitals_and_stated_as_the_account_has_it(visitor, http):
    claims = await claims_of(http, await visitor.redeem(await visitor.code(email="Alice@Example.COM")))
    assert claims["email"] == ALICE


async def test_a_login_hint_fills_the_form(visitor):
    assert (await visitor.form(login_hint=ALICE))["email"] == ALICE


async def test_who_cancels_is_reported_to_the_client(visitor):
    found = query_of(await visitor.send(await visitor.form() | {"action": "cancel"}))
    assert (found["error"], found["state"]) == ("access_denied", "a state")


async def test_who_cancels_out_of_band_is_told_so(visitor):
    page = await visitor.send(await visitor.form(redirect_uri=OUT_OF_BAND) | {"action": "cancel"})
    assert page.status == 400
    assert "cancelled" in await page.text()


async def test_nobody_gets_a_code_without_being_asked(visitor):
    assert query_of(await visitor.ask(prompt="none"))["error"] == "login_required"
    await visitor.code()
    found = query_of(await visitor.ask(prompt="none"))
    assert (found["error"], found["state"]) == ("interaction_required", "a state")


# --- a code is good once, for its owner, for a minute ----------------------------------------------------------
async def test_one_code_and_fifty_parallel_redemptions_are_one_token_o15(visitor):
    code = await visitor.code()
    answers = await asyncio.gather(*(visitor.redeem(code) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 49
    refused = next(answer for answer in answers if answer.status == 400)
    assert (await refused.json())["error"] == "invalid_grant"


@pytest.mark.parametrize(("redirect", "lifetime"), [(CALLBACK, 60), (OUT_OF_BAND, 300)])
async def test_a_code_expires_o15(visitor, clock, redirect, lifetime):
    for age, status in ((lifetime - 1, 200), (lifetime, 400)):
        page = await visitor.log_in(redirect_uri=redirect)
        text = await page.text()
        code = re.findall(r"[0-9a-f]{64}(?=</code>)", text)[0] if redirect == OUT_OF_BAND else query_of(page)["code"]
        clock.turn(age)
        assert (await visitor.redeem(code, redirect_uri=redirect)).status == status


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uri": "http://localhost:43210/other"}, "invalid_grant"),
        ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code": "0" * 64}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"client_id": "another"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"grant_type": '"\\\u00e9<x>'}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
    ],
)
async def test_a_code_is_bound_to_its_request_o15(visitor, changed, error):
    code = await visitor.code()
    answer = await visitor.redeem(**({"code": code} | changed))
    assert answer.status == 400
    body = await answer.json()
    assert body["error"] == error
    assert body["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_redemption_that_fails_uses_the_code_up_o15(visitor):
    code = await visitor.code()
    assert (await visitor.redeem(code, code_verifier="w" * 43)).status == 400
    answer = await visitor.redeem(code)
    assert (await answer.json())["error"] == "invalid_grant"


async def test_a_code_of_another_login_does_not_fit_this_clients_verifier_o15(visitor):
    """Code injection: the attacker's own code, put into the victim's client."""
    foreign = await visitor.code(code_challenge="A" * 43)
    assert (await visitor.redeem(foreign)).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic c2lnc3RvcmU="},  # no colon
        basic(":"),
        basic("another:"),
        {"Authorization": "Basic /zo="},  # not UTF-8
    ],
)
async def test_credentials_that_name_nobody_are_challenged(visitor, headers):
    answer = await visitor.redeem(await visitor.code(), headers=headers)
    assert answer.status == 401
    assert (await answer.json())["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_the_header_and_the_form_must_not_name_two_clients(visitor):
    answer = await visitor.redeem(await visitor.code(), client_id="another", headers=basic("sigstore:"))
    assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")


# --- PKCE ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", [None, "", "plain", "s256", "S512", "S256 plain"])
async def test_pkce_is_never_downgraded_by_its_method_o14(visitor, method):
    found = query_of(await visitor.ask(code_challenge_method=method))
    assert (found["error"], found["state"]) == ("invalid_request", "a state")
    assert "S256" in found["error_description"]


@pytest.mark.parametrize("challenge", [None, "", "A" * 42, "A" * 44, "A" * 128, "A" * 42 + "=", "A" * 42 + "~"])
async def test_pkce_is_never_left_out_o14(visitor, challenge):
    assert query_of(await visitor.ask(code_challenge=challenge))["error"] == "invalid_request"


@pytest.mark.parametrize(
    "verifier", [None, "", "w" * 42, "w" * 43, "w" * 128, "w" * 129, "w" * 42 + "\u00e9", "!" * 43]
)
async def test_only_the_right_verifier_gets_a_token_o14(visitor, verifier):
    answer = await visitor.redeem(await visitor.code(), code_verifier=verifier)
    assert answer.status == 400
    assert (await answer.json())["error"] in {"invalid_grant", "invalid_request"}


async def test_the_challenge_itself_is_no_verifier_o14(visitor):
    assert (await visitor.redeem(await visitor.code(), code_verifier=CHALLENGE)).status == 400


# --- userinfo ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_userinfo_says_who_the_token_is_about(visitor, http, method):
    token = (await (await visitor.redeem(await visitor.code())).json())["access_token"]
    answer = await http.request(method, "/auth/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 200
    assert await answer.json() == {"sub": ALICE, "email": ALICE, "email_verified": True}


async def test_two_tabs_of_one_browser_do_not_spoil_each_other(visitor):
    first, second = await visitor.form(state="1"), await visitor.form(state="2")
    login = {"email": ALICE, "password": PASSWORD, "action": "login"}
    assert query_of(await visitor.send(first | login))["state"] == "1"
    assert query_of(await visitor.send(second | login))["state"] == "2"
