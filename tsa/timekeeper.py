# SPDX-License-Identifier: Apache-2.0
"""The time that may stand in a token: whole seconds, never before one that already stands in one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sigcore.errors import Unavailable
from sigcore.floor import Floor
from sigcore.pace import Pace
from sigcore.strict import encode_time

TOLERANCE: Final = timedelta(seconds=60)
"""How far back a clock may step (an NTP correction) before issuing stops."""


class TimeKeeper:
    """Holds the last genTime.

    Args:
        last: the last genTime that was recorded before a restart, if any.
        record: called with each new genTime before it is used, at most once per second of the clock. It makes the time
            durable, and raises :class:`Unavailable` where it cannot.
        floor: the last genTime in Unix seconds, where several processes have it in common.
        pace: what tells a clock that has leapt forward.
    """

    def __init__(
        self,
        last: datetime | None = None,
        record: Callable[[datetime], None] | None = None,
        floor: Floor | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace
        self._floor = Floor() if floor is None else floor
        if last is not None:
            self._floor.raise_to(_seconds(last))
        self._record = record

    def advance(self, now: datetime) -> datetime:
        """The genTime for ``now``, cut to whole seconds.

        A clock that stepped back by up to ``TOLERANCE`` is waited for: the last genTime is given again.

        Raises:
            Unavailable: the clock is further back than that, or has leapt forward, or the time cannot be recorded.
        """
        self._check_pace(now)
        if _seconds(now) > self._floor.value:
            if self._record is not None:
                self._record(now.replace(microsecond=0))
            self._floor.raise_to(_seconds(now))
        else:
            self.check(now)
        return datetime.fromtimestamp(self._floor.value, UTC)

    def check(self, now: datetime) -> None:
        """Whether a timestamp could be issued at ``now``.

        Raises:
            Unavailable: the clock is further back than ``TOLERANCE``, or has leapt forward.
        """
        self._check_pace(now)
        moment = now.replace(microsecond=0)
        last = datetime.fromtimestamp(self._floor.value, UTC)
        if last - moment > TOLERANCE:
            raise Unavailable(
                f"timeNotAvailable: the clock says {encode_time(moment)}, a timestamp of {encode_time(last)} was issued",
                "set the clock right; if it is right now, and was ahead when that was issued: start once with --accept-clock",
            )

    def _check_pace(self, now: datetime) -> None:
        try:
            if self._pace is not None:
                self._pace.check(now)
        except Unavailable as error:
            raise Unavailable(f"timeNotAvailable: {error.message}", error.hint) from error


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
