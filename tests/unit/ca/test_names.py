# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fnmatch
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.issuers import OWN, Issuer, IssuerTable, PinnedKeys
from ca.names import NameRules, _matches
from ca.principal import make_principal
from ca.token import Claims, verify_token
from sigcore import keys
from sigcore.errors import Malformed, Refused
from sigcore.general_name import Email, OtherName, Uri
from sigcore.strict import Fields
from tests.unit.ca.tokens import ISSUER, NOW, b64, claims

ALICE = Email("alice@corp.example")
JOB = Uri("https://ci.example.com/acme/app/build.yml@refs/heads/main")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*@corp.example", ALICE),
        ("*@CORP.example", ALICE),
        ("alice@*", Email("Alice@Corp.Example")),
        ("**", JOB),
        ("https://ci.example.com/acme/**", JOB),
        ("https://ci.example.com/acme/*/build.yml@refs/heads/main", JOB),
        ("https://ci.example.com/**@refs/heads/main", JOB),
        ("build-*!corp.example", OtherName("build-7!corp.example")),
        (JOB.value, JOB),
    ],
)
def test_a_name_that_is_allowed(pattern, name):
    NameRules(allow=("nobody", pattern)).check(name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*@corp.example", Email("alice@corp.example.evil")),
        ("*@corp.example", Email("alice@evilcorp.example")),
        ("corp.example", ALICE),
        ("https://ci.example.com/acme/*", JOB),
        ("https://ci.example.com/ACME/**", JOB),
        ("https://ci.example.com/acme/**", Uri("https://ci.example.com.evil/acme/x")),
        ("https://ci.example.com/**@refs/heads/main", Uri("https://ci.example.com/a@refs/heads/main2")),
        ("", JOB),
    ],
)
def test_any_other_name_is_not(pattern, name):
    rules = NameRules(allow=(pattern,) if pattern else ("x",))
    with pytest.raises(Refused, match="not on the allow list"):
        rules.check(name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("root@*", Email("Root@corp.example")),
        ("https://ci.example.com/ACME/**", JOB),
        ("**@refs/heads/**", JOB),
        ("https://CI.example.com/**", JOB),
    ],
)
def test_deny_wins_and_is_blind_to_case(pattern, name):
    with pytest.raises(Refused, match="on the deny list"):
        NameRules(allow=("**",), deny=(pattern,)).check(name)


@pytest.mark.parametrize("pattern", ["", " ", "a b", "a\n", "\u00e9", "***", "a" * 513])
def test_a_pattern_that_could_not_be_meant(pattern):
    for rules in ({"allow": (pattern,)}, {"deny": (pattern,)}):
        with pytest.raises(Malformed, match="no pattern for names"):
            NameRules(**rules)


def test_no_more_than_sixty_four_patterns():
    with pytest.raises(Malformed, match="more than 64 patterns"):
        NameRules(allow=("a",) * 40, deny=("b",) * 25)


@given(st.text("ab/*", max_size=12).filter(lambda p: "***" not in p), st.text("ab/", max_size=12))
def test_two_stars_mean_what_one_star_means_to_the_standard_library(pattern, name):
    doubled = pattern.replace("**", "*").replace("*", "**")
    assert _matches(doubled, name) == fnmatch.fnmatchcase(name, pattern)


@given(st.text("ab*", max_size=12).filter(lambda p: "**" not in p), st.text("ab", max_size=12))
def test_one_star_means_it_too_where_no_slash_is(pattern, name):
    assert _matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_hostile_patterns_cost_no_more_than_the_product_of_lengths():
    started = time.process_time()
    assert not _matches("a*" * 100 + "b", "a" * 254)
    assert not _matches("**a" * 60 + "**b", "a" * 2048)
    assert time.process_time() - started < 3


def test_the_rules_of_its_issuer_bind_a_token():
    issuer = Issuer(ISSUER, names=NameRules(allow=("*@example.com",), deny=("root@*",)))

    def named(email):
        made = claims(email=email)
        return make_principal(Claims(issuer, made["sub"], Fields(made, "token"))).san

    assert named("alice@example.com") == Email("alice@example.com")
    for email in ("alice@example.org", "root@example.com", "ROOT@example.com"):
        with pytest.raises(Refused, match="list of its issuer"):
            named(email)


# --- A14 ---------------------------------------------------------------------------------------------
ALLOWED, FOREIGN = "alice@example.com", "mallory@evil.example"
PAIRS = [(ALLOWED, FOREIGN), (FOREIGN, ALLOWED)]
RULES = NameRules(allow=("*@example.com", "https://ci.example.com/**"))


@pytest.mark.parametrize("pair", PAIRS, ids=["first allowed", "second allowed"])
@pytest.mark.parametrize(
    "offer",
    [
        list,
        ",".join,
        ", ".join,
        ";".join,
        " ".join,
        "\n".join,
        "\0".join,
        "{0[0]} <{0[1]}>".format,
        "<{0[0]}>,<{0[1]}>".format,
        lambda pair: {"primary": pair[0], "other": pair[1]},
    ],
)
def test_a14_two_identities_of_which_one_is_allowed_are_refused(pair, offer):
    """As one claim in every form that two names could have there; no form is read as its allowed half."""
    issuer = Issuer(ISSUER, names=RULES)
    made = claims(email=offer(pair))
    with pytest.raises((Refused, Malformed)):
        make_principal(Claims(issuer, made["sub"], Fields(made, "token")))


@pytest.mark.parametrize("pair", PAIRS, ids=["first allowed", "second allowed"])
async def test_a14_a_token_that_says_its_email_twice_is_refused(issuer_key, pair):
    payload = json.dumps(claims(email="@")).replace('"@"', f'"{pair[0]}", "email": "{pair[1]}"').encode()
    message = f"{b64(json.dumps({'alg': 'RS256', 'kid': 'key-1'}).encode())}.{b64(payload)}"
    token = f"{message}.{b64(keys.sign(issuer_key, message.encode()))}"
    issuers = IssuerTable((Issuer(ISSUER, PinnedKeys((("key-1", issuer_key.public_key()),)), names=RULES),))
    with pytest.raises(Malformed, match="duplicate"):
        await verify_token(token, issuers, now=NOW)


@pytest.mark.parametrize("kind", ["email", OWN])
def test_a14_the_name_that_goes_into_the_certificate_is_the_one_that_was_checked(kind):
    """A token with an email and a URI, each of which could name its bearer; the rules let one of them pass."""
    issuer = Issuer(ISSUER, kind=kind, names=RULES)

    def named(**changes):
        made = claims(**changes)
        return make_principal(Claims(issuer, made["sub"], Fields(made, "token"))).san

    assert named(email=ALLOWED, sub="https://evil.example/x") == Email(ALLOWED)
    with pytest.raises(Refused, match="not on the allow list"):
        named(email=FOREIGN, sub="https://ci.example.com/acme")
