# SPDX-License-Identifier: Apache-2.0
"""Conditions on a predicate: a path to one value in it, and what that value must be.

    "runDetails.builder.id": "https://ci.corp.example/*"    a text: equal, or matched by a pattern with stars
    "externalParameters.release": true                      a boolean, a whole number or null: equal
    "buildType": ["https://a.example/v1", "https://b/*"]     one of these
    "materials": {"contains": "git+https://..."}            an array that has such an element
    "metadata.finishedOn": {"after": "2026-01-01"}          a time (RFC 3339), also "before"; both may be given
    "note": {"equals": "2 * 3"}                             a text, stars and all

A path names members, joined by dots. A value that is missing, or of another type than what it is compared with, fails.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias

from client.policy.glob import Glob, parse_glob
from client.policy.moments import parse_moment
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, parse_time, shown
from sigcore.values import dataclass

_OPERATORS: Final = ("equals", "contains", "after", "before")


@dataclass(frozen=True, slots=True)
class Plain:
    """Equal in value and type."""

    value: bool | int | str | None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these; with ``inside`` the value is an array, and one of its elements is one of these."""

    tests: tuple[Plain | Glob, ...]
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """A time after the one and before the other, where they are given."""

    after: datetime | None
    before: datetime | None


Test: TypeAlias = AnyOf | Between


@dataclass(frozen=True, slots=True)
class Condition:
    """``test`` on the value at ``path``."""

    path: tuple[str, ...]
    test: Test


def parse_conditions(fields: Fields) -> tuple[Condition, ...]:
    """The object of ``where``.

    Raises:
        Malformed: an empty path or part of one, a test that is none.
    """
    if not 1 <= len(fields.names()) <= limits.POLICY_NAMES:
        raise Malformed(f"{fields.path} has {len(fields.names())} conditions, expected 1 to {limits.POLICY_NAMES}")
    return tuple(_condition(fields, name, value) for name, value in fields.raw().items())


def _condition(fields: Fields, name: str, value: JSON) -> Condition:
    path = tuple(name.split("."))
    what = f"{fields.path}.{name}"
    if not all(path) or len(name) > limits.POLICY_GLOB:
        raise Malformed(f"{fields.path} has the path {shown(name)}, expected names joined by dots")
    if isinstance(value, dict):
        return Condition(path, _operator(Fields(value, what)))
    return Condition(path, AnyOf(_tests(value, what)))


def _operator(fields: Fields) -> Test:
    fields.only(*_OPERATORS)
    if fields.names() and set(fields.names()) <= {"after", "before"}:
        ends = {name: parse_moment(fields.text(name), what=f"{fields.path}.{name}") for name in fields.names()}
        return Between(ends.get("after"), ends.get("before"))
    operator = fields.one_of(*_OPERATORS)
    if operator == "equals":
        return AnyOf((Plain(fields.text("equals")),))
    return AnyOf(_tests(fields.raw()["contains"], f"{fields.path}.contains"), inside=True)


def _tests(value: JSON, what: str) -> tuple[Plain | Glob, ...]:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= limits.POLICY_NAMES:
        raise Malformed(f"{what} has {len(values)} values, expected 1 to {limits.POLICY_NAMES}")
    return tuple(_test(one, what) for one in values)


def _test(value: JSON, what: str) -> Plain | Glob:
    if isinstance(value, str):
        return parse_glob(value, what=what) if "*" in value else Plain(value)
    if isinstance(value, list | dict | float):
        raise Malformed(f"{what} holds {shown(value)}, expected a text, a whole number, true, false or null")
    return Plain(value)


def failing(condition: Condition, predicate: JSON) -> str:
    """Why ``condition`` does not hold of ``predicate``; empty where it does."""
    value = predicate
    for name in condition.path:
        if not isinstance(value, dict) or name not in value:
            return f"{shown('.'.join(condition.path), 200)} is missing"
        value = value[name]
    if _holds(condition.test, value):
        return ""
    return f"{shown('.'.join(condition.path), 200)} is {shown(value, 200)}, expected {expected(condition.test)}"


def _holds(test: Test, value: JSON) -> bool:
    if isinstance(test, Between):
        return _between(test, value)
    values = value if test.inside and isinstance(value, list) else [value]
    if test.inside and not isinstance(value, list):
        return False
    return any(_equal(one, found) for one in test.tests for found in values)


def _equal(test: Plain | Glob, value: JSON) -> bool:
    if isinstance(test, Glob):
        return isinstance(value, str) and test.matches(value)
    return type(value) is type(test.value) and value == test.value


def _between(test: Between, value: JSON) -> bool:
    try:
        moment = parse_time(value if isinstance(value, str) else "", what="the value")
    except Malformed:
        return False
    return (test.after is None or moment > test.after) and (test.before is None or moment < test.before)


def expected(test: Test) -> str:
    """What a test asks for, for a message."""
    if isinstance(test, Between):
        ends = (("after", test.after), ("before", test.before))
        return f"a time {' and '.join(f'{word} {end:%Y-%m-%dT%H:%M:%SZ}' for word, end in ends if end)}"
    values = " or ".join(shown(one.text if isinstance(one, Glob) else one.value, 200) for one in test.tests)
    return f"an array with {values}" if test.inside else values
