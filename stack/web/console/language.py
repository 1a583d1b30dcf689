# SPDX-License-Identifier: Apache-2.0
"""Which language a page is in: what the reader chose, else what the browser asks for. English is the key of every text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

ENGLISH: Final = "en"
LANGUAGES: Final = {ENGLISH: "English", "ja": "日本語"}
COOKIE: Final = "sigbox-language"
_RANGE: Final = re.compile(r"\s*([a-z]{2})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*\Z", re.ASCII)


def choose(asked: str, remembered: str, accepted: str) -> str:
    """The language of an answer.

    Args:
        asked: by this request (``?lang=``).
        remembered: by the cookie.
        accepted: the header Accept-Language (RFC 9110 section 12.5.4).
    """
    for one in (asked, remembered):
        if one in LANGUAGES:
            return one
    ranges = (_RANGE.match(part) for part in accepted[:200].lower().split(","))
    wanted = [(float(match[2] or 1), match[1]) for match in ranges if match and match[1] in LANGUAGES]
    return max(wanted, key=lambda pair: pair[0])[1] if wanted else ENGLISH


@cache
def translations(language: str) -> Mapping[str, str]:
    """English text -> text; empty for English, whose texts stand in the templates."""
    if language == ENGLISH:
        return {}
    text = resources.files("stack.web.console").joinpath(f"{language}.toml").read_text("utf-8")
    return {str(english): str(other) for english, other in tomllib.loads(text).items()}


def translate(language: str, english: str, **values: object) -> str:
    """``english`` in ``language``, with ``{name}`` replaced; a text without a translation stays."""
    text = translations(language).get(english, english)
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
