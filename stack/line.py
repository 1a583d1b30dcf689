# SPDX-License-Identifier: Apache-2.0
"""A thread that does one thing after another for an event loop, and keeps no process from ending.

Not an executor: those wait for their threads at the end of the process, and a device that hangs would hold it for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Made = TypeVar("Made")


class Line:
    """The thread begins with the first piece of work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._since: float | None = None

    def submit(self, work: Callable[[], Made]) -> Future[Made]:
        """The outcome of ``work``, in its turn; what is cancelled before that is left out."""
        future: Future[Made] = Future()
        self._queue.put((future, work))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return future

    @property
    def stuck_s(self) -> float:
        """For how long the present piece of work has taken; 0 while there is none."""
        since = self._since
        return 0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        while True:
            future, work = self._queue.get()
            if not future.set_running_or_notify_cancel():
                continue
            self._since = time.monotonic()
            try:
                outcome = work()
            except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
                future.set_exception(error)
            else:
                future.set_result(outcome)
            finally:
                self._since = None
