# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from client.verify.identity import IdentityPolicy, Signer, pattern_doubts, verify_identity, verify_workflow
from sigcore import keys, x509
from sigcore.errors import Refused

ISSUER = "https://issuer.example"


def matches(found: str, **policy: str) -> bool:
    try:
        verify_identity(Signer(found, "Email", ISSUER), IdentityPolicy(ISSUER, **policy))
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    "found", ["a@b.com.evil", "xa@b.com", "a@bXcom", "a@b.com\n", "A@b.com", "a@b.com ", "", "a@b.co\u0301m"]
)
def test_exact_means_exact(found):
    assert matches("a@b.com", identity="a@b.com")
    assert not matches(found, identity="a@b.com")


@pytest.mark.parametrize("found", ["a@b.com.evil", "xa@b.com", "a@bXcom", "a@b.com\n", "\na@b.com"])
def test_a_pattern_matches_as_a_whole(found):
    assert matches("a@b.com", pattern=r"a@b\.com")
    assert not matches(found, pattern=r"a@b\.com")
    assert not matches(found, pattern=r"^a@b\.com$")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"[a-z]+@example\.com", "abc@example.com", "a1@example.com"),
        (r".*@example\.com", "x@example.com", "x@example.com\nx"),
        (r"a|b", "b", "ab"),
        (r"https://h/\w+", "https://h/x", "https://h/\u00e9"),
        (r"(?i)me@h", "ME@H", "me@hh"),
    ],
)
def test_patterns(pattern, yes, no):
    assert matches(yes, pattern=pattern)
    assert not matches(no, pattern=pattern)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("", "a@b"), "no issuer is demanded"),
        ((ISSUER,), "no identity is demanded"),
        ((ISSUER, "a", "b"), "an identity and a pattern"),
        ((ISSUER, "", "("), "no regular expression"),
        ((ISSUER, "", "x" * 1025), "longer than 1024"),
        ((ISSUER, "", "\u00e9"), "not ASCII"),
    ],
)
def test_a_policy_that_demands_nothing_cannot_be_made(given, message):
    with pytest.raises(Refused, match=message):
        IdentityPolicy(*given)


@pytest.mark.parametrize(
    ("pattern", "is_open"),
    [
        (r"a[.-@x]*", True),  # the least that is open: what a name is made longer with
        (r"a[.-@x]", False),
        (r"a[/-@x]*", False),
        (r"a[.-?x]*", False),
        (r"a[.-@]*", False),
        (r"a.*", True),
        (r".*a", False),
        (r".*@a|b", False),
        (r"(.*a)*", False),
        (r"a(.*)?b?", True),
        (r".", False),
        (r"(", False),
        ("", False),
    ],
)
def test_an_end_is_open_where_a_name_can_be_made_longer_with_anything(pattern, is_open):
    assert any("its end is open" in doubt for doubt in pattern_doubts(pattern)) is is_open


def test_claims_of_a_workflow_are_those_of_the_certificate_and_a_bare_key_has_none(sigstore):
    leaf = x509.parse_certificate(sigstore.certify(keys.generate_p256().public_key()))
    verify_workflow((leaf,), (("issuer", "https://issuer.example/auth"), ("build_trigger", "")))
    verify_workflow((), ())
    with pytest.raises(Refused, match="says build trigger '', expected 'push'"):
        verify_workflow((leaf,), (("issuer", "https://issuer.example/auth"), ("build_trigger", "push")))
    with pytest.raises(Refused, match="a bare key signed, which carries no claims"):
        verify_workflow((), (("build_trigger", ""),))
