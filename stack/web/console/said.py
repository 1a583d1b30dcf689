# SPDX-License-Identifier: Apache-2.0
"""What the verifier says, in the reader's language (:mod:`sigcore.phrases`).

A message in other words changes no verdict: that is the verifier's, and the page escapes what is said here.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from sigcore.language import ENGLISH
from sigcore.phrases import Phrases


def sentence(language: str, message: str) -> str:
    """``message``, which begins with a small letter and has no full stop, as a sentence of ``language``."""
    return phrases(language).sentence(message)


def say(language: str, message: str) -> str:
    """``message`` in ``language``; itself where nothing fits."""
    return phrases(language).say(message)


@cache
def phrases(language: str) -> Phrases:
    """Every template of ``language``; none of English."""
    if language == ENGLISH:
        return Phrases({})
    text = resources.files("stack.web.console").joinpath(f"refusals.{language}.toml").read_text("utf-8")
    return Phrases(tomllib.loads(text))
