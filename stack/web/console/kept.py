# SPDX-License-Identifier: Apache-2.0
"""What readers made in the console, for a while: bounded, forgotten by itself, and lost with the process. Nothing is written down."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sigcore.errors import NotFound

MOST: Final = 200
"""Things of one kind; beyond it the oldest goes. Each is bounded by what made it: some tens of kilobytes."""
LIFE_S: Final = 3600.0
"""A lesson's length."""

T = TypeVar("T")


class Kept(Generic[T]):
    """Things by names that cannot be guessed: whoever has the link sees the thing.

    Args:
        clock: seconds that only go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._things: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def add(self, thing: T) -> str:
        """Keep it; the answer is its name."""
        self._forget()
        while len(self._things) >= MOST:
            self._things.popitem(last=False)
        name = secrets.token_urlsafe(16)
        self._things[name] = (self._clock() + LIFE_S, thing)
        return name

    def get(self, name: str) -> T:
        """The thing of that name; NotFound: there is none (any more)."""
        self._forget()
        try:
            return self._things[name][1]
        except KeyError:
            raise NotFound(
                "this is not kept here",
                f"it is forgotten after {LIFE_S / 60:.0f} minutes, at a reset, and with a restart",
            ) from None

    def drop(self, name: str) -> None:
        """Forget it now, where it is there."""
        self._things.pop(name, None)

    def _forget(self) -> None:
        now = self._clock()
        while self._things and next(iter(self._things.values()))[0] <= now:
            self._things.popitem(last=False)
