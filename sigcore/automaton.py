# SPDX-License-Identifier: Apache-2.0
"""Patterns that a user wrote, held against text that somebody else chose: time in proportion to both, whatever they are.

``re`` tries one way through a pattern after the other, and for some patterns a text can be chosen whose ways double with every
character: who can sign could stop a verifier or a monitor. Here all ways are walked at once (Thompson, "Regular Expression Search
Algorithm", CACM 11(6), 1968), as Go's ``regexp`` does, which reads the same patterns in the other clients.

1. :mod:`sigcore.automaton_making` makes steps of the pattern: each takes one character of some ranges, or demands something of the
   place in the text, or does neither and leads on to several others. Their number is bounded.
2. The places of a text are walked from left to right, with the set of all steps that can be reached there.
3. Before each character: what is reached without taking one is added, each step once.
4. The character leads from these steps to the next set. What followed from a set and a character is remembered, within bounds.
5. The whole text matches if the end of the pattern is reached at the end of the text.

So a match costs at most one look at each step for each character of the text.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from sigcore.values import dataclass

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points from the first to the last, ascending."""
Reached: TypeAlias = frozenset[int]

_REMEMBERED: Final = 100_000
"""Numbers of steps in all sets that are remembered; about 8 MB."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and the numbers of those that it leads to.

    Args:
        takes: the characters of which it takes one; None where it takes none.
        demands: what the place in the text must be, instead; a name of :func:`_holds`.
    """

    leads: tuple[int, ...]
    takes: Ranges | None = None
    demands: str = ""


class Automaton:
    """A pattern, ready to be held against texts. Step 0 is its end."""

    def __init__(self, steps: tuple[Step, ...], start: int) -> None:
        self.steps = steps
        self._start: Reached = frozenset((start,))
        self._looks = any(step.demands for step in steps)
        self._known: dict[tuple[Reached, str, str], Reached] = {}
        self._room = _REMEMBERED

    def fullmatch(self, text: str) -> bool:
        """Whether the whole of ``text`` matches; numbers as in the module's text."""
        reached, before = self._start, ""
        for at, character in enumerate(text):  # 2
            last = self._looks and at + 1 == len(text)
            reached = self._next(reached, before, f"{character}$" if last else character)
            if not reached:
                return False
            before = character if self._looks else ""
        return 0 in self._settled(reached, before, "")  # 5

    def _next(self, reached: Reached, before: str, ahead: str) -> Reached:
        """The set behind one character, which is the first of ``ahead``; a second one stands there if the text ends behind it."""
        known = self._known.get((reached, before, ahead))
        if known is not None:
            return known
        point = ord(ahead[0])
        found: set[int] = set()
        for number in self._settled(reached, before, ahead):  # 4
            step = self.steps[number]
            if step.takes is not None and _within(step.takes, point):
                found.update(step.leads)
        return self._remembered((reached, before, ahead), frozenset(found))

    def _remembered(self, key: tuple[Reached, str, str], found: Reached) -> Reached:
        self._room -= len(found) + len(key[0])
        if self._room < 0:
            self._known.clear()
            self._room = _REMEMBERED
        self._known[key] = found
        return found

    def _settled(self, reached: Reached, before: str, ahead: str) -> set[int]:
        """3: the steps, and those behind them that are reached without a character."""
        found, waiting = set(reached), list(reached)
        while waiting:
            step = self.steps[waiting.pop()]
            if step.takes is None and (not step.demands or _holds(step.demands, before, ahead)):
                for number in step.leads:
                    if number not in found:
                        found.add(number)
                        waiting.append(number)
        return found


def _within(ranges: Ranges, point: int) -> bool:
    return any(first <= point <= last for first, last in ranges)


def _holds(demand: str, before: str, ahead: str) -> bool:
    """Whether a place between two characters is what is demanded. Empty stands for the text's start and end."""
    match demand:
        case "start":
            return not before
        case "end":
            return not ahead
        case "last line's end":
            return ahead in ("", "\n$")
        case "line's start":
            return before in ("", "\n")
        case "line's end":
            return ahead[:1] in ("", "\n")
        case "word's edge":
            return _is_word(before) != _is_word(ahead[:1])
        case _:  # "no word's edge"
            return _is_word(before) == _is_word(ahead[:1])


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")
