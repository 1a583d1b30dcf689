# SPDX-License-Identifier: Apache-2.0
"""The device flow (RFC 8628): two codes, one answer, and nothing for whoever has only one of them."""

from __future__ import annotations

import asyncio
import re

import jwt
import pytest

from oidc_dev import devices
from oidc_dev.device_pages import UNKNOWN
from oidc_dev.devices import INTERVAL_S, LIFETIME_S, MOST, Device, Devices, plain_user_code
from oidc_dev.server import PER_ADDRESS
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import ALICE, CHALLENGE, ISSUER, PASSWORD, VERIFIER, Clock, Html


@pytest.fixture
def program(http):
    return Program(http)


async def test_who_allows_it_gets_the_program_one_token(program, clock):
    begun = await program.begun(nonce="n")
    assert re.fullmatch(r"[A-Z]{4}-[A-Z]{4}", begun["user_code"])
    assert begun["verification_uri"] == f"{ISSUER}/device"
    assert begun["verification_uri_complete"] == f"{ISSUER}/device?user_code={begun['user_code']}"
    assert (begun["interval"], begun["expires_in"]) == (INTERVAL_S, LIFETIME_S)
    assert await program.error(begun["device_code"]) == "authorization_pending"
    page = await program.decide(begun["user_code"])
    assert ALICE in await page.text()
    answer = await program.poll(begun["device_code"])
    body = await answer.json()
    claims = jwt.decode(body["id_token"], options={"verify_signature": False})
    assert (claims["email"], claims["aud"], claims["nonce"]) == (ALICE, "sigstore", "n")
    assert claims["auth_time"] == int(clock().timestamp())
    assert body["access_token"] == body["id_token"]
    assert await program.error(begun["device_code"]) == "invalid_grant"


async def test_fifty_polls_at_one_time_are_one_token_o15(program):
    begun = await program.begun()
    await program.decide(begun["user_code"])
    answers = await asyncio.gather(*(program.poll(begun["device_code"]) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 49


async def test_who_denies_it_is_heard_once(program):
    begun = await program.begun()
    assert "Denied" in await (await program.decide(begun["user_code"], action="deny")).text()
    assert await program.error(begun["device_code"]) == "access_denied"
    assert await program.error(begun["device_code"]) == "invalid_grant"


async def test_who_asks_too_often_is_told_to_slow_down_and_waits_longer_each_time(program, clock):
    code = (await program.begun())["device_code"]
    assert await program.error(code) == "authorization_pending"
    clock.turn(INTERVAL_S - 1)
    assert await program.error(code) == "slow_down"
    clock.turn(INTERVAL_S)
    assert await program.error(code) == "slow_down"
    clock.turn(3 * INTERVAL_S)
    assert await program.error(code) == "authorization_pending"


@pytest.mark.parametrize(("age", "error"), [(LIFETIME_S - 1, "authorization_pending"), (LIFETIME_S, "expired_token")])
async def test_a_program_waits_ten_minutes_and_is_told_so(program, clock, age, error):
    begun = await program.begun()
    clock.turn(age)
    assert await program.error(begun["device_code"]) == error


async def test_nobody_can_allow_what_has_expired(program, clock):
    begun = await program.begun()
    form = await program.form(begun["user_code"])
    clock.turn(LIFETIME_S)
    page = await program.post("/auth/device", form | {"email": ALICE, "password": PASSWORD, "action": "login"})
    assert page.status == 404
    assert await program.error(begun["device_code"]) == "expired_token"


async def test_a_wrong_password_allows_nothing_and_can_be_corrected(program):
    begun = await program.begun()
    page = await program.decide(begun["user_code"], password="wrong password")
    assert page.status == 403
    assert Html(await page.text()).inputs()["password"] == ""
    assert await program.error(begun["device_code"]) == "authorization_pending"
    assert (await program.decide(begun["user_code"])).status == 200


# --- PKCE ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("verifier", [None, "", "w" * 42, "w" * 43, "w" * 129, CHALLENGE])
async def test_a_stolen_device_code_is_worth_nothing_and_lost_o14(program, verifier):
    begun = await program.begun()
    await program.decide(begun["user_code"])
    assert await program.error(begun["device_code"], code_verifier=verifier) == "invalid_grant"
    assert await program.error(begun["device_code"]) == "invalid_grant"


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None},
        {"code_challenge": ""},
        {"code_challenge": "A" * 42},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "plain", "code_challenge": VERIFIER[:43]},
    ],
)
async def test_no_program_waits_without_a_challenge_o14(program, changed):
    answer = await program.begin(**changed)
    assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "another"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": "<b>"}, "invalid_scope"),
    ],
)
async def test_what_is_wrong_with_a_beginning_is_said(program, changed, error):
    answer = await program.begin(**changed)
    assert (answer.status, (await answer.json())["error"]) == (400, error)


