# SPDX-License-Identifier: Apache-2.0
"""What is believed of another provider's claims, and which rows of the configuration make sense."""

from __future__ import annotations

import pytest

from oidc_dev.upstream import guest_of
from sigcore.errors import Malformed, Refused, SigError
from sigcore.strict import Fields
from tests.unit.oidc_dev.abroad import IDP, Abroad

CLAIMS = {"sub": "007", "email": "bond@corp.example", "email_verified": True, "groups": ["spies", {"id": 7}]}


@pytest.fixture
def row(clock):
    return Abroad(clock).upstream


def guest(upstream, **changed):
    claims = {name: value for name, value in (CLAIMS | changed).items() if value is not None}
    return guest_of(Fields.of(claims, "the claims"), upstream)


def test_the_email_is_taken_as_it_stands(row):
    assert guest(row(), email="Bond@Corp.Example").email == "Bond@Corp.Example"


@pytest.mark.parametrize("verified", [None, False, "true", "True", 1, [True], {}, 0])
def test_an_email_that_is_not_said_to_be_verified_is_refused(row, verified):
    """A04."""
    with pytest.raises(Refused, match="has not verified"):
        guest(row(), email_verified=verified)
    assert guest(row(assume_verified=True), email_verified=verified).email == CLAIMS["email"]


@pytest.mark.parametrize(
    "email",
    [
        "bond@evil.example",
        "bond@sub.corp.example",
        "bond@notcorp.example",
        "bond@corp.example.evil.example",
        "bond@corp",
    ],
)
def test_an_email_of_a_domain_that_the_provider_does_not_answer_for_is_refused(row, email):
    with pytest.raises(Refused, match=r"answers here for corp\.example only"):
        guest(row(), email=email)
    assert guest(row(domains=("*",)), email=email).email == email


@pytest.mark.parametrize(
    "email",
    ["bond@evil.example@corp.example", "", "bond@corp.example\n", "b ond@corp.example", "bönd@corp.example", 7, None],
)
def test_what_is_no_plain_mailbox_is_refused(row, email):
    with pytest.raises(SigError):
        guest(row(domains=("*",)), email=email)


@pytest.mark.parametrize("groups", [None, [], ["spie"], [{"spies": 1}], "SPIES"])
def test_who_is_in_none_of_the_groups_is_refused(row, groups):
    with pytest.raises(Refused, match="none of the groups that may log in through Corp: spies, bosses"):
        guest(row(groups=("spies", "bosses")), groups=groups)


@pytest.mark.parametrize("groups", [["spies"], "spies", ["other", "bosses"]])
def test_one_of_the_groups_is_enough(row, groups):
    assert guest(row(groups=("spies", "bosses")), groups=groups).user_id == "007"


@pytest.mark.parametrize("groups", [7, {"spies": True}, ["x"] * 501])
def test_groups_that_are_no_list_are_refused(row, groups):
    with pytest.raises(Malformed):
        guest(row(groups=("spies",)), groups=groups)


def test_the_email_and_the_groups_may_stand_in_other_claims(row):
    upstream = row(email_claim="upn", groups_claim="roles", groups=("signer",), assume_verified=True)
    assert guest(upstream, email=None, upn="bond@corp.example", roles=["signer"]).email == "bond@corp.example"
    with pytest.raises(Refused, match="did not name an email in upn"):
        guest(upstream, roles=["signer"])


def test_the_subject_is_unlike_any_accounts(row):
    assert guest(row()).subject == "corp:007"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": "http://login.corp.example"}, "expected an https URL"),
        ({"issuer": "http://localhost.evil.example"}, "expected an https URL"),
        ({"issuer": "ftp://login.corp.example"}, "expected an https URL"),
        ({"issuer": f"{IDP}/?x=1"}, "more than a host and a path"),
        ({"issuer": f"{IDP}/#x"}, "more than a host and a path"),
        ({"issuer": "https://user@login.corp.example"}, "expected an https URL"),
        ({"issuer": "https://login[.corp.example"}, "expected an https URL"),
        ({"issuer": f"{IDP}/a b"}, "expected an https URL"),
        ({"issuer": f"{IDP}\n"}, "expected an https URL"),
        ({"issuer": "http://127.0.0.1.evil.example"}, "expected an https URL"),
        ({"name": "Corp"}, "expected up to 32"),
        ({"name": "a/b"}, "expected up to 32"),
        ({"client_id": ""}, "needs a client_id"),
        ({"label": "a\nb"}, "printable"),
        ({"domains": ()}, "for which mail domains"),
        ({"domains": ("*", "corp.example")}, "for which mail domains"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(row, changed, why):
    with pytest.raises(Malformed, match=why):
        row(**changed)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://localhost:5556/dex",
        "http://127.0.0.1:5556",
        "http://[::1]:5556/dex",
        "https://login.corp.example/realms/x",
    ],
)
def test_plain_http_is_for_this_machine_alone(row, issuer):
    assert row(issuer=issuer).issuer == issuer
