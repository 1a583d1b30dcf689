# SPDX-License-Identifier: Apache-2.0
"""One bound for many short waits: as ``asyncio.timeout``, with one timer for all that wait instead of one for each.

Nearly every wait ends long before its bound, and setting and taking back a timer costs more than the wait itself does.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Patience:
    """``with Patience(seconds):`` around what is awaited; any number of tasks may be inside, each task once.

    Raises:
        TimeoutError: from the block, when it took longer.
    """

    __slots__ = ("_loop", "_timer", "_waiting", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: dict[asyncio.Task[Any], _Wait] = {}
        """In the order in which they came, which is that of their ends."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None or task in self._waiting:
            raise RuntimeError("a task waits here once at a time")
        self._waiting[task] = _Wait(loop.time() + self.seconds, task.cancelling())
        if self._timer is None or self._loop is not loop:
            self._timer, self._loop = loop.call_later(self.seconds, self._look), loop

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        task = asyncio.current_task()
        wait = self._waiting.pop(task, None) if task else None
        # Over, and by nobody else's wish: a task that others cancelled too stays cancelled.
        if (
            wait
            and task
            and wait.over
            and task.uncancel() <= wait.cancelling
            and isinstance(error, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def _look(self) -> None:
        """Cancel those whose time is over, come back for the next one."""
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        for task, wait in self._waiting.items():
            if wait.end > now:
                self._timer = loop.call_at(wait.end, self._look)
                return
            if not wait.over:
                wait.over = True
                task.cancel()


class _Wait:
    """Until when, how often the task was cancelled before, and whether its time is over."""

    __slots__ = ("cancelling", "end", "over")

    def __init__(self, end: float, cancelling: int) -> None:
        self.end, self.cancelling, self.over = end, cancelling, False
