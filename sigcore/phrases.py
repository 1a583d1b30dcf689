# SPDX-License-Identifier: Apache-2.0
"""Messages in another language: a message is held against templates, and the values in it stay what they are. Pure.

1. A template matches when its fixed pieces stand in the message in their order, from its beginning to its end.
2. Of several the one with the most fixed characters is taken. A value of it may be a message or a noun itself; a quoted one is not.
3. A message without a template stays as it is: an English sentence says more than none.

The values come from whoever caused the message. They can make it be read by a wrong template, which changes words around them
and nothing else; whoever shows what is said here escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

LONGEST: Final = 4000
"""Characters of a message that is looked at."""
TABLES: Final = ("sentences", "joints", "nouns")
"""In this order; of each the longest templates come first."""
_DEEP: Final = 4
"""Messages within messages."""
_QUOTES: Final = ("'", '"')
"""What begins with one is somebody else's text, and stays as it is."""
_PLACE: Final = re.compile(r"\{([1-9])\}")
_WIDE: Final = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uff60]")


class Phrases:
    """The templates of one language: English with ``{}`` for each value -> text with ``{1}``, ``{2}`` ... in its own order."""

    def __init__(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        self.texts: Mapping[str, str] = {
            english: other for name in TABLES for english, other in tables.get(name, {}).items()
        }
        """All of them."""
        pairs = [
            [(tuple(english.split("{}")), other) for english, other in tables.get(name, {}).items()] for name in TABLES
        ]
        self._templates = tuple(
            pair for table in pairs for pair in sorted(table, key=lambda pair: -sum(map(len, pair[0])))
        )

    def sentence(self, message: str) -> str:
        """``message``, which begins with a small letter and has no full stop, as a sentence."""
        told = self.say(message)
        if told != message:
            return told if told.endswith(("?", "か", "。")) else f"{told}。"
        return f"{told[:1].upper()}{told[1:]}{'' if told[-1:] in ('.', '?') else '.'}"

    def say(self, message: str) -> str:
        """``message``; itself where nothing fits."""
        return message if len(message) > LONGEST else self._told(message, _DEEP)

    def _told(self, message: str, deep: int) -> str:
        """(2) and (3)"""
        if message[:1] in _QUOTES:
            return message
        for pieces, other in self._templates:
            values = _values(pieces, message)
            if values is not None:
                return _filled(other, [self._told(value, deep - 1) if deep else value for value in values])
        return message


def _filled(text: str, values: Sequence[str]) -> str:
    """``text`` with its values; between Japanese and Japanese there is no blank."""
    parts: list[str] = []
    for part in _PLACE.split(text):  # every second one is the number of a value
        parts.append(values[int(part) - 1] if len(parts) % 2 else part)
    for at in range(1, len(parts), 2):
        if _WIDE.match(parts[at][-1:]) and parts[at + 1].startswith(" ") and _WIDE.match(parts[at + 1][1:]):
            parts[at + 1] = parts[at + 1][1:]
        if _WIDE.match(parts[at]) and parts[at - 1].endswith(" ") and _WIDE.match(parts[at - 1][-2:]):
            parts[at - 1] = parts[at - 1][:-1]
    return "".join(parts)


def _values(pieces: tuple[str, ...], message: str) -> list[str] | None:
    """(1) What stands between the pieces; None where they do not fit. Takes time in proportion to the message."""
    if len(pieces) == 1:
        return [] if message == pieces[0] else None
    first, *between, last = pieces
    if not message.startswith(first) or not message.endswith(last) or len(message) < len(first) + len(last):
        return None
    values, at, end = [], len(first), len(message) - len(last)
    for piece in between:
        found = _end_of_value(message, piece, at, end)
        if found < 0:
            return None
        values.append(message[at:found])
        at = found + len(piece)
    values.append(message[at:end])
    return values if all(values) else None


def _end_of_value(message: str, piece: str, at: int, end: int) -> int:
    """Where the value that begins at ``at`` is followed by ``piece``; one in quotes ends with its quotation mark."""
    quote = message[at : at + 1]
    if quote in _QUOTES:
        closed = message.find(quote + piece, at + 1, end)
        if closed >= 0:
            return closed + 1
    return message.find(piece, at, end)
