# SPDX-License-Identifier: Apache-2.0
"""Sessions (O26): a new name at each login, an end by idling, by age and by will, and a question before every token."""

from __future__ import annotations

import jwt
import pytest

from oidc_dev.accounts import Account
from oidc_dev.app import make_app
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider
from oidc_dev.rules import LoginRules
from oidc_dev.sessions import MOST_OF_ONE, Sessions
from oidc_dev.signing import KeyRing
from sigcore.errors import Malformed, Unavailable
from tests.unit.oidc_dev.visitor import ALICE, PASSES, Clock, Html, Visitor, query_of

RULES = LoginRules()
COOKIE = "sigbox-session"


async def goes_on(visitor, **changed: str | None):
    """Press the button that a session offers."""
    return await visitor.send(await visitor.form(**changed) | {"action": "continue"})


def offers(text: str) -> bool:
    return any(attributes.get("value") == "continue" for tag, attributes in Html(text).elements if tag == "button")


def session_of(visitor) -> str:
    return next((cookie.value for cookie in visitor.http.session.cookie_jar if cookie.key == COOKIE), "")


async def shown_to(visitor, session: str) -> str:
    """Who is logged in for a browser with this cookie and no other."""
    visitor.http.session.cookie_jar.clear()
    page = await visitor.http.get("/auth/session", headers={"Cookie": f"{COOKIE}={session}"})
    assert page.status == 200
    return ALICE if ALICE in await page.text() else ""


async def test_a_session_spares_the_password_and_not_the_question_o26(visitor, clock):
    first = await visitor.code()
    clock.turn(60)
    page = await visitor.ask()
    assert page.status == 200
    assert offers(await page.text())
    second = query_of(await goes_on(visitor))["code"]
    assert first != second
    body = await (await visitor.redeem(second)).json()
    claims = jwt.decode(body["id_token"], options={"verify_signature": False})
    assert claims["email"] == ALICE
    assert claims["iat"] - claims["auth_time"] == 60  # the password was given a minute ago, and the token says so


async def test_the_cookie_is_new_at_each_login_and_the_one_before_opens_nothing_o26(visitor):
    await visitor.code()
    before = session_of(visitor)
    await visitor.code()
    after = session_of(visitor)
    assert after != before
    assert await shown_to(visitor, after) == ALICE
    assert await shown_to(visitor, before) == ""


@pytest.mark.parametrize("planted", ["x", "a" * 43, "", "\u00e9", "a" * 5000])
async def test_a_cookie_that_was_planted_becomes_no_session_o26(visitor, planted):
    form = await visitor.form() | {"email": ALICE, "password": "wrong password", "action": "login"}
    cookies = "; ".join(f"{c.key}={c.value}" for c in visitor.http.session.cookie_jar)
    visitor.http.session.cookie_jar.clear()
    answer = await visitor.send(form, Cookie=f"{cookies}; {COOKIE}={planted}")
    assert COOKIE not in answer.cookies
    assert await shown_to(visitor, planted) == ""


async def test_the_session_cookie_is_for_this_site_alone_and_not_for_scripts_o26(
    visitor, aiohttp_client, directory, signing_key, clock
):
    cookie = next(line for line in (await visitor.log_in()).headers.getall("Set-Cookie") if COOKIE in line)
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert not any(part in cookie for part in ("Secure", "Domain", "Max-Age", "expires"))
    secure = Provider("https://sigstore.corp.example/auth", KeyRing(signing_key), clock)
    behind_tls = await aiohttp_client(make_app(secure, directory))
    page = await Visitor(behind_tls).ask()
    (name, value), *_ = ((c.key, c.value) for c in page.cookies.values())
    form = Html(await page.text()).inputs() | {"email": ALICE, "password": "correct horse battery staple"}
    answer = await Visitor(behind_tls).send(form, Cookie=f"{name}={value}")
    cookie = next(line for line in answer.headers.getall("Set-Cookie") if COOKIE in line)
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert "Secure" in cookie


