# SPDX-License-Identifier: Apache-2.0
"""A clock whose hands may be turned: what it shows, what it remembers, and that a leap of the machine's clock is still told from a turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore.errors import Malformed, Unavailable
from sigcore.pace import Pace
from stack import turned_clock
from stack.config import Home
from stack.turned_clock import FIRST, LAST, Hands, TurnedClock, check_time, load_hands, time_in

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


class Machine:
    """Its time of day, which can be set, and the seconds that have passed, which cannot."""

    def __init__(self) -> None:
        self.day, self.passed_s = NOON, 1000.0

    def now(self, _zone: object = None) -> datetime:
        return self.day

    def passed(self) -> float:
        return self.passed_s

    def wait(self, duration: timedelta) -> None:
        self.day += duration
        self.passed_s += duration.total_seconds()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(turned_clock, "time_of_day", made.now)
    monkeypatch.setattr(turned_clock, "seconds_passed", made.passed)
    return made


def test_hands_run_stand_and_are_turned():
    ahead = Hands().turned(NOON, NOON + YEAR)
    assert (ahead.at(NOON), ahead.at(NOON + HOUR)) == (NOON + YEAR, NOON + YEAR + HOUR)
    standing = ahead.standing(NOON + HOUR)
    assert standing.at(NOON + 9 * HOUR) == NOON + YEAR + HOUR
    assert standing.turned(NOON, NOON).at(NOON + HOUR) == NOON, "it stands where it was turned to"
    assert standing.running(NOON + 9 * HOUR).at(NOON + 10 * HOUR) == NOON + YEAR + 2 * HOUR
    assert ahead.running(NOON) == ahead


def test_a_clock_that_nobody_turned_is_the_time_of_day_and_leaves_no_file(tmp_path: Path, machine: Machine):
    home = Home(tmp_path)
    clock = TurnedClock(home)
    machine.wait(HOUR)
    assert clock() == time_in(home) == NOON + HOUR
    clock.turn(clock.hands.turned(machine.day, NOON + YEAR))
    assert list(tmp_path.iterdir()) != []
    clock.turn(Hands())
    assert list(tmp_path.iterdir()) == []
    assert clock() == NOON + HOUR


def test_other_processes_read_the_same_time(tmp_path: Path, machine: Machine):
    home = Home(tmp_path)
    clock = TurnedClock(home)
    odd = NOON + YEAR + timedelta(microseconds=123_457)
    for hands in (Hands().turned(machine.day, odd), Hands(stopped=odd), Hands(-YEAR), Hands(stopped=FIRST)):
        clock.turn(hands)
        assert load_hands(home) == hands
        assert time_in(home) == clock() == TurnedClock(home)() == hands.at(machine.day)


@pytest.mark.parametrize("text", ["", "{}", '{"ahead_us": "1"}', '{"stopped_us": 1, "more": 2}'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str):
    (tmp_path / "clock.json").write_text(text)
    with pytest.raises(Malformed):
        time_in(Home(tmp_path))


def test_a_turn_is_no_leap_and_a_leap_is_one_whatever_was_turned(tmp_path: Path, machine: Machine):
    clock = TurnedClock(Home(tmp_path))
    pace = Pace(clock(), clock.ticks)
    clock.turn(clock.hands.turned(machine.day, NOON + 3 * YEAR))
    pace.check(clock())
    clock.turn(clock.hands.standing(machine.day))
    machine.wait(YEAR)
    clock.turn(clock.hands.turned(machine.day, NOON + 4 * YEAR))
    pace.check(clock())
    clock.turn(clock.hands.running(machine.day))
    machine.wait(HOUR)
    pace.check(clock())
    assert pace.leap(clock()) == timedelta()
    machine.day += timedelta(hours=25)  # nobody has turned the clock: the machine's was set
    with pytest.raises(Unavailable, match="leapt forward by 25 hours"):
        pace.check(clock())


def test_a_start_at_a_stopped_clock_has_not_leapt_when_it_runs(tmp_path: Path, machine: Machine):
    TurnedClock(Home(tmp_path)).turn(Hands(stopped=NOON - YEAR))
    clock = TurnedClock(Home(tmp_path))
    pace = Pace(clock(), clock.ticks)
    machine.wait(YEAR)
    clock.turn(clock.hands.running(machine.day))
    machine.wait(HOUR)
    assert pace.leap(clock()) == timedelta()


@pytest.mark.parametrize("moment", [FIRST - timedelta(microseconds=1), LAST + timedelta(microseconds=1)])
def test_times_that_no_certificate_could_say_are_refused(moment: datetime):
    with pytest.raises(Malformed, match="expected a time from 2000 to 2100"):
        check_time(moment, "set")
    assert check_time(FIRST, "set") == FIRST
