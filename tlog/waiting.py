# SPDX-License-Identifier: Apache-2.0
"""An entry on its way into a log, and everyone who waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from sigcore.errors import SigError
from tlog.submission import Receipt, Submission


class Caller(Protocol):
    """Whoever is told what became of an entry: a future, or who brings so many that a future for each would cost more."""

    def done(self) -> bool:
        """Nobody waits any more."""

    def set_result(self, result: Receipt, /) -> None:
        """It is in the log."""

    def set_exception(self, exception: SigError, /) -> None:
        """It may or may not be."""


class Waiting:
    """``submission``, and its ``callers``: for all but the first one, who brought it, it is a duplicate."""

    __slots__ = ("callers", "submission")

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.callers: list[Caller] = []

    def join(self) -> asyncio.Future[Receipt]:
        """An answer for one caller more; who gives up cancels his own only."""
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.callers.append(answer)
        return answer

    def answer(self, receipt: Receipt) -> None:
        """Give everyone the receipt."""
        first, *others = self.callers
        if not first.done():
            first.set_result(receipt)
        if others and not receipt.duplicate:
            receipt = replace(receipt, duplicate=True)
        for caller in others:
            if not caller.done():
                caller.set_result(receipt)

    def fail(self, error: SigError) -> None:
        """Tell everyone."""
        for caller in self.callers:
            if not caller.done():
                caller.set_exception(error)