@pytest.mark.parametrize(
    ("steps", "open_"),
    [
        ([RULES.idle_s - 1], True),
        ([RULES.idle_s], False),
        ([RULES.idle_s - 1] * 3, True),
        ([RULES.idle_s - 60] * ((RULES.session_s - 1) // (RULES.idle_s - 60)), True),
        ([RULES.idle_s - 60] * (RULES.session_s // (RULES.idle_s - 60) + 1), False),
        ([-1], False),
    ],
)
async def test_a_session_ends_by_idling_by_age_and_when_the_clock_is_set_back_o26(visitor, clock, steps, open_):
    await visitor.code()
    for step in steps:
        clock.turn(step)
        text = await (await visitor.ask()).text()
    assert offers(text) is open_


async def test_who_signs_out_is_signed_out_here_and_with_a_copy_of_the_cookie_o26(visitor):
    await visitor.code()
    copy = session_of(visitor)
    page = await visitor.http.get("/auth/session")
    assert ALICE in await page.text()
    form = Html(await page.text()).inputs()
    forged = await visitor.http.post("/auth/session", data={"csrf": "0" * 64})
    assert forged.status == 403
    assert ALICE in await (await visitor.http.get("/auth/session")).text()
    answer = await visitor.http.post("/auth/session", data=form)
    assert answer.status == 200
    assert session_of(visitor) == ""
    assert await shown_to(visitor, copy) == ""


@pytest.mark.parametrize("change", ["removed", "disabled", "another password", "one-time codes"])
async def test_a_session_ends_with_whatever_changes_its_account_o26(visitor, accounts, change):
    await visitor.code()
    assert offers(await (await visitor.ask()).text())
    {
        "removed": lambda: accounts.remove(ALICE),
        "disabled": lambda: accounts.set_disabled(ALICE, disabled=True),
        "another password": lambda: accounts.set_password(ALICE, "$argon2id$another"),
        "one-time codes": lambda: accounts.set_one_time(ALICE, b"sealed"),
    }[change]()
    form = await visitor.form()
    assert not offers(await (await visitor.ask()).text())
    answer = await visitor.send(form | {"action": "continue"})
    assert answer.status == 403
    assert "Location" not in answer.headers


async def test_nobody_goes_on_as_somebody_else_than_the_page_has_shown_o26(visitor, accounts, hashed, clock):
    accounts.add(Account("bob@example.com", hashed, verified=True, created=clock()))
    await visitor.code()
    shown = await visitor.form()
    assert shown["who"] == ALICE
    await visitor.log_in(email="bob@example.com")  # in another tab
    answer = await visitor.send(shown | {"action": "continue"})
    assert (answer.status, "Location" in answer.headers) == (403, False)
    assert (await visitor.form())["who"] == "bob@example.com"


@pytest.mark.parametrize("wanted", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "59"}])
async def test_a_program_may_want_a_login_and_the_button_cannot_be_forged_o26(visitor, clock, wanted):
    await visitor.code()
    clock.turn(60)
    assert not offers(await (await visitor.ask(**wanted)).text())
    answer = await goes_on(visitor, **wanted)
    assert (answer.status, "Location" in answer.headers) == (403, False)
    assert offers(await (await visitor.ask(max_age="60")).text())


@pytest.mark.parametrize("age", ["-1", "1e3", "\u0661", "x", "9" * 10])
async def test_a_maximal_age_is_a_number(visitor, age):
    assert query_of(await visitor.ask(max_age=age))["error"] == "invalid_request"


async def test_without_a_session_nobody_goes_on(visitor):
    answer = await goes_on(visitor)
    assert (answer.status, "Location" in answer.headers) == (403, False)


async def test_a_stack_without_sessions_asks_every_time(aiohttp_client, provider, accounts):
    directory = Directory(accounts, rules=LoginRules(passes=PASSES, session_s=0))
    visitor = Visitor(await aiohttp_client(make_app(provider, directory)))
    await visitor.code()
    assert session_of(visitor) == ""
    assert not offers(await (await visitor.ask()).text())


async def test_an_answer_about_accounts_that_cannot_be_read_names_no_file(visitor, accounts, monkeypatch, caplog):
    await visitor.code()

    def find(_email):
        raise Unavailable("the accounts in /secret/place cannot be used")

    monkeypatch.setattr(accounts, "find", find)
    for path in ("/auth/session", "/auth/auth"):
        answer = await (visitor.http.get(path) if path == "/auth/session" else visitor.ask())
        assert answer.status == 503
        assert "/secret/place" not in await answer.text()
    assert "/secret/place" in caplog.text


# --- bounds --------------------------------------------------------------------------------------------------
def test_one_account_has_few_sessions_and_its_oldest_ends():
    now, sessions = Clock()(), Sessions(RULES)
    alice, bob = (Account(f"{name}@example.com", "x", verified=True, created=now) for name in ("alice", "bob"))
    other = sessions.begin(bob, now=now)
    names = [sessions.begin(alice, now=now) for _ in range(MOST_OF_ONE + 3)]
    assert [bool(sessions.find(name, now=now)) for name in names] == [False] * 3 + [True] * MOST_OF_ONE
    assert sessions.find(other, now=now)
    assert not any(name in repr(sessions.__dict__) for name in names)


@pytest.mark.parametrize(
    "wrong", [{"passes": 1}, {"passes": 1001}, {"idle_s": 0}, {"idle_s": 8 * 86400}, {"session_s": -1}]
)
def test_rules_that_nobody_can_mean_are_refused(wrong):
    with pytest.raises(Malformed):
        LoginRules(**wrong)