async def test_a_device_code_is_of_one_client_and_unknown_scopes_are_dropped_o22(program):
    begun = await program.begun(scope="openid email groups offline_access")
    assert await program.error(begun["device_code"], client_id="another") == "invalid_client"
    await program.decide(begun["user_code"])
    body = await (await program.poll(begun["device_code"])).json()
    assert body["scope"] == "openid email"
    assert "refresh_token" not in body


# --- the page ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("typed", ["{0}", " {0} ", "{0}x", "{1}", "{2}"])
async def test_a_code_is_found_however_it_is_typed(program, typed):
    code = (await program.begun())["user_code"]
    if typed.endswith("x"):
        typed = "{0}-"
    await program.form(typed.format(code, code.replace("-", ""), code.lower().replace("-", " ")))


@pytest.mark.parametrize("code", ["x", "BCDF-GHJK", "-" * 64, "\u00e9", "<script>", "0" * 300])
async def test_an_unknown_code_is_said_to_be_unknown(http, code):
    page = await http.get("/auth/device", params={"user_code": code})
    assert page.status == 404
    assert UNKNOWN in await page.text()
    assert "script" not in [tag for tag, _ in Html(await page.text()).elements]


async def test_codes_cannot_be_tried_without_end_o19(http, clock):
    statuses = [(await http.get("/auth/device?user_code=BCDF-GHJK")).status for _ in range(70)]
    assert statuses == [404] * 60 + [429] * 10
    clock.turn(1)
    assert (await http.get("/auth/device?user_code=BCDF-GHJK")).status == 404


async def test_a_page_without_a_code_asks_for_one(http):
    page = await http.get("/auth/device")
    assert page.status == 200
    assert "user_code" in Html(await page.text()).inputs()
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_a_form_is_good_for_its_own_code_and_from_our_own_origin_o17(program):
    begun, other = await program.begun(), await program.begun()
    form = await program.form(begun["user_code"]) | {"email": ALICE, "password": PASSWORD, "action": "login"}
    theirs = plain_user_code(other["user_code"])
    for forged in ({"csrf": ""}, {"csrf": "0" * 64}, {"user_code": theirs}):
        assert (await program.post("/auth/device", form | forged)).status == 403
    assert (await program.post("/auth/device", form, {"Origin": "https://evil.example"})).status == 403
    assert await program.error(begun["device_code"]) == "authorization_pending"
    assert (await program.post("/auth/device", form)).status == 200


async def test_a_form_of_another_browser_allows_nothing_and_denies_nothing_o16(program, http):
    begun = await program.begun()
    form = await program.form(begun["user_code"]) | {"email": ALICE, "password": PASSWORD}
    http.session.cookie_jar.clear()
    for action in ("login", "deny", "continue"):
        assert (await program.post("/auth/device", form | {"action": action})).status == 403
    assert await program.error(begun["device_code"]) == "authorization_pending"


async def test_who_approves_sees_where_it_was_asked_for_o17(program):
    begun = await program.begun()
    page = await program.http.get(f"/auth/device?user_code={begun['user_code']}")
    text = await page.text()
    assert begun["user_code"] in text
    assert "127.0.0.1" in text


# --- bounds --------------------------------------------------------------------------------------------------
async def test_one_address_begins_few_logins_d09(program, clock):
    statuses = [(await program.begin()).status for _ in range(PER_ADDRESS.burst + 2)]
    assert statuses == [200] * PER_ADDRESS.burst + [429] * 2
    clock.turn(PER_ADDRESS.pause_s)
    assert (await program.begin()).status == 200


def waiting(now, user_code="BCDFGHJK") -> Device:
    return Device("sigstore", "openid", "", CHALLENGE, user_code, "", now, now.replace(year=now.year + 1))


def test_when_too_many_wait_nobody_is_pushed_out_d09(monkeypatch):
    monkeypatch.setattr(devices, "MOST", 3)
    now, store = Clock()(), Devices()
    codes = [store.begin(waiting(now), now=now) for _ in range(4)]
    assert codes[3] is None
    assert all(store.poll(code, now=now)[0] for code in codes[:3])
    assert MOST > 3


def test_user_codes_are_of_their_own_and_hold_no_word(monkeypatch):
    now, store = Clock()(), Devices()
    codes = {store.new_user_code() for _ in range(200)}
    assert len(codes) == 200
    assert not set("".join(codes)) & set("AEIOU0123456789")
    store.begin(waiting(now), now=now)
    answers = iter("BCDFGHJK" + "ZZZZZZZZ")
    monkeypatch.setattr(devices.secrets, "choice", lambda _letters: next(answers))
    assert store.new_user_code() == "ZZZZZZZZ"


async def test_a_dump_of_the_memory_holds_no_device_code(program, http):
    begun = await program.begun()
    store = Devices()
    now = Clock()()
    code = store.begin(waiting(now), now=now)
    assert code not in repr(store.__dict__)
    assert len(begun["device_code"]) == 43
