# SPDX-License-Identifier: Apache-2.0
"""What readers made is forgotten: by age, by number, on demand; and nobody guesses its name."""

from __future__ import annotations

import pytest

from sigcore.errors import NotFound
from stack.web.console.kept import LIFE_S, MOST, Kept


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_thing_is_there_for_its_time_and_no_longer():
    clock = Clock()
    kept: Kept[str] = Kept(clock)
    name = kept.add("a")
    clock.now_s += LIFE_S - 1
    assert kept.get(name) == "a"
    clock.now_s += 1
    with pytest.raises(NotFound, match="not kept"):
        kept.get(name)


def test_the_oldest_makes_room():
    kept: Kept[int] = Kept(Clock())
    names = [kept.add(number) for number in range(MOST + 1)]
    with pytest.raises(NotFound):
        kept.get(names[0])
    assert [kept.get(name) for name in names[1:]] == list(range(1, MOST + 1))


def test_names_are_long_and_never_the_same():
    kept: Kept[int] = Kept(Clock())
    names = {kept.add(0) for _ in range(50)}
    assert len(names) == 50
    assert min(map(len, names)) >= 22


def test_what_is_dropped_is_gone_and_dropping_twice_is_nothing():
    kept: Kept[int] = Kept(Clock())
    name = kept.add(1)
    kept.drop(name)
    kept.drop(name)
    with pytest.raises(NotFound):
        kept.get(name)
