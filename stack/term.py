# SPDX-License-Identifier: Apache-2.0
"""A clock for an authority whose key has an end: once clients are told that a key ends, nothing is signed with it that they would refuse.

The next key takes its place long before. This is for when that fails: its file or its token is away, for an hour.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sigcore.errors import Unavailable
from sigcore.strict import encode_time


class Term:
    """Calling it reads the clock.

    Args:
        role: whose key it is.
        used: for so long what was signed is used within the window of the key.
    """

    def __init__(self, role: str, clock: Callable[[], datetime], used: timedelta = timedelta()) -> None:
        self._role, self._clock, self._used = role, clock, used
        self._until: datetime | None = None

    def end(self, until: datetime | None) -> None:
        """The key that signs ends then, if not before; :meth:`renew` when another one signs."""
        if until is not None:
            self._until = until if self._until is None else min(self._until, until)

    def renew(self) -> None:
        """The key that signs has no end."""
        self._until = None

    def __call__(self) -> datetime:
        """What time it is. Unavailable: the key that signs has ended."""
        now = self._clock()
        if self._until is not None and now + self._used > self._until:
            found = f"the next key of {self._role} cannot be taken over, and the one before counts until {encode_time(self._until)} only"
            raise Unavailable(found, "see the log for why; sigbox doctor looks at keys and tokens")
        return now
