# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from oidc_dev.claims import Identity, make_claims
from sigcore.errors import Malformed

NOW = datetime(2026, 11, 23, 12, 0, 0, 999_999, tzinfo=UTC)
SECONDS = 1_795_435_200


def claims(identity, **further):
    return make_claims(identity, issuer="http://localhost/auth", audience="sigstore", now=NOW, **further)


def test_a_person_has_a_verified_email_and_a_plain_audience():
    assert claims(Identity(email="alice@example.com")) == {
        "iss": "http://localhost/auth",
        "sub": "alice@example.com",
        "aud": "sigstore",
        "iat": SECONDS,
        "nbf": SECONDS,
        "exp": SECONDS + 600,
        "email": "alice@example.com",
        "email_verified": True,
    }


def test_a_machine_has_no_email_claims():
    made = claims(Identity(subject="https://ci.example.com/job/7"))
    assert made["sub"] == "https://ci.example.com/job/7"
    assert not {"email", "email_verified"} & set(made)


def test_a_subject_of_its_own_stands_beside_the_email():
    made = claims(Identity(email="alice@example.com", subject="u-17"))
    assert (made["sub"], made["email"]) == ("u-17", "alice@example.com")


def test_lifetime_is_in_seconds():
    assert claims(Identity(subject="x"), lifetime_s=60)["exp"] == SECONDS + 60


def test_extra_claims_are_added_and_may_withdraw_the_verification():
    extra = (("groups", ["a", "b"]), ("email_verified", False))
    made = claims(Identity(email="alice@example.com", extra=extra))
    assert made["groups"] == ["a", "b"]
    assert made["email_verified"] is False


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "nbf", "exp", "email"])
def test_extra_claims_may_not_restate_what_the_provider_answers_for(name):
    with pytest.raises(Malformed, match=f"restate {name}"):
        claims(Identity(subject="x", extra=((name, "other"),)))


def test_nobody_gets_no_claims():
    with pytest.raises(Malformed, match="neither an email nor a subject"):
        claims(Identity())
