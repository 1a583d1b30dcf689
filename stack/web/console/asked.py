# SPDX-License-Identifier: Apache-2.0
"""What the address of a search says: text, time range, page. The address is all there is: a link reopens the search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode

from sigcore.errors import Malformed
from sigcore.strict import parse_decimal, parse_time, shown
from sigcore.values import dataclass
from tlog.catalog.catalog import MAX_PAGE, PAGE
from tlog.catalog.query import Query, parse_query

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the reader, as the form shows them again, and what they mean."""

    text: str
    since: str
    until: str
    after: str
    limit: int
    query: Query

    def link(self, path: str, **changes: str) -> str:
        """This search under another path or with other words; empty ones are left out."""
        words = {"q": self.text, "since": self.since, "until": self.until, **changes}
        return f"{path}?{urlencode({name: value for name, value in words.items() if value})}"


def parse_asked(words: Mapping[str, str]) -> Asked:
    """Read the query string of a search: ``q``, ``since``, ``until`` (a day or RFC 3339), ``after``, ``limit``.

    Raises:
        Malformed: a time or number that is none; else as :func:`tlog.catalog.query.parse_query`.
    """
    text, since, until = (words.get(name, "").strip() for name in ("q", "since", "until"))
    limit = words.get("limit", "")
    return Asked(
        text,
        since,
        until,
        words.get("after", ""),
        _limit(limit) if limit else PAGE,
        parse_query(
            text,
            since_ms=_milliseconds(since, "since") if since else None,
            until_ms=_milliseconds(until, "until", whole_day=True) if until else None,
        ),
    )


def _limit(text: str) -> int:
    found = parse_decimal(text, what="limit", maximum=MAX_PAGE)
    if not found:  # which a search would never come to, and go on
        raise Malformed(f"limit is 0, expected 1 to {MAX_PAGE}")
    return found


def _milliseconds(text: str, what: str, *, whole_day: bool = False) -> int:
    """A day begins at midnight UTC; as an end it is included."""
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
        if day is not None:
            return _unix(datetime.combine(day, time(), UTC) + (_DAY if whole_day else timedelta()))
    except (ValueError, OverflowError):
        raise Malformed(f"{what} is {shown(text)}, expected a day as 2026-01-31") from None
    return _unix(parse_time(text, what=what))


def _unix(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
