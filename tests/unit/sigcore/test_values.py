# SPDX-License-Identifier: Apache-2.0
"""Our ``dataclass`` beside the standard library's: the same class body, the same behaviour."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from sigcore import values

STANDARD = dataclasses.dataclass(frozen=True, slots=True)


def point(decorator: Any) -> Any:
    class Point:
        """A point."""

        x: int
        y: int = 2
        name: str = ""

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("negative")

        @property
        def sum(self) -> int:
            return self.x + self.y

    return decorator(Point)


@values.dataclass(frozen=True, slots=True)
class One:
    data: bytes


OURS, THEIRS = point(values.dataclass(frozen=True, slots=True)), point(STANDARD)
BOTH = pytest.mark.parametrize("cls", [OURS, THEIRS], ids=["ours", "standard"])


@BOTH
def test_making_and_reading(cls):
    assert (cls(1).x, cls(1).y, cls(1, name="n").name, cls(1, 5).sum) == (1, 2, "n", 6)
    assert cls.__doc__ == "A point."
    assert cls.__slots__ == cls.__match_args__ == ("x", "y", "name")
    assert not hasattr(cls(1), "__dict__")
    with pytest.raises(ValueError, match="negative"):
        cls(-1)
    for arguments in ((), (1, 2, "", 4)):
        with pytest.raises(TypeError):
            cls(*arguments)


@BOTH
def test_equality_and_hash(cls):
    assert cls(1) == cls(1, 2) != cls(1, 3)
    assert cls(1) != 1
    assert hash(cls(1)) == hash(cls(1, 2))
    assert len({cls(1), cls(1, 2), cls(2)}) == 2
    assert repr(cls(1)).endswith("Point(x=1, y=2, name='')")


@BOTH
def test_nothing_changes_a_value(cls):
    value = cls(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        value.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del value.x
    with pytest.raises((AttributeError, TypeError)):  # the standard library's own slots confuse its super() here
        value.other = 1


@BOTH
def test_the_functions_of_the_standard_library(cls: Any):
    assert bool(dataclasses.is_dataclass(cls))
    assert [field.name for field in dataclasses.fields(cls)] == ["x", "y", "name"]
    assert dataclasses.replace(cls(1), y=7) == cls(1, 7)
    assert dataclasses.asdict(cls(1)) == {"x": 1, "y": 2, "name": ""}
    with pytest.raises(ValueError, match="negative"):
        dataclasses.replace(cls(1), x=-1)
    with pytest.raises(TypeError):
        dataclasses.replace(cls(1), z=1)


@BOTH
def test_pattern_matching(cls):
    match cls(1, 2):
        case cls(x, 2):
            assert x == 1
        case _:
            pytest.fail("no match")


def test_copying_and_pickling():
    value = One(b"x")
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value  # noqa: S301 - our own bytes


SIZES = pytest.mark.parametrize("size", [1, 2, values._MANY - 1, values._MANY, 9])


def many(size: int, start: int) -> tuple[Any, Any]:
    """A class of our own with so many members, the last of which has a default, and the standard library's."""
    names = [f"m{number}" for number in range(start, start + size)]
    body = {"__annotations__": dict.fromkeys(names, "int"), names[-1]: 7, "__module__": __name__}
    return values.dataclass(frozen=True, slots=True)(type("Many", (), body)), STANDARD(type("Many", (), body))


@SIZES
def test_classes_of_one_size_have_each_their_own_members(size: int):
    for ours, theirs in (many(size, 0), many(size, 100)):
        given, names = tuple(range(size - 1)), ours.__match_args__
        assert repr(ours(*given)) == repr(theirs(*given))
        assert ours(**dict(zip(names, given, strict=False))) == ours(*given) != ours(*given, 8)
        assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
        for wrong in (given[:-1] if size > 1 else (1, 2), (*given, 1, 2)):
            with pytest.raises(TypeError) as ours_said:
                ours(*wrong)
            with pytest.raises(TypeError) as theirs_said:
                theirs(*wrong)
            assert str(ours_said.value) == str(theirs_said.value)


def test_what_is_not_supported_is_refused():
    late = type("Late", (), {"__annotations__": {"x": "int", "y": "int"}, "x": 1})
    with pytest.raises(TypeError, match="without default after one with"):
        values.dataclass(frozen=True, slots=True)(late)
    with pytest.raises(TypeError, match="inherits or has no fields"):
        values.dataclass(frozen=True, slots=True)(type("Child", (One,), {"__annotations__": {"more": "int"}}))
    with pytest.raises(TypeError, match="inherits or has no fields"):
        values.dataclass(frozen=True, slots=True)(type("Empty", (), {}))
    with pytest.raises(TypeError, match="frozen and have slots"):
        values.dataclass(frozen=True, slots=False)
