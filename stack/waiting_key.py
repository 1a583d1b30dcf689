# SPDX-License-Identifier: Apache-2.0
"""What keys share that sign elsewhere while an event loop goes on: see :class:`sigcore.device_key.DeviceKey`.

1. The key signs on a thread of its own; who waits for longer than :data:`PATIENCE_S` gets Unavailable, and so does everybody
   else while that thread is stuck.
2. After a failure, for :data:`AGAIN_S` everybody gets the same reason at once: what is away may take long to say no.
3. Readiness waits for nothing. Where the last answer is older than :data:`LOOK_S`, the thread asks for a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sigcore.errors import SigError, Unavailable
from stack.line import Line

Made = TypeVar("Made")
PATIENCE_S: Final = 4.0
"""How long a key may take for what it is asked: sigstore-js waits 5 s for an answer."""
AGAIN_S: Final = 1.0
"""So soon after a failure the key is not asked again: it may take long to say no, and others wait for it."""
LOOK_S: Final = 5.0
"""How old the last answer may be when readiness is asked for."""


class WaitingKey:
    """``place`` is what people are told of, ``line`` the thread."""

    _fault: Unavailable | None = None
    _answered = _failed = float("-inf")
    """Monotonic times of the last signature, and of the last failure."""

    @property
    def line(self) -> Line:
        """The thread that the key signs on."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """Where it is."""
        raise NotImplementedError

    def probe(self) -> None:
        """Sign something, by :meth:`remembered`."""
        raise NotImplementedError

    async def aside(self, work: Callable[[], Made]) -> Made:
        """1: the outcome of ``work``. Unavailable: it takes too long."""
        if self.line.stuck_s > PATIENCE_S:
            raise self._slow()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.wrap_future(self.line.submit(work))
        except TimeoutError as error:
            raise self._slow() from error

    def check(self) -> None:
        """3. Raises Unavailable for the last failure."""
        if self.line.stuck_s > PATIENCE_S:
            raise self._slow()
        if time.monotonic() - max(self._answered, self._failed) > LOOK_S:
            self.line.submit(self.probe)
        if self._fault is not None:
            raise _again(self._fault)

    def remembered(self, work: Callable[[], bytes], failed: Callable[[Exception], SigError]) -> bytes:
        """2: the outcome of ``work``. Unavailable: it failed, and ``failed`` says why; or it did just before."""
        if self._fault is not None and time.monotonic() - self._failed < AGAIN_S:
            raise _again(self._fault)
        try:
            made = work()
        except Exception as error:
            reason = failed(error)
            self._fault, self._failed = _again(reason), time.monotonic()
            raise _again(reason) from error
        self._fault, self._answered = None, time.monotonic()
        return made

    def _slow(self) -> Unavailable:
        self._fault = Unavailable(f"{self.place} has not answered within {PATIENCE_S:.0f} s", "is it reachable?")
        self._failed = time.monotonic()
        return _again(self._fault)


def _again(error: SigError) -> Unavailable:
    """A fresh one for each caller: a raised error remembers where it has been."""
    return Unavailable(error.message, error.hint)
