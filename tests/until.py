# SPDX-License-Identifier: Apache-2.0
"""Wait for something instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Return when ``condition`` holds; AssertionError where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """The same where no event loop is to go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
