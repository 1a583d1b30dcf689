# SPDX-License-Identifier: Apache-2.0
"""A thread for what blocks: one thing after the other, in the order in which it was asked.

``concurrent.futures`` would do; handing over and back takes it three times as long, and every commit waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias, TypeVar

_T = TypeVar("_T")
_Job: TypeAlias = Callable[[], None]


class Worker:
    """One thread with this ``name``, from now until :meth:`close`."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # Whoever did not close it does not wait for it either: a commit cut off in the middle is what stores are made for.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """What ``work`` returns or raises, from now on in the thread. It is done even when the caller is cancelled meanwhile."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()

        def job() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
                _tell(loop, answer, partial(answer.set_exception, error))
            else:
                _tell(loop, answer, partial(answer.set_result, result))

        self._jobs.put(job)
        return answer

    async def run(self, work: Callable[[], _T]) -> _T:
        """As :meth:`start`, for who waits."""
        return await self.start(work)

    def close(self) -> None:
        """Finish what was asked, end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _tell(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[_T], how: Callable[[], None]) -> None:
    def tell() -> None:
        if not answer.done():
            how()

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(tell)
