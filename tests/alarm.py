# SPDX-License-Identifier: Apache-2.0
"""Ends a test that would go on for ever. For what has no deadline of its own and runs in the test's process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block, or a failure after ``seconds``; ``re`` and everything in Python look for signals on their way."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"it was not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
