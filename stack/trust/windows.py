# SPDX-License-Identifier: Apache-2.0
"""When the window of an old key ends: settled when it is published, so that everything lies in it that the key has signed.

A rotation says when the old key ends, and may be cut off before any client is told: for seconds, or for months. Meanwhile the old key
goes on. So:

1. While clients cannot know the next key, the end of the old one is only meant: nobody stops at it, no document says it.
2. Who publishes moves an end of which less than half is left, and writes it down, before any document has it. It never comes earlier again.
3. Immediately before the moment of publication (the timestamp of TUF is replaced) the end must still be :data:`SEEN`
   away, of certificates also as long as they live. If it is not, the disk was slow: back to 2.
4. After it the same again: whoever signs has seen it by then, and stops in time.

The start of the new key is never moved: nothing that it has signed can fall out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sigcore.errors import Refused
from stack.announced import pending
from stack.config import Home
from stack.generations import LEAD, LOGS, Generations, load_generations, save_generations

SEEN: Final = timedelta(seconds=5)
"""By then whoever signs has seen what was published: it looks every two seconds."""
PUBLISHING: Final = timedelta(seconds=10)
"""A publication takes a fraction of this."""
LONGEST: Final = timedelta(minutes=30)
"""No certificate lives longer; it is used within the window of its authority."""


class TooLate(Refused):
    """What was about to be published, or has been, says of an old key that it has ended, or will before everybody knows."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "the disk is too slow, or the machine stood still: sigbox trust refresh")


def settle(home: Home, now: datetime, roles: tuple[str, ...], *, durable: bool) -> Generations:
    """Step 2, for ``roles``; the caller is within :func:`stack.trust.documents.unrotated`. What was rotated, as it is then."""
    rotated = load_generations(home)
    settled = dict(rotated)
    for role in roles:
        *before, old, new = rotated[role]
        if not _in_time(role, old.validity.end, now + max(PUBLISHING, old.overlap / 2)):
            until = now.replace(microsecond=0) + old.overlap + (LEAD if role in LOGS else timedelta())
            settled[role] = (*before, replace(old, validity=replace(old.validity, end=until)), new)
    if settled != rotated:
        save_generations(home, settled, durable=durable)
    return settled


def unpublished(home: Home) -> tuple[str, ...]:
    """Roles whose newest key no client can know; their windows are settled by who publishes."""
    return pending(home, load_generations(home))


def check_in_time(rotated: Generations, roles: tuple[str, ...], clock: Callable[[], datetime]) -> None:
    """Steps 3 and 4. TooLate: the end of an old key of one of ``roles`` is over, or too near."""
    now = clock()
    for role in roles:
        until = rotated[role][-2].validity.end
        if not _in_time(role, until, now):
            raise TooLate(f"at {now:%H:%M:%S} it was published that the key of {role} before ends at {until:%H:%M:%S}")


def _in_time(role: str, until: datetime | None, now: datetime) -> bool:
    return until is None or now + SEEN + (LONGEST if role == "ca" else timedelta()) <= until
