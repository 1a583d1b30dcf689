# SPDX-License-Identifier: Apache-2.0
"""The texts of the stack's own pages in other languages."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from sigcore import language as chosen
from sigcore.language import ENGLISH


@cache
def translations(language: str) -> Mapping[str, str]:
    """English text -> text; empty for English, whose texts stand in the templates."""
    if language == ENGLISH:
        return {}
    text = resources.files("stack.web.console").joinpath(f"{language}.toml").read_text("utf-8")
    return {str(english): str(other) for english, other in tomllib.loads(text).items()}


def translate(language: str, english: str, **values: object) -> str:
    """``english`` in ``language``, with ``{name}`` replaced; a text without a translation stays."""
    return chosen.translate(translations(language), english, **values)
