# SPDX-License-Identifier: Apache-2.0
"""Guessing passwords and accounts (O19): one message, one duration, few tries, and a way back for the owner."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from oidc_dev import logins
from oidc_dev.app import make_app
from oidc_dev.logins import QUEUE, WRONG
from oidc_dev.parts import Directory
from oidc_dev.passwords import Passwords
from oidc_dev.rules import PASSES as DEFAULT_PASSES
from oidc_dev.throttle import MOST, Rate, Throttle, network_of
from sigcore.errors import Malformed, Unavailable
from tests.unit.oidc_dev.visitor import ALICE, PASSES, PASSWORD, Html, Visitor

PASSWORDS = Passwords(PASSES)


async def test_an_unknown_account_and_a_wrong_password_get_the_same_page_o19(visitor):
    wrong = await visitor.log_in(password="wrong password")
    unknown = await visitor.log_in(email="carol@example.com")
    assert (wrong.status, unknown.status) == (403, 403)
    texts = [(await answer.text()).replace("carol@", "alice@") for answer in (wrong, unknown)]
    assert texts[0] == texts[1]
    assert WRONG in texts[0]


async def test_the_form_after_a_wrong_password_works_and_holds_no_password(visitor):
    page = await visitor.log_in(password="wrong password")
    form = Html(await page.text()).inputs()
    assert form["password"] == ""
    assert (await visitor.send(form | {"email": ALICE, "password": PASSWORD, "action": "login"})).status == 303


def test_checking_nobodys_password_takes_as_long_as_checking_somebodys_o19(hashed):
    """Medians of this thread's processor time over 200 interleaved tries differ by less than a tenth."""

    def duration(of: str | None) -> float:
        begin = time.thread_time()
        assert not PASSWORDS.holds(of, "wrong password")
        return time.thread_time() - begin

    pairs = [(duration(hashed), duration(None)) for _ in range(100)]
    known, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert 0.9 < unknown / known < 1.1
    assert known > 0.001  # a hash, and in this thread


def test_a_cheaper_hash_from_before_takes_as_long_as_nobodys_o19():
    dearer, old = Passwords(6), Passwords(2).hash(PASSWORD)

    def duration(of: str | None) -> float:
        begin = time.thread_time()
        assert not dearer.holds(of, "wrong password")
        return time.thread_time() - begin

    pairs = [(duration(old), duration(None)) for _ in range(9)]
    known, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert 0.85 < unknown / known < 1.15
    assert dearer.holds(old, PASSWORD)
    assert dearer.is_outdated(old)


@pytest.mark.parametrize("hashed_none", [None, "", "plain", "$2b$12$of-another-kind"])
def test_no_password_fits_nobody_and_no_other_hash(hashed_none):
    assert not PASSWORDS.holds(hashed_none, "")
    assert not PASSWORDS.holds(hashed_none, PASSWORD)


def test_a_damaged_hash_is_no_wrong_password():
    with pytest.raises(Unavailable, match="no password can be checked"):
        PASSWORDS.holds("$argon2id$broken", PASSWORD)


async def test_a_hundred_tries_are_twelve_in_a_minute_and_the_owner_gets_in_after_the_pause_o19(visitor, clock):
    form = await visitor.form()
    statuses = []
    for _ in range(100):
        answer = await visitor.send(form | {"email": ALICE, "password": "wrong password", "action": "login"})
        statuses.append(answer.status)
        clock.turn(0.59)
    assert statuses.count(403) <= 12
    assert statuses.count(429) == 100 - statuses.count(403)
    refused = await visitor.log_in()  # the right one, too early
    assert refused.status == 429
    clock.turn(int(refused.headers["Retry-After"]))
    assert (await visitor.log_in()).status == 303


async def test_unknown_accounts_have_no_more_tries_than_known_ones_o19(visitor):
    for email in (ALICE, "carol@example.com", "Carol@Example.com"):
        statuses = [(await visitor.log_in(email=email, password="wrong password")).status for _ in range(8)]
        assert statuses == ([403] * 6 + [429] * 2 if email != "Carol@Example.com" else [429] * 8)


async def test_who_logs_in_has_all_tries_again(visitor):
    for _ in range(3):
        for _ in range(5):
            assert (await visitor.log_in(password="wrong password")).status == 403
        assert (await visitor.log_in()).status == 303


async def test_one_address_has_few_tries_over_all_accounts_o19(visitor, monkeypatch):
    monkeypatch.setattr(logins, "PER_ADDRESS", Rate(burst=3, pause_s=1))
    statuses = [(await visitor.log_in(email=f"u{i}@example.com")).status for i in range(5)]
    assert statuses == [403] * 3 + [429] * 2


