# SPDX-License-Identifier: Apache-2.0
"""A clock that leaps is told from one that goes on (F06)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sigcore.errors import Unavailable
from sigcore.pace import MOST, Pace
from tlog.publish import SigningClock
from tsa.timekeeper import TimeKeeper

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LEAP = MOST + timedelta(seconds=1)


class Clocks:
    """One that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.now, self.ticks = NOW, 1000.0

    def pass_by(self, time: timedelta) -> None:
        self.now += time
        self.ticks += time.total_seconds()


def test_time_that_passes_is_no_leap_however_long_and_a_correction_may_be_a_day():
    clocks = Clocks()
    pace = Pace(clocks.now, lambda: clocks.ticks)
    clocks.pass_by(timedelta(days=4000))
    pace.check(clocks.now)
    pace.check(clocks.now + MOST)
    pace.check(clocks.now - timedelta(days=400))
    with pytest.raises(Unavailable, match=r"leapt forward by 24 hours, to 2036-12-16T") as refused:
        pace.check(clocks.now + LEAP)
    assert "start this process again" in refused.value.hint


def test_nothing_is_signed_with_a_time_that_was_leapt_to_and_all_goes_on_when_the_clock_is_right_again():
    clocks = Clocks()
    signing = SigningClock(lambda: clocks.now)
    signing.guard(lambda: clocks.ticks)
    first = signing.now_ms()
    clocks.now += timedelta(days=365)
    with pytest.raises(Unavailable, match="leapt"):
        signing.now_ms()
    assert signing.latest_ms() == first
    clocks.now -= timedelta(days=365)
    clocks.pass_by(timedelta(seconds=2))
    assert signing.now_ms() == first + 2000


def test_so_it_is_with_timestamps():
    clocks, recorded = Clocks(), list[datetime]()
    keeper = TimeKeeper(record=recorded.append, pace=Pace(clocks.now, lambda: clocks.ticks))
    assert keeper.advance(clocks.now) == NOW
    for ask in (keeper.advance, keeper.check):
        with pytest.raises(Unavailable, match="timeNotAvailable: the clock has leapt"):
            ask(clocks.now + LEAP)
    assert keeper.advance(clocks.now) == NOW
    assert recorded == [NOW]


@pytest.mark.parametrize("accepted", [False, True])
def test_what_was_signed_with_a_time_to_come_counts_until_somebody_says_that_the_clock_is_right(*, accepted: bool):
    clocks = Clocks()
    signing = SigningClock(lambda: clocks.now)
    signing.guard(lambda: clocks.ticks, accepted=accepted)
    future = int((NOW + timedelta(days=365)).timestamp() * 1000)
    signing.raise_floor(future)
    if accepted:
        assert signing.now_ms() == int(NOW.timestamp() * 1000)
    else:
        assert signing.latest_ms() == future
        with pytest.raises(Unavailable, match="which was signed already") as refused:
            signing.now_ms()
        assert "--accept-clock" in refused.value.hint
