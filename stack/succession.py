# SPDX-License-Identifier: Apache-2.0
"""A running role takes over its next generation of keys, once everybody can know of it.

``public/generations.json`` says that there is one; clients learn of it from the TUF repository. A key that they cannot find there
does not sign.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from stack.announced import TRUSTED_ROOT, announced, keys_of, published_keys
from stack.config import Home
from stack.generations import Generation, Generations, load_generations, path_of
from stack.service import working

FOLLOW_S: Final = 2.0
"""How often a running role looks whether keys were rotated."""
AHEAD: Final = timedelta(seconds=5)
"""A key counts for so long before it signs: a certificate log in another process has accepted the new root by then."""

_log = logging.getLogger(__name__)
Adopt = Callable[[Generations], Awaitable[None] | None]
"""Takes new generations over; on a thread where it is no coroutine."""
Due = Callable[[Generations, datetime], bool]
"""Whether generations may be taken over."""


@asynccontextmanager
async def succeeding(
    home: Home, adopt: Adopt, clock: Callable[[], datetime], *, wait: bool = True
) -> AsyncIterator[None]:
    """Call ``adopt`` with the generations of ``home`` when they have changed, while the block runs.

    With ``wait`` not before the published trusted root names them, and :data:`AHEAD` has passed.
    """
    async with working(partial(_follow, home, adopt, clock, partial(_due, home) if wait else None)):
        yield


@asynccontextmanager
async def succeeding_in(
    home: Home, role: str, adopt: Adopt, clock: Callable[[], datetime], *, ahead: timedelta = timedelta()
) -> AsyncIterator[None]:
    """Call ``adopt`` with the generations of ``role`` that clients can know, oldest first, when those have changed.

    Whatever is being done to another role, and ``ahead`` after the last one has begun to count. Nothing for a role that was never rotated.
    """
    async with working(partial(_follow_role, home, role, adopt, clock, ahead)):
        yield


async def _follow(home: Home, adopt: Adopt, clock: Callable[[], datetime], due: Due | None) -> None:
    """The first look takes a file that is there for news: it may have come since the keys were loaded."""
    seen = (0, 0)
    while True:
        await asyncio.sleep(FOLLOW_S)
        try:
            stamp = _stamp(home)
            if stamp == seen:
                continue
            rotated = await asyncio.to_thread(load_generations, home)
            if due is None or await asyncio.to_thread(due, rotated, clock()):
                await _call(adopt, rotated)
                seen = stamp
        except Exception:  # noqa: BLE001 - logged; the keys in memory stay good
            _log.exception("the next generation of keys cannot be taken over; next try in %s s", FOLLOW_S)


async def _follow_role(home: Home, role: str, adopt: Adopt, clock: Callable[[], datetime], ahead: timedelta) -> None:
    """The first look, and failures, as of :func:`_follow`."""
    seen: tuple[int, int] = (0, 0)
    last: tuple[Generation, ...] = ()
    while True:
        await asyncio.sleep(FOLLOW_S)
        try:
            stamp = _stamp(home)
            if stamp == seen:
                continue
            rows, known = await asyncio.to_thread(_rows, home, role)
            if _stamp(home) != stamp or (known and clock() < known[-1].validity.start + ahead):
                continue  # it was compared with what came after it, or it is too early
            if known != last:
                await _call(adopt, {role: known})
                last = known
            if known == rows:
                seen = stamp
        except Exception:  # noqa: BLE001 - logged; the keys in memory stay good until their windows end
            _log.exception("the next generation of %s cannot be taken over; next try in %s s", role, FOLLOW_S)


def _rows(home: Home, role: str) -> tuple[tuple[Generation, ...], tuple[Generation, ...]]:
    """The generations of a role, and those that clients can know."""
    rotated = load_generations(home)
    return rotated.get(role, ()), announced(home, rotated).get(role, ())


async def _call(adopt: Adopt, rotated: Generations) -> None:
    if inspect.iscoroutinefunction(adopt):
        await adopt(rotated)
    else:
        await asyncio.to_thread(adopt, rotated)


def is_published(home: Home) -> bool:
    """Whether clients get the trusted root that names every generation."""
    # Deferred: documents and repository are read after a rotation only.
    from sigcore.trustroot import parse_trusted_root  # noqa: PLC0415 - see the line above
    from stack.files import load_file  # noqa: PLC0415 - the same
    from stack.trust.state import load_state  # noqa: PLC0415 - the same

    data = load_file(home.trusted_root, what="the trusted root")
    digests = {target.name: target.sha256 for target in load_state(home).targets}
    if digests.get(TRUSTED_ROOT) != hashlib.sha256(data).hexdigest():
        return False
    named = keys_of(parse_trusted_root(data))
    return all(one.public in named for rows in load_generations(home).values() for one in rows)


def names_newest(home: Home, role: str) -> bool:
    """Whether the trusted root that clients get now, be it the newest or not, names the newest generation of ``role``."""
    return load_generations(home)[role][-1].public in published_keys(home)


def counts_newest(home: Home, role: str, rotated: Generations, now: datetime) -> bool:
    """Whether the newest generation of ``role`` has begun to count, and clients get a trusted root that names it."""
    rows = rotated.get(role)
    return rows is None or (rows[-1].validity.start <= now and names_newest(home, role))


def _due(home: Home, rotated: Generations, now: datetime) -> bool:
    return all(rows[-1].validity.start + AHEAD <= now for rows in rotated.values()) and is_published(home)


def _stamp(home: Home) -> tuple[int, int]:
    try:
        state = path_of(home).stat()
    except FileNotFoundError:
        return (0, 0)
    return (state.st_mtime_ns, state.st_ino)
