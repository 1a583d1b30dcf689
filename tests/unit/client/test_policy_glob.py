# SPDX-License-Identifier: Apache-2.0
"""Patterns of a policy: what they match, what they must never match, and which of two is the more specific."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.policy.glob import Glob, parse_glob
from sigcore.errors import Malformed


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a.txt", ["a.txt"], ["", "A.txt", "a.txt ", "a.txt\n", "xa.txt", "a.txtx", "aXtxt", "./a.txt", "a.txt/"]),
        ("installer-*.msi", ["installer-1.msi", "installer-.msi"], ["installer-a/b.msi", "xinstaller-1.msi", "installer-1.msi.exe"]),
        ("r/web/**", ["r/web/a", "r/web/a/b"], ["r/web", "r/webx", "r/web/../mirror/a", "r/web/./a", "x/r/web/a"]),
        ("r/*/x", ["r/a/x"], ["r/a/b/x", "r/../x", "r/./x", "r/x"]),
        ("https://g/web/*//.ci.yml@refs/tags/*", ["https://g/web/p//.ci.yml@refs/tags/v1"], [
            "https://g/web/p/q//.ci.yml@refs/tags/v1",
            "https://g/web/p//.ci.yml@refs/tags/v1/x",
            "https://g/web/p/.ci.yml@refs/tags/v1",
            "https://g/web/..//.ci.yml@refs/tags/v1",
            "https://G/web/p//.ci.yml@refs/tags/v1",
        ]),
        ("a*b*c", ["abc", "axxbyyc", "abbbc"], ["ab", "acb", "a/bc"]),
        ("**/x", ["a/x", "a/b/x", "/x"], ["x", "a/xx"]),
        ("*", ["a", ""], ["a/b"]),
        ("v?", ["v?"], ["v1"]),
        ("*.msi", [], ["a\u202egpj.msi", "a\x00.msi", "a\n.msi", "e\u0301.msi", "a\ud800.msi", "a\u200b.msi"]),
        ("pay*", ["payroll"], ["p\u0430yroll", "\uff50ayroll"]),
    ],
)  # fmt: skip
def test_a_pattern_matches_the_whole_name_and_nothing_else(pattern, yes, no):
    glob = parse_glob(pattern, what="it")
    assert [name for name in yes if not glob.matches(name)] == []
    assert [name for name in no if glob.matches(name)] == []


@pytest.mark.parametrize(
    "text",
    ["", "x" * 513, "[ab]", "a{b,c}", r"a\*", "^a$", "a|b", "a***b", "a/../b", "./a", "a\u202eb", "e\u0301", "a\nb"],
)
def test_what_another_language_would_mean_is_refused(text):
    with pytest.raises(Malformed):
        parse_glob(text, what="it")


def test_a_wildcard_that_is_written_often_costs_no_more_time_than_the_two_lengths():
    glob = parse_glob("*a" * 200 + "b", what="it")
    assert not glob.matches("a" * 2000)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("a/b", "a/*"),
        ("a/*", "a/**"),
        ("a/b/*", "a/**"),
        ("installer-*", "*.msi"),
        ("a*b", "a*"),
        ("*a", "*a*"),
        ("**/*a", "**a"),
    ],
)
def test_the_more_specific_pattern(more, less):
    assert Glob(more).specificity() > Glob(less).specificity()


WORDS = tuple("".join(letters) for n in range(5) for letters in itertools.product("ab/", repeat=n))
PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), min_size=1, max_size=5).map("".join)


@settings(max_examples=150, deadline=None)
@given(PATTERNS, PATTERNS)
def test_a_pattern_within_another_is_never_less_specific_and_meeting_is_seen(left, right):
    if "***" in left + " " + right:
        return
    one, two = Glob(left), Glob(right)
    ours, theirs = ({word for word in WORDS if glob.matches(word)} for glob in (one, two))
    if ours & theirs:
        assert one.meets(two)
    shortest = min(len(left.replace("*", "")), len(right.replace("*", "")))
    if ours and ours < theirs and shortest <= 3 and all(two.matches(word) for word in stretched(left)):
        assert one.specificity() > two.specificity()


def stretched(pattern: str) -> list[str]:
    """Longer names that a pattern matches, for wildcards filled in several ways."""
    fills = ("", "a", "b", "ab", "ba", "bb")
    return [
        pattern.replace("**", f"{deep}/{flat}").replace("*", flat) for deep, flat in itertools.product(fills, repeat=2)
    ]


def test_patterns_that_cannot_meet():
    assert not Glob("a/*").meets(Glob("b/*"))
    assert not Glob("*.msi").meets(Glob("*.exe"))
    assert not Glob("*").meets(Glob("a/b"))
    assert Glob("a*").meets(Glob("*b"))
