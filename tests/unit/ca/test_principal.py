# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from ca.issuers import OWN, Issuer, PinnedKeys
from ca.principal import make_principal
from ca.token import Claims
from sigcore import keys
from sigcore.errors import Malformed, Refused, SigError
from sigcore.general_name import Email, Uri
from sigcore.strict import Fields
from tests.unit.ca.tokens import ISSUER, MACHINES, claims

KEYS = PinnedKeys((("a", keys.generate_p256().public_key()),))
PEOPLE = Issuer(ISSUER, KEYS)
OURS = Issuer(ISSUER, KEYS, kind=OWN)
WORKLOADS = Issuer(MACHINES, KEYS, kind="uri", subject_domain=MACHINES)


def principal(issuer=PEOPLE, **changes):
    made = claims(**changes)
    return make_principal(Claims(issuer, made["sub"], Fields(made, "token")))


def test_a_person():
    made = principal(sub="u-17")
    assert made.san == Email("alice@example.com")
    assert made.subject == "alice@example.com"
    assert (made.extensions.issuer, made.extensions.token_subject) == (ISSUER, "u-17")


def test_a_workload_is_named_by_its_subject_whatever_email_it_shows():
    made = principal(WORKLOADS, sub=f"{MACHINES}/org/repo?run=7", email_verified=False)
    assert made.san == Uri(f"{MACHINES}/org/repo?run=7")
    assert made.subject == f"{MACHINES}/org/repo?run=7"


# --- A04 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [None, False, "true", "True", 1, [True], {"true": True}, ""])
def test_the_email_must_be_verified_as_json_true(value):
    with pytest.raises(Refused, match="email_verified is not true"):
        principal(email_verified=value)


# --- A05 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "email",
    [
        "a@b",
        "Alice.Smith@Example.COM",
        "a+tag@example.com",
        "!#$%&'*+-/=?^_`{|}~@example.com",
        "a@xn--bcher-kva.example",
        "a@1.2.example",
        "a@3com.example",
        "l" * 64 + "@example.com",
        "a@" + ".".join(["d" * 62] * 4),
    ],
)
def test_a_plain_mailbox_is_taken_as_it_stands(email):
    assert principal(email=email).san == Email(email)


HOSTILE = [
    "",
    "alice",
    "@example.com",
    "alice@",
    "alice@@example.com",
    "alice@example.com@evil.example",
    "alice@example.com\n",
    "\nalice@example.com",
    "alice@example.com\r\nBcc: evil@example.com",
    "alice@example.com\x00.evil.example",
    "alice\x00@example.com",
    "alice@example.com,evil@example.com",
    "alice@example.com;evil@example.com",
    "alice@example.com evil@example.com",
    " alice@example.com",
    "alice@example.com ",
    "alice\t@example.com",
    "URI:https://evil.example",
    "email:alice@example.com",
    "mailto:alice@example.com",
    "<alice@example.com>",
    "Alice <alice@example.com>",
    "alice(comment)@example.com",
    '"alice"@example.com',
    '"alice@evil.example"@example.com',
    "alice\\@example.com",
    ".alice@example.com",
    "alice.@example.com",
    "ali..ce@example.com",
    "alice@.example.com",
    "alice@example.com.",
    "alice@example..com",
    "alice@-example.com",
    "alice@example-.com",
    "alice@exa_mple.com",
    "alice@[127.0.0.1]",
    "alice@127.0.0.1",
    "alice@example.com:25",
    "alice@example.com/path",
    "\u0430lice@example.com",
    "alice@ex\u0430mple.com",
    "alice@b\u00fccher.example",
    "alice@example\u3002com",
    "alice\u200b@example.com",
    "\u202ealice@example.com",
    "alice@example.com\u2028",
    "alice@\uff45xample.com",
    "ali\u017fe@example.com",
    "l" * 65 + "@example.com",
    "a@" + "d" * 64 + ".example",
    "a@" + ".".join(["d" * 62] * 4) + ".e",
    "a" * 100_000,
    "a@" + "b." * 100_000,
]


@pytest.mark.parametrize("email", HOSTILE, ids=range(len(HOSTILE)))
def test_anything_else_is_no_mailbox(email):
    with pytest.raises(SigError):
        principal(email=email)


