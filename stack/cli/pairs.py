# SPDX-License-Identifier: Apache-2.0
"""``key=value,key=value``: how cosign's creators take a service on the command line."""

from __future__ import annotations

from datetime import datetime

from sigcore.errors import SigError
from sigcore.strict import parse_time, shown
from sigcore.trustroot import Validity
from stack.cli.usage import Usage


def parse_pairs(text: str, option: str, *, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, str]:
    """The pairs of one value of ``option``.

    Raises:
        Usage: no pair, an unknown, doubled or missing key.
    """
    pairs: dict[str, str] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or not value or key not in (*required, *optional):
            known = ", ".join((*required, *optional))
            raise Usage(f"{option} has {shown(part)}, expected KEY=VALUE", f"keys: {known}")
        if key in pairs:
            raise Usage(f"{option} names {key} twice", "repeat the option for a second service")
        pairs[key] = value
    if missing := [key for key in required if key not in pairs]:
        raise Usage(f"{option} has no {missing[0]}", f"needed: {', '.join(required)}")
    return pairs


def parse_window(pairs: dict[str, str], option: str, *, start: datetime | None = None) -> Validity:
    """``start-time`` and ``end-time`` (RFC 3339); ``start`` where none is given.

    Raises:
        Usage: not a time, no start at all, or an end before the start.
    """
    begin, end = (_moment(pairs.get(name), f"{option} {name}") for name in ("start-time", "end-time"))
    begin = begin or start
    if begin is None:
        raise Usage(f"{option} has no start-time", "a key is trusted from a time on: start-time=2026-01-01T00:00:00Z")
    if end is not None and end < begin:
        raise Usage(f"{option}: end-time is before start-time", "swap them")
    return Validity(begin, end)


def _moment(text: str | None, what: str) -> datetime | None:
    try:
        return parse_time(text, what=what) if text else None
    except SigError as error:
        raise Usage(error.message, "write it as 2026-01-01T00:00:00Z") from error
