# SPDX-License-Identifier: Apache-2.0
"""Patterns for names: anchored at both ends, two wildcards, nothing else.

``*`` stands for any characters but ``/``, also for none; ``**`` for any characters. All else stands for itself; upper and
lower case differ. What other pattern languages give a meaning to (brackets, braces, backslash, ``^``, ``$``, ``|``) is refused:
its author meant something else. A wildcard is blind to names that are made to deceive (``deceives``): a path that climbs,
control characters, two spellings of one letter.

Specificity. Of two globs that match a name, the more specific is the first that is ahead in this list:

1. it has no wildcard;
2. it has more characters before its first wildcard;
3. it has more characters that are no wildcard;
4. it has fewer ``**``;
5. it has fewer ``*``.

A glob all of whose names another one matches too is never behind that other one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, TypeAlias

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass

Specificity: TypeAlias = tuple[bool, int, int, int, int]

_STAR, _STARS = "*", "**"
_TOKENS = re.compile(r"\*\*|.", re.DOTALL)
_FOREIGN: Final = frozenset("[]{}\\^$|")
_HIDDEN: Final = ("C", "Zl", "Zp")
"""Unicode categories: controls, formats (text direction among them), surrogates, unassigned; line separators."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern, as it is written; :func:`parse_glob` makes it."""

    text: str

    @property
    def literal(self) -> bool:
        """Whether it matches one name only: itself."""
        return _STAR not in self.text

    def tokens(self) -> list[str]:
        """Characters and wildcards."""
        return _TOKENS.findall(self.text)

    def matches(self, name: str) -> bool:
        """Whether the whole of ``name`` is matched; takes time in proportion to both lengths."""
        if self.literal:
            return name == self.text
        return not deceives(name) and len(name) <= limits.POLICY_NAME and self.covers(name)

    def covers(self, name: str) -> bool:
        """As :meth:`matches`, but not blind to names that deceive: for whoever looks out for them. The caller bounds the length."""
        tokens = self.tokens()
        places = _settled({0}, tokens)
        for character in name:
            places = _settled(set(_steps(places, tokens, character)), tokens)
        return len(tokens) in places

    def ends(self) -> tuple[str, str]:
        """What every name that it matches begins and ends with."""
        return self.text.partition(_STAR)[0], self.text.rpartition(_STAR)[2]

    def specificity(self) -> Specificity:
        """Larger is more specific: see the list above."""
        stars = self.text.count(_STARS)
        single = self.text.count(_STAR) - 2 * stars
        fixed = len(self.text) - single - 2 * stars
        return self.literal, len(self.ends()[0]), fixed, -stars, -single

    def meets(self, other: Glob) -> bool:
        """Whether some name is matched by both."""
        return self.compare(other)[0]

    def compare(self, other: Glob) -> tuple[bool, int]:
        """:meth:`meets`, and what it cost: whether a path through both patterns at once reaches both ends, and places tried."""
        (head, tail), (other_head, other_tail) = self.ends(), other.ends()
        if not (head.startswith(other_head) or other_head.startswith(head)):
            return False, 1
        if not (tail.endswith(other_tail) or other_tail.endswith(tail)):
            return False, 1
        left, right = self.tokens(), other.tokens()
        todo, seen = [(0, 0)], {(0, 0)}
        while todo:
            at, on = todo.pop()
            if (at, on) == (len(left), len(right)):
                return True, len(seen)
            fresh = set(_pairs(left, right, at, on)) - seen
            seen |= fresh
            todo += fresh
        return False, len(seen)


def parse_glob(text: str, *, what: str, ascii_only: bool = False) -> Glob:
    """The pattern that ``text`` spells.

    Raises:
        Malformed: empty, too long, characters of another pattern language or hidden ones, ``***``; a path that climbs.
    """
    if not text or len(text) > limits.POLICY_GLOB:
        raise Malformed(f"{what} has {len(text)} characters, expected 1 to {limits.POLICY_GLOB}")
    if foreign := sorted(_FOREIGN & set(text)):
        hint = "a pattern has two wildcards, * (stops at /) and **; there are no regular expressions"
        raise Malformed(f"{what} is {shown(text)}: {foreign[0]} has no meaning here", hint)
    if "***" in text:
        raise Malformed(f"{what} is {shown(text)}: three stars in a row mean nothing", "write * or **")
    if (defect := deceives(text)) or (ascii_only and not text.isascii()):
        raise Malformed(f"{what} is {shown(text)}, which {defect or 'is not ASCII'}: no honest name matches it")
    return Glob(text)


def deceives(name: str) -> str:
    """How ``name`` could be taken for another one, as a verb; empty for an honest name."""
    if not {".", ".."}.isdisjoint(name.split("/")):
        return "has a . or .. between slashes"
    if name.isascii() and name.isprintable():
        return ""
    if any(unicodedata.category(character).startswith(_HIDDEN) for character in name):
        return "has characters that are not shown"
    return "" if unicodedata.is_normalized("NFC", name) else "is not in Unicode's normal form C"


def _steps(places: set[int], tokens: list[str], character: str) -> Iterator[int]:
    """Where ``character`` leads to from each place."""
    for place in places:
        if place < len(tokens):
            token = tokens[place]
            if token == _STARS or (token == _STAR and character != "/"):
                yield place
            elif token == character and token != _STAR:
                yield place + 1


def _settled(places: set[int], tokens: list[str]) -> set[int]:
    """The places, and those behind wildcards that stand for nothing more."""
    for place in tuple(places):
        ahead = place
        while ahead < len(tokens) and tokens[ahead] in (_STAR, _STARS):
            ahead += 1
            places.add(ahead)
    return places


def _pairs(left: list[str], right: list[str], at: int, on: int) -> Iterator[tuple[int, int]]:
    """Where two patterns can be after one more character that both take, or after a wildcard that takes none."""
    one = left[at] if at < len(left) else ""
    two = right[on] if on < len(right) else ""
    if one in (_STAR, _STARS):
        yield at + 1, on
    if two in (_STAR, _STARS):
        yield at, on + 1
    if not one or not two:
        return
    if one == two and one not in (_STAR, _STARS):
        yield at + 1, on + 1
    elif one in (_STAR, _STARS) and two not in (_STAR, _STARS) and (one == _STARS or two != "/"):
        yield at, on + 1
    elif two in (_STAR, _STARS) and one not in (_STAR, _STARS) and (two == _STARS or one != "/"):
        yield at + 1, on