@pytest.mark.parametrize("email", [None, 1, True, ["alice@example.com"], {"email": "alice@example.com"}])
def test_an_email_that_is_no_string_is_malformed(email):
    with pytest.raises(Malformed):
        principal(email=email)


# --- uri ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["", "/", "/a/b", "/.a/..b/c...", "/...", "/a?b=c/d", "/%41", "/a:b@c,d;e=f", "?x"])
def test_a_subject_below_the_domain(path):
    assert principal(WORKLOADS, sub=MACHINES + path).san == Uri(MACHINES + path)


@pytest.mark.parametrize(
    "subject",
    [
        "alice@example.com",
        "ci.example.com/x",
        "http://ci.example.com/x",
        "HTTPS://ci.example.com/x",
        "https://CI.example.com/x",
        "https://ci.example.com.evil.example/x",
        "https://ci.example.com:8443/x",
        "https://ci.example.com@evil.example/x",
        "https://u@ci.example.com/x",
        "https://ci.example.com\\@evil.example",
        "https://evil.example/https://ci.example.com/x",
        "https://ci.example.com/x#y",
        "https://ci.example.com/a b",
        "https://ci.example.com/\n",
        "https://ci.example.com/\x00",
        "https://ci.example.com/%",
        "https://ci.example.com/%4",
        "https://ci.example.com/%zz",
        "https://ci.example.com/\u00e9",
        "https://ci.example.com/<x>",
        "https://ci.example.com/a/../b",
        "https://ci.example.com/..",
        "https://ci.example.com/./a",
        "https://ci.example.com/a/%2e%2E/b",
        "https://ci.example.com/a/.%2e?x",
        "https://ci.example.com/" + "a" * 2048,
    ],
)
def test_any_other_subject_is_refused(subject):
    with pytest.raises(Refused, match="is not a URI below"):
        principal(WORKLOADS, sub=subject)


# --- tokens of our own provider -------------------------------------------------------------------------
@pytest.mark.parametrize("email", [None, ""])
def test_our_own_provider_names_a_machine_by_its_subject(email):
    made = principal(OURS, sub="https://ci.example.com/job/7", email=email, email_verified=None)
    assert made.san == Uri("https://ci.example.com/job/7")
    assert made.subject == "https://ci.example.com/job/7"
    assert made.extensions.issuer == ISSUER


def test_our_own_provider_names_a_person_by_the_email_whatever_the_subject():
    made = principal(OURS, sub="https://ci.example.com/job/7")
    assert (made.san, made.subject) == (Email("alice@example.com"), "alice@example.com")


@pytest.mark.parametrize("email", [0, False, [], {}, "alice", " "])
def test_an_email_that_is_there_is_never_passed_over_for_the_subject(email):
    with pytest.raises(SigError):
        principal(OURS, sub="https://ci.example.com/job/7", email=email)


@pytest.mark.parametrize(
    "subject", ["http://localhost:8080/x", "https://10.0.0.7", "https://a/?b=c", "https://xn--bcher-kva.example:1/%41"]
)
def test_our_own_provider_may_name_any_host(subject):
    assert principal(OURS, sub=subject, email=None).san == Uri(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "job-7",
        "alice@example.com",
        "ci.example.com/x",
        "ftp://ci.example.com/x",
        "HTTPS://ci.example.com/x",
        "https:///x",
        "https://u@ci.example.com/x",
        "https://ci.example.com\\@evil.example",
        "https://ci.example.com:/x",
        "https://ci.example.com:0443/x",
        "https://ci.example.com./x",
        "https://[::1]/x",
        "https://ci.example.com/x#y",
        "https://ci.example.com/\n",
        "https://ci.example.com\u3002evil/x",
        "https://" + "a." * 8000 + "!",
    ],
)
def test_our_own_provider_names_machines_by_plain_uris_only(subject):
    with pytest.raises(Refused, match="a machine by a URI in sub"):
        principal(OURS, sub=subject, email=None)


# --- A06, claims ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("subject", ["a\x00b", "a\nb", "a\u202eb", "\x0c\x03abc\x7f", "x" * 1_000_000, "a\u2028"])
def test_a_token_subject_that_could_forge_a_report_is_refused(subject):
    with pytest.raises(Refused, match="not printable"):
        principal(sub=subject)


def test_a_token_subject_that_looks_like_der_stays_text():
    assert principal(sub="0\x20abc").extensions.token_subject == "0 abc"
