# SPDX-License-Identifier: Apache-2.0
"""The clock of a stack, in the hands of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sigcore.errors import Malformed
from sigcore.strict import JSON, encode_time
from stack.testing.control import ask


class StackClock:
    """``sigbox.clock``: each method says what time it is for the stack then, in UTC.

    Every role reads it: tokens, certificates, timestamps and entries have its time. The clients' clocks are theirs.

    All methods raise:
        NotFound: the stack has no control API. Malformed: it says no, because it has signed with a later time for example.
        Unavailable: it does not answer.
    """

    def __init__(self, url: str, tls_ca: Path | None) -> None:
        self._url, self._tls_ca = url, tls_ca

    def now(self) -> datetime:
        """What time it is."""
        return self._ask(None)

    def set(self, moment: datetime, *, stop: bool = False) -> datetime:
        """Turn it to ``moment``, which has a time zone; not behind what was signed already. With ``stop`` it stays there."""
        if moment.tzinfo is None:
            raise Malformed(f"{moment} has no time zone", "give one: datetime(2031, 5, 1, tzinfo=UTC)")
        return self._ask({"set": encode_time(moment.astimezone(UTC)), **({"stop": True} if stop else {})})

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, stop: bool = False
    ) -> datetime:
        """Turn it forward, in whole seconds. With ``stop`` it stays there."""
        duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._ask({"advance": duration // timedelta(seconds=1), **({"stop": True} if stop else {})})

    def stop(self) -> datetime:
        """It stays where it is."""
        return self._ask({"stop": True})

    def run(self) -> datetime:
        """It goes on from where it stands."""
        return self._ask({"run": True})

    def _ask(self, wanted: dict[str, JSON] | None) -> datetime:
        return ask(self._url, "clock", wanted, self._tls_ca).object("clock").time("now")
