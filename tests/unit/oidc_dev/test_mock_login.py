# SPDX-License-Identifier: Apache-2.0
"""A click instead of a password, at a provider for tests; and that it spares nothing else."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import jwt
import pytest

from oidc_dev.accounts import Account
from oidc_dev.mock_login import OFFERED, MockLogin
from oidc_dev.store import MemoryAccounts
from sigcore.errors import Malformed, Refused, Unavailable
from tests.unit.oidc_dev.visitor import ALICE, CHALLENGE, FORM, REQUEST, Html, query_of

BOB, CAROL = "bob@example.com", "carol@example.com"


@pytest.fixture
def mock(accounts):
    return MockLogin(accounts)


@pytest.fixture
def directory(directory, mock):
    return replace(directory, mock=mock)


def buttons(page: str) -> list[str | None]:
    return [a["value"] for tag, a in Html(page).elements if tag == "button" and a.get("name") == "as"]


async def begun(visitor) -> dict[str, str]:
    """A program that waits, and its page's path."""
    form = {
        "client_id": "sigstore",
        "scope": "openid email",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    answer = await visitor.http.post("/auth/device/code", data=urlencode(form), headers={"Content-Type": FORM})
    assert answer.status == 200
    return await answer.json()


async def claims_of(visitor, code: str) -> dict[str, object]:
    answer = await visitor.redeem(code)
    assert answer.status == 200, await answer.text()
    return jwt.decode((await answer.json())["id_token"], options={"verify_signature": False})


# --- whom it offers --------------------------------------------------------------------------------------------
def test_those_with_an_account_stand_before_those_of_every_stack_and_nobody_stands_twice(mock, accounts, clock):
    assert mock.offered() == (ALICE, BOB)
    accounts.add(Account("Bob@example.com", "", verified=True, created=clock()))
    accounts.add(Account(CAROL, "", verified=True, created=clock()))
    assert mock.offered() == (ALICE, "Bob@example.com", CAROL)
    accounts.set_disabled(ALICE, disabled=True)
    assert mock.offered() == ("Bob@example.com", CAROL)


def test_a_page_has_room_for_some_of_many(clock):
    accounts = MemoryAccounts()
    for number in range(OFFERED + 5):
        accounts.add(Account(f"user{number}@example.com", "", verified=True, created=clock()))
    assert len(MockLogin(accounts).offered()) == OFFERED


@pytest.mark.parametrize("email", ["", "alice", "a b@example.com", "alice@example.com\n", "x" * 300 + "@example.com"])
def test_nobody_is_logged_in_who_has_no_email(mock, email, clock):
    with pytest.raises(Malformed):
        mock.session(email, now=clock())
    with pytest.raises(Malformed):
        mock.answer_as(email)
    assert not mock.answers


def test_a_disabled_account_stays_disabled(mock, accounts, clock):
    accounts.set_disabled(ALICE, disabled=True)
    with pytest.raises(Refused, match="disabled"):
        mock.session(ALICE, now=clock())


# --- one click ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("email", [ALICE, BOB, CAROL])
async def test_a_click_on_the_login_page_is_a_login_for_one_answer(visitor, email):
    fields = await visitor.form()
    answer = await visitor.send({"request": fields["request"], "csrf": fields["csrf"], "as": email})
    assert "sigbox-session" not in str(answer.headers.getall("Set-Cookie", []))
    said = await claims_of(visitor, query_of(answer)["code"])
    assert (said["email"], said["email_verified"]) == (email, True)
    assert 'name="who"' not in await (await visitor.ask()).text()


async def test_an_account_counts_as_it_is(visitor, accounts, clock):
    accounts.add(Account(CAROL, "", verified=False, created=clock()))
    fields = await visitor.form()
    said = await claims_of(visitor, query_of(await visitor.send(fields | {"as": CAROL}))["code"])
    assert said["email_verified"] is False


async def test_a_click_on_the_device_page_allows_the_program(visitor):
    path = f"/auth/device?user_code={(await begun(visitor))['user_code']}"
    page = await (await visitor.http.get(path)).text()
    assert buttons(page) == [ALICE, BOB]
    fields = {name: value for name, value in Html(page).inputs().items() if name in ("user_code", "csrf")} | {"as": BOB}
    answer = await visitor.http.post("/auth/device", data=urlencode(fields), headers={"Content-Type": FORM})
    done = await answer.text()
    assert (answer.status, BOB in done, "stay signed in" in done) == (200, True, False)
    assert (await visitor.http.get(path)).status == 404


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_buttons_and_their_warning_are_in_the_readers_language(visitor, language):
    page = await (await visitor.http.get(f"/auth/auth?{urlencode(REQUEST | {'lang': language})}")).text()
    texts = {
        "en": ("For tests: whoever clicks is whoever", f"Log in as {ALICE}"),
        "ja": ("テスト用です。", f"{ALICE} としてログイン"),
    }
    assert all(text in page for text in texts[language])
    assert page.count("UNTRUSTED") == 1


# --- what it does not spare --------------------------------------------------------------------------------------
async def test_a_form_that_this_browser_was_not_shown_logs_nobody_in(visitor):
    fields = await visitor.form() | {"as": BOB}
    for changed in ({"csrf": "0" * 64}, {"request": fields["request"].replace("state=a", "state=b")}):
        answer = await visitor.send(fields | changed)
        assert (answer.status, "Location" in answer.headers) == (403, False)
    assert (await visitor.send(fields, Origin="https://evil.example")).status == 403
    visitor.http.session.cookie_jar.clear()
    assert (await visitor.send(fields)).status == 403


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c"])
async def test_a_click_as_nobody_shows_the_form_again(visitor, email):
    answer = await visitor.send(await visitor.form() | {"as": email})
    assert (answer.status, "Location" in answer.headers) == (403, False)


async def test_nobody_answers_for_a_disabled_account(visitor, accounts, mock):
    accounts.set_disabled(ALICE, disabled=True)
    mock.answer_as(ALICE)
    page = await visitor.ask()
    assert (page.status, "Location" in page.headers) == (200, False)
    mock.answer_as(BOB)
    assert (await visitor.ask()).status == 303


async def test_accounts_that_cannot_be_read_are_said_and_nobody_is_logged_in(visitor, mock, accounts, monkeypatch):
    def broken(*_arguments):
        raise Unavailable("the disk is away")

    monkeypatch.setattr(accounts, "list", broken)
    assert (await visitor.ask()).status == 503
    monkeypatch.setattr(accounts, "find", broken)
    mock.answer_as(BOB)
    path = f"/auth/device?user_code={(await begun(visitor))['user_code']}"
    assert ((await visitor.ask()).status, (await visitor.http.get(path)).status) == (503, 503)


class TestWithoutIt:
    """A provider as it is everywhere else."""

    @pytest.fixture
    def directory(self, directory):
        return replace(directory, mock=None)

    async def test_the_pages_offer_nobody_and_the_field_means_nothing(self, visitor):
        page = await (await visitor.ask()).text()
        assert (buttons(page), "For tests" in page) == ([], False)
        answer = await visitor.send(Html(page).inputs() | {"as": ALICE})
        assert (answer.status, "Location" in answer.headers) == (403, False)
        code = (await begun(visitor))["user_code"]
        page = await (await visitor.http.get(f"/auth/device?user_code={code}")).text()
        fields = Html(page).inputs() | {"as": ALICE}
        answer = await visitor.http.post("/auth/device", data=urlencode(fields), headers={"Content-Type": FORM})
        assert (buttons(page), answer.status) == ([], 403)
