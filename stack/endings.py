# SPDX-License-Identifier: Apache-2.0
"""What ends soon in a stack that serves, said in its log: at the start, and once a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sigcore.errors import SigError
from stack.config import Home
from stack.start import ServerTls
from stack.trust.rehearsal import BREAKS, rehearse

SOON: Final = timedelta(days=30)
"""So long before the end it is said every day."""
AGAIN_S: Final = 86_400

_log = logging.getLogger("sigbox")


async def tell_endings(home: Home, tls: ServerTls | None, clock: Callable[[], datetime]) -> None:
    """Certificates, TUF roles and the policy that break within :data:`SOON`, each with what prevents it.

    What the running stack renews by itself is not among them; that it could not is said where it tries.
    """
    while True:
        for line in await asyncio.to_thread(partial(endings, home, tls, clock())):
            _log.warning("%s", line)
        await asyncio.sleep(AGAIN_S)


def endings(home: Home, tls: ServerTls | None, now: datetime) -> tuple[str, ...]:
    """The lines, soonest first; of a directory that cannot be judged, why."""
    try:
        ends = [end for end in rehearse(home) if end.kind == BREAKS and end.when - now < SOON]
    except SigError as error:
        return (f"what ends soon cannot be said: {error}",)
    lines = [f"{end.what} {_when(end.when, now)}: {end.prevent}" for end in ends]
    if tls is not None and tls.authority is None:  # ours is made anew by ourselves
        try:
            tls.check(now + SOON)
        except SigError as error:
            lines.append(f"in {SOON.days} days the TLS certificate is no good: {error}")
    return tuple(lines)


def _when(end: datetime, now: datetime) -> str:
    return f"ends in {(end - now) // timedelta(days=1)} days" if end > now else "has ended"
