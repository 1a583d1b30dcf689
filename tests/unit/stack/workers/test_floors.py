# SPDX-License-Identifier: Apache-2.0
"""Times that several processes sign with never go back, whoever signed last."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore.errors import Unavailable
from stack.last_time import make_timekeeper
from stack.workers.floors import Floors
from tlog.publish import SigningClock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_what_one_process_signed_with_is_the_least_for_all_others():
    floors = Floors(2)
    pid = os.fork()
    if pid == 0:
        floors.of(1)["ct"].raise_to(1_000_000)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert floors.of(0)["ct"].value == 1_000_000
    assert floors.of(0)["tsa"].value == 0
    floors.of(0)["ct"].raise_to(5)
    assert floors.of(1)["ct"].value == 1_000_000


def test_a_clock_that_is_behind_what_another_process_signed_stands_still_or_refuses():
    floors = Floors(2)
    first, second = SigningClock(lambda: NOW), SigningClock(lambda: NOW - timedelta(seconds=3))
    late = SigningClock(lambda: NOW - timedelta(seconds=30))
    for clock, process in ((first, 0), (second, 1), (late, 1)):
        clock.share(floors.of(process)["rekor-v1"])
    assert second.now_ms() < first.now_ms() == second.now_ms()
    with pytest.raises(Unavailable, match="30 s behind"):
        late.now_ms()


def test_a_timestamp_is_never_before_one_of_another_process_and_the_file_has_the_last_one(tmp_path: Path):
    floors, path = Floors(3), tmp_path / "tsa.time"
    one, two = (make_timekeeper(path, NOW, durable=False, floor=floors.of(process)["tsa"]) for process in (1, 2))
    assert one.advance(NOW) == NOW
    assert two.advance(NOW - timedelta(seconds=5)) == NOW
    assert two.advance(NOW + timedelta(seconds=1)) == NOW + timedelta(seconds=1)
    assert one.advance(NOW) == NOW + timedelta(seconds=1)
    assert path.read_text("ascii").strip() == "2026-01-02T03:04:06Z"
    with pytest.raises(Unavailable, match="timeNotAvailable"):
        one.advance(NOW - timedelta(seconds=100))
    again = make_timekeeper(path, NOW, durable=False, floor=Floors(1).of(0)["tsa"])
    assert again.advance(NOW) == NOW + timedelta(seconds=1)
