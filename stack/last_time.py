# SPDX-License-Identifier: Apache-2.0
"""The last time that stands in a timestamp, kept across restarts: a clock that was set back cannot make an older one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sigcore import limits
from sigcore.errors import NotFound, Unavailable
from sigcore.floor import Floor
from sigcore.pace import Pace
from sigcore.strict import encode_time, parse_time
from stack.files import load_file, save_file
from stack.lock import alone
from tsa.timekeeper import TimeKeeper


def seconds_passed() -> float:
    """Since the machine was started, where the system counts its sleep as well; nobody can set it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def ticks_of(clock: Callable[[], datetime]) -> Callable[[], float]:
    """What ``clock`` is compared with: its own ``ticks`` where it is one that may be turned, else :func:`seconds_passed`."""
    ticks: Callable[[], float] = getattr(clock, "ticks", seconds_passed)
    return ticks


def make_timekeeper(
    path: Path,
    now: datetime,
    *,
    durable: bool,
    floor: Floor | None = None,
    accepted: bool = False,
    ticks: Callable[[], float] = seconds_passed,
) -> TimeKeeper:
    """A :class:`~tsa.timekeeper.TimeKeeper` that remembers in ``path``, at most one write per second of the clock.

    ``floor`` is what several processes have in common, of which one at a time writes: else a late one could put an older time
    in the place of a newer one that was used already. ``accepted``: ``now`` is right, and a time that is still to come counts no more.
    ``ticks`` are those of :func:`ticks_of`.

    Raises:
        Malformed: the file is damaged.
    """

    def record(moment: datetime) -> None:
        if floor is None:
            save(moment)
            return
        with alone(path.parent):
            if int(moment.timestamp()) > floor.value:
                save(moment)
                floor.raise_to(int(moment.timestamp()))

    def save(moment: datetime) -> None:
        try:
            save_file(path, encode_time(moment).encode("ascii") + b"\n", durable=durable)
        except OSError as error:
            message = f"timeNotAvailable: the time of the timestamp cannot be recorded: {error.strerror}"
            raise Unavailable(message, f"make room for {path.name}") from error

    last = load_time(path)
    if accepted and last is not None and last > now:
        last = None
    return TimeKeeper(last, record, floor, Pace(now, ticks))


def load_time(path: Path) -> datetime | None:
    """The time in ``path``; None where there is none. Malformed: the file is damaged."""
    try:
        data = load_file(path, what="the last timestamp's time", limit=limits.TEXT)
    except NotFound:
        return None
    return parse_time(data.decode("ascii", "replace").strip(), what=str(path))
