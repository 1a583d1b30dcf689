# SPDX-License-Identifier: Apache-2.0
"""What people type, and what it is taken for."""

from __future__ import annotations

import contextlib
import hashlib
from fnmatch import translate
from re import IGNORECASE, match

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore.errors import Malformed
from tlog.catalog.facts import Kind, Term
from tlog.catalog.query import TEXTS, Part, Query, matches, parse_query

HEX64 = "ab" * 32
HEX40 = "0cd" + "1" * 37


def one(text: str) -> Part:
    (part,) = parse_query(text).parts
    return part


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("17", Part(index=17)),
        ("index:17", Part(index=17)),
        ("a@example.com", Part(exact=tuple(Term(kind, "a@example.com") for kind in TEXTS))),
        ("https://ci.example", Part(exact=tuple(Term(kind, "https://ci.example") for kind in TEXTS))),
        ("*@example.com", Part(pattern="*@example.com", kinds=TEXTS)),
        ("alice", Part(pattern="*alice*", kinds=TEXTS)),
        ("issuer:https://x.example", Part(exact=(Term(Kind.ISSUER, "https://x.example"),))),
        ("identity:https://x.example/*", Part(pattern="https://x.example/*", kinds=(Kind.IDENTITY,))),
        (f"sha256:{HEX64.upper()}", Part(exact=(Term(Kind.DIGEST, HEX64),))),
        (f"digest:sha256:{HEX64}", Part(exact=(Term(Kind.DIGEST, HEX64),))),
        (HEX64, Part(exact=tuple(Term(kind, HEX64) for kind in (Kind.DIGEST, Kind.ENTRY, Kind.KEY, Kind.COMMIT)))),
        ("1" * 16 + HEX64, Part(exact=(Term(Kind.ENTRY, HEX64),))),
        ("entry:" + "1" * 16 + HEX64, Part(exact=(Term(Kind.ENTRY, HEX64),))),
        ("serial:00:AB:cd", Part(exact=(Term(Kind.SERIAL, "abcd"),))),
        ("key:" + HEX64, Part(exact=(Term(Kind.KEY, HEX64),))),
        ("spiffe://example.org/a", Part(exact=tuple(Term(kind, "spiffe://example.org/a") for kind in TEXTS))),
    ],
)
def test_what_a_text_is_taken_for(text, part):
    assert one(text) == part


def test_a_git_commit_is_sought_as_ci_systems_name_it_and_as_gitsign_logs_it():
    hashed = hashlib.sha256(HEX40.encode()).hexdigest()
    assert Term(Kind.COMMIT, HEX40) in one(HEX40).exact
    assert Term(Kind.DIGEST, hashed) in one(HEX40).exact
    assert Term(Kind.SERIAL, HEX40.lstrip("0")) in one(HEX40).exact
    assert one(f"commit:{HEX40}").exact == (Term(Kind.COMMIT, HEX40), Term(Kind.DIGEST, hashed))


def test_nothing_seeks_everything_and_several_parts_must_all_hold():
    assert parse_query("  ") == Query()
    assert len(parse_query("a@example.com issuer:https://x.example").parts) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense:x", "no kind of value"),
        ("issuer:", "names no value"),
        ("index:x", "expected digits"),
        ("digest:xyz", "hexadecimal"),
        ("a*b*c", "too short"),
        ("ab", "too short"),
        ("a " * 9, "9 parts"),
        ("a" * 70000, "characters"),
        ("b" * 50 + "0" * 3, "no value that an entry has"),
        ("a@b.example\udc80", "printable"),
    ],
)
def test_what_cannot_be_sought_says_why(text, said):
    with pytest.raises(Malformed, match=said):
        parse_query(text)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_matches_as_the_shell_has_it(pattern, text):
    assert matches(pattern, text) == bool(match(translate(pattern), text, IGNORECASE))


@given(st.text(max_size=200))
def test_any_text_is_a_query_or_malformed(text):
    with contextlib.suppress(Malformed):
        assert len(parse_query(text).parts) == len(text.split())
