# SPDX-License-Identifier: Apache-2.0
"""The clock of a stack for tests, whose hands may be turned: it runs ahead of the time of day, or behind, or stands still.

Where the hands are lies in the data directory as well: the process that signs the TUF repository, and commands beside the stack that
rotate its keys, read the same time. A stack whose clock nobody has turned has no such file, and reads the time of day.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, encode_time
from sigcore.values import dataclass
from stack.authorities import AUTHORITY_LIFE
from stack.config import Home, Settings
from stack.files import load_file, save_file
from stack.last_time import seconds_passed
from stack.seed import LIFE

FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Between these, everything that is signed can say what time it is."""
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time_of_day() -> datetime:
    """As everybody has it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Hands:
    """Where the hands are: so far ahead of the time of day, or at ``stopped``, where they stay."""

    ahead: timedelta = timedelta()
    stopped: datetime | None = None

    def at(self, real: datetime) -> datetime:
        """What the clock shows when the time of day is ``real``."""
        return real + self.ahead if self.stopped is None else self.stopped

    def turned(self, real: datetime, to: datetime) -> Hands:
        """They show ``to`` at ``real``, and run or stand as before."""
        return Hands(to - real) if self.stopped is None else Hands(stopped=to)

    def standing(self, real: datetime) -> Hands:
        """They stay where they are at ``real``."""
        return Hands(stopped=self.at(real))

    def running(self, real: datetime) -> Hands:
        """They run from where they are at ``real``."""
        return Hands(self.at(real) - real)


class TurnedClock:
    """Calling it reads it: the time of day where nobody has turned it.

    Every part of a stack is given the same one.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._hands = load_hands(home)
        self._ticks_ahead_s = 0.0
        self._ticks_stopped_s = seconds_passed() if self._hands.stopped else None

    def __call__(self) -> datetime:
        """What time it is."""
        return self._hands.at(time_of_day())

    @property
    def hands(self) -> Hands:
        """Where they are."""
        return self._hands

    def ticks(self) -> float:
        """Seconds that have passed by this clock: one that was turned has not leapt (:class:`sigcore.pace.Pace`), and what leaps still shows."""
        return seconds_passed() + self._ticks_ahead_s if self._ticks_stopped_s is None else self._ticks_stopped_s

    def turn(self, hands: Hands) -> None:
        """Put the hands there. OSError: the place cannot be written down; then they stay where they were."""
        real, passed = time_of_day(), seconds_passed()
        ticks_s = self.ticks() + (hands.at(real) - self._hands.at(real)).total_seconds()
        save_hands(self._home, hands)
        self._hands = hands
        self._ticks_ahead_s = ticks_s - passed
        self._ticks_stopped_s = ticks_s if hands.stopped else None


def check_time(moment: datetime, what: str) -> datetime:
    """``moment``, which a clock may be set to. Malformed: nothing could be signed with it."""
    if not FIRST <= moment <= LAST:
        raise Malformed(f"{what} is {encode_time(moment)}, expected a time from {FIRST.year} to {LAST.year}")
    return moment


def set_first(home: Home, settings: Settings, wanted: datetime, *, stopped: bool = False) -> None:
    """Have the stack in ``home``, which was made a moment ago and has signed nothing, begin at ``wanted``, or stand there.

    Raises:
        Malformed: its authorities are not good at that time, so that nothing could be signed.
    """
    ends = settings.created + (AUTHORITY_LIFE if settings.seed is None else LIFE)
    if not settings.created <= check_time(wanted, "--clock") < ends:
        found = f"--clock is {encode_time(wanted)}, when the authorities of this stack are not good"
        raise Malformed(found, f"give a time from {encode_time(settings.created)} to {encode_time(ends)}")
    save_hands(home, Hands(stopped=wanted) if stopped else Hands(wanted - time_of_day()))


# --- where the hands are, on disk ---------------------------------------------------------------------
def time_in(home: Home) -> datetime:
    """What time it is for the stack in ``home``. Malformed: the file that says so is damaged."""
    return load_hands(home).at(time_of_day())


def load_hands(home: Home) -> Hands:
    """Where they are in ``home``. Malformed: the file is damaged."""
    path = _path(home)
    if not path.exists():
        return Hands()
    fields = Fields.parse(load_file(path, what="the turned clock"), what=str(path), limit=limits.TEXT)
    fields.only("ahead_us", "stopped_us")
    name = fields.one_of("stopped_us", "ahead_us")
    try:
        span = fields.integer(name) * _MICROSECOND
        return Hands(span) if name == "ahead_us" else Hands(stopped=_EPOCH + span)
    except OverflowError as error:
        raise Malformed(f"{path} says that it is a time beyond the calendar", "take the file away") from error


def save_hands(home: Home, hands: Hands) -> None:
    """Write it down for the other processes; nothing for hands that show the time of day."""
    path = _path(home)
    if hands == Hands():
        path.unlink(missing_ok=True)
        return
    said: dict[str, JSON] = (
        {"ahead_us": hands.ahead // _MICROSECOND}
        if hands.stopped is None
        else {"stopped_us": (hands.stopped - _EPOCH) // _MICROSECOND}
    )
    save_file(path, json.dumps(said).encode() + b"\n", durable=False)


def _path(home: Home) -> Path:
    return home.path / "clock.json"
