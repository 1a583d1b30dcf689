# SPDX-License-Identifier: Apache-2.0
"""Which language a page is in: what the reader chose, else what the browser asks for (RFC 9110 section 12.5.4).

English is the key of every text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

ENGLISH: Final = "en"
LANGUAGES: Final = {ENGLISH: "English", "ja": "日本語"}
COOKIE: Final = "sigbox-language"
"""Remembers the choice, for every page of a stack."""
COOKIE_S: Final = 365 * 24 * 3600
PARAMETER: Final = "lang"
"""In the query of a page: the choice."""
_RANGE: Final = r"\s*([a-z]{2})(?:-[a-z0-9-]+)?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*\Z"
"""Compiled when the first page is asked for: every start imports this module."""


def choose(asked: str, remembered: str, accepted: str) -> str:
    """The language of an answer.

    Args:
        asked: by this request (``?lang=``).
        remembered: by the cookie.
        accepted: the header Accept-Language.
    """
    for one in (asked, remembered):
        if one in LANGUAGES:
            return one
    ranges = (re.match(_RANGE, part, re.ASCII) for part in accepted[:200].lower().split(","))
    wanted = [(float(match[2] or 1), match[1]) for match in ranges if match and match[1] in LANGUAGES]
    return max(wanted, key=lambda pair: pair[0])[1] if wanted else ENGLISH


def translate(texts: Mapping[str, str], english: str, **values: object) -> str:
    """What ``texts`` has for ``english``, with ``{name}`` replaced; a text without a translation stays."""
    text = texts.get(english, english)
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
