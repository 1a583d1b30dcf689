# SPDX-License-Identifier: Apache-2.0
"""Orders of tokens: what they say, and how they are told to another process."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import jwt
import pytest

from oidc_dev.provider import Provider
from oidc_dev.signing import KeyRing, generate_rsa
from sigcore.errors import Malformed
from sigcore.strict import Fields
from stack.minting import FARTHEST_S, TIMES, Order, parse_order
from stack.personas import Persona, load_shipped

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ALICE = Persona(email="alice@example.com")


@pytest.fixture(scope="module")
def provider():
    return Provider("http://localhost:7780/auth", KeyRing.of(generate_rsa()), lambda: NOW)


def said(token: str) -> dict[str, object]:
    return jwt.decode(token, options={"verify_signature": False})


def read(document: object) -> Order:
    return parse_order(Fields.of(document, "the request"))  # type: ignore[arg-type]  # JSON of a test


@pytest.mark.parametrize(
    "order",
    [
        Order(ALICE),
        Order(ALICE, issuer="one", times={"expires_in": -60}, wrong="key"),
        Order(load_shipped("github-workflow"), times={"expires_in": 1, "not_before": 2, "issued_at": -3}),
    ],
)
def test_an_order_is_told_to_others_without_loss(order):
    assert read(json.loads(json.dumps(order.document()))) == order


def test_what_any_stack_would_mint_is_plain():
    assert Order(ALICE).plain
    assert not any(
        one.plain for one in (Order(ALICE, "x"), Order(ALICE, times={"issued_at": 0}), Order(ALICE, wrong="key"))
    )


def test_a_plain_order_is_the_token_of_the_persona(provider):
    assert Order(ALICE).token(provider) == ALICE.token(provider)


@pytest.mark.parametrize(("member", "claim"), TIMES.items())
@pytest.mark.parametrize("seconds", [-FARTHEST_S, -60, 0, 60, FARTHEST_S])
def test_a_time_is_so_many_seconds_from_now_and_the_others_stay(provider, member, claim, seconds):
    usual, other = said(ALICE.token(provider)), said(read({"email": ALICE.email, member: seconds}).token(provider))
    assert other == usual | {claim: int(NOW.timestamp()) + seconds}


@pytest.mark.parametrize("value", [FARTHEST_S + 1, -FARTHEST_S - 1, "1", 1.5, True, None])
@pytest.mark.parametrize("member", TIMES)
def test_what_is_no_time_is_refused(member, value):
    with pytest.raises(Malformed, match=member):
        read({"email": ALICE.email, member: value})


def test_a_persona_of_another_kind_can_be_wrong_too(provider):
    token = Order(load_shipped("github-workflow"), wrong="audience").token(provider)
    assert (said(token)["iss"], said(token)["aud"]) == ("https://token.actions.githubusercontent.com", "not-sigstore")
