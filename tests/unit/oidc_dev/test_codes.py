# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import timedelta

import pytest

from oidc_dev.claims import Identity
from oidc_dev.codes import MOST, AuthorizationCode, Codes
from tests.unit.oidc_dev.visitor import CALLBACK, Clock

NOW = Clock().now


def granted(lifetime_s: int = 60) -> AuthorizationCode:
    expires = NOW + timedelta(seconds=lifetime_s)
    return AuthorizationCode("sigstore", CALLBACK, "openid", Identity(email="a@b.c"), "A" * 43, expires)


def test_a_code_is_redeemed_once_o15():
    codes = Codes()
    codes.save("c", granted(), now=NOW)
    assert codes.redeem("c", "sigstore", now=NOW) == granted()
    assert codes.redeem("c", "sigstore", now=NOW) is None


@pytest.mark.parametrize(("client", "age_s"), [("another", 0), ("sigstore", 60)])
def test_a_code_of_another_client_or_of_yesterday_is_worth_nothing_and_is_gone_o15(client, age_s):
    codes = Codes()
    codes.save("c", granted(), now=NOW)
    assert codes.redeem("c", client, now=NOW + timedelta(seconds=age_s)) is None
    assert codes.redeem("c", "sigstore", now=NOW) is None


def test_codes_that_nobody_fetches_are_forgotten():
    codes = Codes()
    codes.save("long", granted(300), now=NOW)
    for i in range(5):
        codes.save(str(i), granted(), now=NOW)
    codes.save("last", granted(300), now=NOW + timedelta(seconds=60))
    assert len(codes._waiting) == 2
    for i in range(MOST + 5):
        codes.save(f"x{i}", granted(), now=NOW)
    assert len(codes._waiting) == MOST


def test_no_code_stands_in_the_memory_of_the_codes():
    codes = Codes()
    codes.save("secret-code", granted(), now=NOW)
    assert "secret-code" not in repr(vars(codes))
