# SPDX-License-Identifier: Apache-2.0
"""One-time codes (RFC 6238): right, in time, and once."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from oidc_dev import totp
from oidc_dev.seal import Seal
from oidc_dev.totp import STEP_S, code_at, encode_address, matching_step, step_at
from sigcore.errors import Unavailable
from tests.unit.oidc_dev.visitor import ALICE

SECRET = b"12345678901234567890"
"""That of the appendices of RFC 4226 and RFC 6238."""


@pytest.mark.parametrize(
    ("count", "code"),
    [*enumerate(("755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"))],
)
def test_codes_are_those_of_rfc_4226_appendix_d(count, code):
    assert code_at(SECRET, count) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"), (1234567890, "89005924"),
     (2000000000, "69279037"), (20000000000, "65353130")],
)  # fmt: skip
def test_codes_are_those_of_rfc_6238_appendix_b(seconds, code):
    """Its codes have eight digits; the last six of them are ours."""
    assert code_at(SECRET, step_at(datetime.fromtimestamp(seconds, UTC))) == code[2:]


def test_a_code_is_good_one_step_early_and_late_and_no_further(clock):
    now, here = clock(), step_at(clock())
    good = [matching_step(SECRET, code_at(SECRET, here + off), now=now, after=0) for off in range(-3, 4)]
    assert good == [None, None, here - 1, here, here + 1, None, None]


def test_a_step_that_was_used_and_all_before_it_are_spent(clock):
    here = step_at(clock())
    for off, found in ((-1, None), (0, None), (1, here + 1)):
        assert matching_step(SECRET, code_at(SECRET, here + off), now=clock(), after=here) == found


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "12345a", "\u0661" * 6, "-12345", "+12345", "1_2345", "12345\n"]
)
def test_what_is_no_six_digits_is_no_code(clock, typed):
    assert matching_step(SECRET, typed, now=clock(), after=0) is None


def test_the_address_says_secret_issuer_and_account():
    url = urlsplit(encode_address(SECRET, email=ALICE, issuer="sigbox host & co"))
    query = parse_qs(url.query, strict_parsing=True)
    assert (url.scheme, url.netloc, url.path) == ("otpauth", "totp", "/sigbox%20host%20%26%20co:alice@example.com")
    assert query["issuer"] == ["sigbox host & co"]
    assert base64.b32decode(query["secret"][0] + "=" * (-len(query["secret"][0]) % 8)) == SECRET


# --- at the login ----------------------------------------------------------------------------------------------
@pytest.fixture
def asked_for(accounts, seal):
    accounts.set_one_time(ALICE, seal.seal(SECRET, of=ALICE))


async def log_in(visitor, code: str):
    return await visitor.send(
        await visitor.form()
        | {"email": ALICE, "password": "correct horse battery staple", "one_time": code, "action": "login"}
    )


async def test_an_account_that_has_codes_needs_one_and_each_is_good_once(visitor, clock, asked_for):
    code = code_at(SECRET, step_at(clock()))
    assert (await visitor.log_in()).status == 403
    assert (await log_in(visitor, "000000" if code != "000000" else "111111")).status == 403
    assert (await log_in(visitor, code)).status == 303
    replayed = await log_in(visitor, code)
    assert replayed.status == 403
    clock.turn(STEP_S)
    assert (await log_in(visitor, code_at(SECRET, step_at(clock())))).status == 303


async def test_the_refusal_does_not_say_what_was_wrong_o19(visitor, asked_for):
    texts = set()
    for changed in ({"password": "wrong password"}, {"email": "carol@example.com"}, {}):
        page = await visitor.log_in(**changed)
        assert page.status == 403
        texts.add((await page.text()).replace("carol@", "alice@"))
    assert len(texts) == 1


async def test_a_right_code_is_no_use_without_the_password(visitor, clock, asked_for):
    form = await visitor.form() | {"email": ALICE, "password": "wrong password", "action": "login"}
    code = code_at(SECRET, step_at(clock()))
    assert (await visitor.send(form | {"one_time": code})).status == 403
    assert (await log_in(visitor, code)).status == 303  # and it was not spent by that


async def test_two_logins_at_one_time_spend_one_code(accounts, asked_for):
    assert [accounts.use_step(ALICE, 5), accounts.use_step(ALICE, 5), accounts.use_step(ALICE, 4)] == [
        True,
        False,
        False,
    ]


async def test_a_secret_that_cannot_be_opened_is_the_operators_trouble(visitor, accounts, caplog):
    accounts.set_one_time(ALICE, Seal(b"another key").seal(SECRET, of=ALICE))
    page = await log_in(visitor, "123456")
    assert page.status == 503
    assert "cannot be opened" in caplog.text


def test_a_sealed_secret_is_bound_to_its_account_and_to_every_bit(seal):
    sealed = seal.seal(SECRET, of=ALICE)
    assert SECRET not in sealed
    assert seal.seal(SECRET, of=ALICE) != sealed
    assert seal.open(sealed, of=ALICE) == SECRET
    for wrong, of in (
        (sealed, "bob@example.com"),
        (sealed[:-1], ALICE),
        (bytes([sealed[0] ^ 1]) + sealed[1:], ALICE),
        (b"", ALICE),
    ):
        with pytest.raises(Unavailable, match="cannot be opened"):
            seal.open(wrong, of=of)


def test_secrets_are_as_long_as_the_hash():
    assert totp.SECRET == 20
