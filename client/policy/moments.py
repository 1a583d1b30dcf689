# SPDX-License-Identifier: Apache-2.0
"""Times of a policy: RFC 3339, or a date alone, which is the end of that day in UTC: "until 31 December" includes it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from sigcore.errors import Malformed
from sigcore.strict import parse_time, shown

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)


def parse_moment(text: str, *, what: str) -> datetime:
    """The moment in UTC at which ``text`` is over.

    Raises:
        Malformed: neither a date nor a time, or none of the calendar.
    """
    if not _DATE.match(text):
        return parse_time(text, what=what)
    try:
        return parse_time(f"{text}T00:00:00Z", what=what) + timedelta(days=1)
    except OverflowError as error:
        raise Malformed(f"{what} is {shown(text)}, which is no moment of the calendar") from error