async def test_logins_that_succeed_cost_an_address_nothing_and_do_not_fill_it_up_either_o19(visitor, monkeypatch):
    monkeypatch.setattr(logins, "PER_ADDRESS", Rate(burst=3, pause_s=1))
    assert [(await visitor.log_in()).status for _ in range(6)] == [303] * 6
    wrong = [(await visitor.log_in(email=f"u{i}@example.com")).status for i in range(2)]
    assert wrong == [403] * 2
    assert (await visitor.log_in()).status == 303
    assert [(await visitor.log_in(email=f"v{i}@example.com")).status for i in range(2)] == [403, 429]


async def test_a_disabled_account_is_refused_in_the_same_words_after_the_same_work_o19(visitor, accounts, monkeypatch):
    wrong = await (await visitor.log_in(password="wrong password")).text()
    accounts.set_disabled(ALICE, disabled=True)
    checked = []
    real = Passwords.holds
    monkeypatch.setattr(Passwords, "holds", lambda self, *pair: checked.append(pair) or real(self, *pair))
    answer = await visitor.log_in()
    assert (answer.status, len(checked)) == (403, 1)
    assert shape(await answer.text()) == shape(wrong)


def shape(text: str) -> str:
    return Html(text).text


async def test_nobody_waits_for_somebody_elses_password(aiohttp_client, provider, accounts):
    """As long as a password at the default price is checked, everything else is answered."""
    accounts.set_password(ALICE, Passwords().hash(PASSWORD))
    visitor = Visitor(await aiohttp_client(make_app(provider, Directory(accounts))))
    form = await visitor.form() | {"email": ALICE, "password": PASSWORD, "action": "login"}
    login, answered = asyncio.ensure_future(visitor.send(form)), 0
    while not login.done():
        assert (await visitor.http.get("/auth/keys")).status == 200
        answered += not login.done()
    assert (await login).status == 303
    assert answered >= 3


async def test_too_many_at_once_are_told_to_wait(visitor, monkeypatch):
    monkeypatch.setattr(logins, "QUEUE", 0)
    answer = await visitor.log_in()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert QUEUE > 0


async def test_accounts_that_cannot_be_read_are_the_operators_trouble_and_nobody_elses_news(
    visitor, accounts, monkeypatch, caplog
):
    def find(_email):
        raise Unavailable("the accounts in /secret/place cannot be used")

    monkeypatch.setattr(accounts, "find", find)
    answer = await visitor.log_in()
    assert answer.status == 503
    assert "/secret/place" not in await answer.text()
    assert "/secret/place" in caplog.text


# --- passwords -------------------------------------------------------------------------------------------
def test_hashes_are_argon2id_with_a_salt_of_their_own_o19():
    first, second = PASSWORDS.hash(PASSWORD), PASSWORDS.hash(PASSWORD)
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Passwords().hash(PASSWORD).startswith(f"$argon2id$v=19$m=19456,t={DEFAULT_PASSES},p=1$")
    assert PASSWORDS.holds(first, PASSWORD)
    assert not PASSWORDS.holds(first, PASSWORD + " ")


def test_one_password_is_one_password_on_every_keyboard():
    assert PASSWORDS.holds(PASSWORDS.hash("gar\u00e7on-caf\u00e9"), "garc\u0327on-cafe\u0301")


def test_passwords_have_a_shortest_and_a_longest_length():
    for wrong in ("", "1234567", "x" * 1025, "\u00e9" * 513):
        with pytest.raises(Malformed, match="password"):
            PASSWORDS.hash(wrong)
    longest = "x" * 1024
    hashed = PASSWORDS.hash(longest)
    assert PASSWORDS.holds(hashed, longest)
    assert not PASSWORDS.holds(hashed, longest + "x")


# --- the throttle ----------------------------------------------------------------------------------------
def test_a_throttle_lets_a_burst_pass_and_then_one_per_pause():
    throttle = Throttle(Rate(burst=3, pause_s=10))
    assert [throttle.take("a", now_s=0) for _ in range(4)] == [0, 0, 0, 10]
    assert throttle.take("a", now_s=4) == 6
    assert throttle.take("a", now_s=10) == 0
    assert throttle.take("a", now_s=10) == 10
    assert throttle.take("b", now_s=10) == 0
    assert [throttle.take("a", now_s=1000) for _ in range(4)] == [0, 0, 0, 10]


def test_a_clock_that_is_set_back_locks_nobody_out_for_longer_than_a_burst():
    throttle = Throttle(Rate(burst=3, pause_s=10))
    throttle.take("a", now_s=1_000_000)
    assert throttle.take("a", now_s=0) <= 10


def test_a_throttle_forgets_the_oldest_before_it_grows():
    throttle = Throttle(Rate(burst=1, pause_s=1000))
    for i in range(MOST + 10):
        assert throttle.take(str(i), now_s=0) == 0
    assert throttle.take(str(MOST + 9), now_s=0) > 0
    assert throttle.take("0", now_s=0) == 0
    assert len(throttle._full_at) == MOST


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_neighbour_is_the_same_attacker(address, network):
    assert network_of(address) == network
