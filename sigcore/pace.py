# SPDX-License-Identifier: Apache-2.0
"""How a clock that can be set goes beside one that cannot: a leap forward is told from time that has passed.

What is signed with a time that is ahead cannot be taken back, and nothing may be signed with an earlier one: a clock that is wrong for
a second would stop a log for as long as it was ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sigcore.errors import Unavailable
from sigcore.strict import encode_time

MOST: Final = timedelta(hours=24)
"""A correction may be larger than any offset of a time zone, and no larger."""


class Pace:
    """Compares two clocks from now on.

    Args:
        now: the time of day at this moment.
        ticks: seconds that have passed since any moment in the past; nobody can set them, and they count a suspended machine's time.
    """

    __slots__ = ("_apart_s", "_ticks")

    def __init__(self, now: datetime, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._apart_s = now.timestamp() - ticks()

    def leap(self, now: datetime) -> timedelta:
        """How far the time of day has gone forward beyond what has passed."""
        return timedelta(seconds=now.timestamp() - self._ticks() - self._apart_s)

    def check(self, now: datetime) -> None:
        """Raises Unavailable for a clock that has leapt forward by more than :data:`MOST`."""
        leap = self.leap(now)
        if leap > MOST:
            raise Unavailable(
                f"the clock has leapt forward by {leap / timedelta(hours=1):.0f} hours, to {encode_time(now.replace(microsecond=0))}:"
                " nothing is signed with that time",
                "set the clock right; where it is right now, start this process again",
            )
