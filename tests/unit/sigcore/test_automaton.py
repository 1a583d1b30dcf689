# SPDX-License-Identifier: Apache-2.0
"""The automaton answers as ``re`` does, and takes no more time than pattern and text are long."""

from __future__ import annotations

import re
import sys
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcore import limits
from sigcore.automaton import Automaton
from sigcore.automaton_making import make_automaton
from sigcore.errors import Refused
from tests.chance import chosen_seed

PARTS = [
    r"a",
    r"b",
    r"A",
    r"z",
    r".",
    r"\n",
    r"\.",
    r"[ab]",
    r"[^a]",
    r"[^A-B]",
    r"[a-c_]",
    r"[Z-b]",
    r"\w",
    r"\W",
    r"\d",
    r"\D",
    r"\s",
    r"\S",
    r"[\W_]",
    r"[^\W_]",
    r"[\d.-]",
    r"^",
    r"$",
    r"\b",
    r"\B",
    r"\A",
    r"\Z",
    r"\x41",
    r"\xe9",
    r"[\x00-\u2200]",
]
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "{0}", "*?", "+?", "??", "{1,3}?"])
PATTERNS = st.recursive(
    st.sampled_from(["", *PARTS]),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("(?P<name>{})".format, inner),
        st.builds("(?:{}){}".format, inner, REPEATS),
        st.builds("(?{}:{})".format, st.sampled_from(["i", "s", "m", "-i", "-s", "im", "i-s"]), inner),
    ),
    max_leaves=8,
)
FLAGS = st.sampled_from(["", "(?i)", "(?s)", "(?m)", "(?ims)"])
TEXTS = st.text("aAbBzZ_1 .\n@\u00e9\u00c9\u212a", max_size=8)


@settings(max_examples=600)
@given(FLAGS, PATTERNS, st.lists(TEXTS, min_size=1, max_size=5))
def test_it_answers_as_re_does(flags: str, pattern: str, texts: list[str]):
    try:
        expected = re.compile(flags + pattern, re.ASCII)
    except re.error:  # two groups of one name
        with pytest.raises(Refused):
            make_automaton(flags + pattern)
        return
    automaton = make_automaton(flags + pattern)
    for text in texts:
        if text or r"\B" not in pattern:  # which re takes for no place in an empty text, until Python 3.14
            assert automaton.fullmatch(text) == bool(expected.fullmatch(text)), text


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        (r"a@b\.com", ["a@b.com"], ["a@b.com.evil", "xa@b.com", "a@bXcom", "a@b.com\n", "A@b.com", ""]),
        (r"^a@b\.com$", ["a@b.com"], ["a@b.com\n", "\na@b.com"]),
        (
            r"(?i)signer@(corp|lab)\.example",
            ["SIGNER@Lab.example"],
            ["signer@\u0141ab.example", "signer@lab.exampl\u0145"],
        ),
        (r"(?i)k", ["K", "k"], ["\u212a"]),
        (r"https://github\.com/acme/[^/]+/.*", ["https://github.com/acme/a/b"], ["https://github.com/acme/a"]),
        (r"(a|ab)(c|bcd)(d*)", ["abcd", "acd", "abc"], ["abcdb"]),
    ],
)
def test_whole_texts_match(pattern: str, hits: list[str], misses: list[str]):
    automaton = make_automaton(pattern)
    assert [text for text in (*hits, *misses) if automaton.fullmatch(text)] == hits


# --- time --------------------------------------------------------------------------------------------
def lines_for(automaton: Automaton, text: str) -> int:
    """Lines of Python that run while ``text`` is matched: the same on every machine."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        automaton.fullmatch(text)
    finally:
        sys.settrace(before)
    return count


HOSTILE = {
    r"(a+)+@example\.org": "a",
    r"([a-z.]+)+@corp\.example": "a.",
    r"(a|a)*(a|aa)*(a?){20}b": "a",
    r"(.*)(.*)(.*)(.*)(.*)!": "ab",
    r"(a|b)*a(a|b){40}": "random",
    r"(\b|a|\w*)*\B!": "ab",
}


@pytest.mark.parametrize(("pattern", "unit"), HOSTILE.items())
def test_v17_the_steps_of_a_match_grow_as_the_text_does_and_no_faster(pattern: str, unit: str):
    chance = Random(chosen_seed())
    text = "".join(chance.choices("ab", k=800)) if unit == "random" else unit * (800 // len(unit))
    half, whole = (lines_for(make_automaton(pattern), text[:length]) for length in (400, 800))
    assert half < whole < 2.2 * half
    leads = sum(len(step.leads) for step in make_automaton(pattern).steps)
    assert whole < 800 * (10 * leads + 20)


def test_what_is_remembered_stays_within_bounds_and_changes_no_answer():
    pattern, chance = "(a|b)*a(a|b){120}", Random(chosen_seed())
    automaton, expected = make_automaton(pattern), re.compile("[ab]*a[ab]{120}")
    found = []
    for _ in range(20):
        text = "".join(chance.choices("ab", k=300))
        found.append(automaton.fullmatch(text))
        assert found[-1] == bool(expected.fullmatch(text))
        held = sum(len(key[0]) + len(value) for key, value in automaton._known.items())
        assert held <= 100_000
    assert set(found) == {True, False}


@pytest.mark.parametrize(
    "pattern",
    ["(a{99}){99}", "((((a{1000}){1000}){1000}){1000})", "(?:a|b?){0,4000}", "[a-z]{0,1000}" * 3],
)
def test_a_pattern_whose_repeats_are_long_when_written_out_is_refused(pattern: str):
    with pytest.raises(Refused, match=f"has more than {limits.PATTERN_STEPS} steps"):
        make_automaton(pattern)


@pytest.mark.parametrize("pattern", ["((((){1000}){1000}){1000}){1000}", "(a{0}){1000}", "(?:(?:a{0}|){0,9}){9}"])
def test_a_repeat_of_nothing_is_nothing_however_often(pattern: str):
    automaton = make_automaton(pattern)
    assert automaton.fullmatch("")
    assert not automaton.fullmatch("a")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(a)\1", "a reference to a group"),
        ("(a)?(?(1)b|c)", "a condition on a group"),
        ("(?=a)a", "looks at what it does not take"),
        ("a(?<!b)", "looks at what it does not take"),
        ("(?!)", "looks at what it does not take"),
        ("(?>a)", "an atomic group"),
        ("a++", "a possessive repeat"),
        ("(?u:a)", "the classes of Unicode"),
        ("(?u)a", "is no regular expression"),
        ("[[:alpha:]]", "which Python reads as single characters"),
        ("[a-c[:^digit:]]", "which Python reads as single characters"),
        ("(", "is no regular expression"),
        ("(" * 2000 + ")" * 2000, "is no regular expression"),
        ("a{99999999999}", "is no regular expression"),
    ],
)
def test_v17_what_no_automaton_does_is_refused_with_the_reason(pattern: str, why: str):
    with pytest.raises(Refused, match=why):
        make_automaton(pattern)
