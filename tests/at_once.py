# SPDX-License-Identifier: Apache-2.0
"""Cases of one kind that wait much and work little, at the same time; each has a test of its own that says what became of it.

Each case needs what no other touches: a link, a process or a file of its own. A client that waits for its next attempt needs no
processor: the waits lie beside each other, and none is shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

THREADS = 6
"""Cases at a time on a machine of two cores."""


class AtOnce:
    """``work`` for all ``cases``, begun when it is made."""

    def __init__(self, work: Callable[[Any], None], cases: Iterable[Any], threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._cases: dict[Any, Future[None]] = {case: self._pool.submit(work, case) for case in cases}

    def result(self, case: object) -> None:
        """Of one case, when it has ended; what it raised is raised."""
        self._cases[case].result()

    def close(self) -> None:
        """Begin no other case, and wait for those that are under way."""
        self._pool.shutdown(cancel_futures=True)
