# SPDX-License-Identifier: Apache-2.0
"""Makes an :class:`~sigcore.automaton.Automaton` of a regular expression's text.

1. The text is read by the parser of ``re``: ASCII classes, flags as ``(?i)`` at its start or ``(?i:...)`` inside.
2. What no automaton can do is refused: references to groups, looking ahead and behind, atomic groups and possessive repeats. RE2's
   language has none of them either. Nor is it read otherwise than by RE2: ``[:alpha:]`` is refused.
3. Steps are made from the end of the text to its start, so that each knows where it leads. A repeat with an upper bound is written
   out, one without leads back; greedy or not makes no difference to whether a whole text matches. Steps are counted as they are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sigcore import limits
from sigcore.automaton import Automaton, Ranges, Step
from sigcore.errors import Refused
from sigcore.strict import shown

_PARSER: Final[Any] = vars(re)["_parser"]
"""It is no public part of ``re``; the tests hold every form against ``re`` itself."""
_POSIX: Final = re.compile(r"\[:\^?[a-z]+:\]")
_LAST: Final = 0x10FFFF
_CLASSES: Final[dict[str, Ranges]] = {
    "DIGIT": ((48, 57),),
    "SPACE": ((9, 13), (32, 32)),
    "WORD": ((48, 57), (65, 90), (95, 95), (97, 122)),
}
_PLACES: Final = {
    "AT_BEGINNING": "start",
    "AT_BEGINNING_STRING": "start",
    "AT_END": "last line's end",
    "AT_END_STRING": "end",
    "AT_BOUNDARY": "word's edge",
    "AT_NON_BOUNDARY": "no word's edge",
}
_LINES: Final = _PLACES | {"AT_BEGINNING": "line's start", "AT_END": "line's end"}
"""With ``(?m)``."""
_FOREIGN: Final = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ASSERT": "(?= or (?<= looks at what it does not take",
    "ASSERT_NOT": "(?! or (?<! looks at what it does not take",
    "FAILURE": "(?!) looks at what it does not take",
    "ATOMIC_GROUP": "an atomic group (?>",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}


def make_automaton(pattern: str, flags: int = 0, *, what: str = "the pattern") -> Automaton:
    """The automaton for whole texts that ``pattern`` describes.

    Args:
        pattern: as for :mod:`re`; its classes and its ``(?i)`` are those of ASCII.
        flags: of :mod:`re`; those in the text are added.
        what: what a refusal calls it.

    Raises:
        Refused: no regular expression, one that needs more than an automaton, or more than ``limits.PATTERN_STEPS`` steps.
    """
    if found := _POSIX.search(pattern):
        raise Refused(f"{what} {shown(pattern)} has {found[0]}, which Python reads as single characters", "write [a-z]")
    try:
        tree = _PARSER.parse(pattern, flags | re.ASCII)  # 1
        making = _Making(f"{what} {shown(pattern)}")
        start = making.sequence(tree, tree.state.flags, 0)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        raise Refused(f"{what} {shown(pattern)} is no regular expression: {error}") from error
    return Automaton(tuple(making.steps), start)


class _Making:
    """The steps so far. Each method makes those of a part, which lead to ``after``, and returns the number of the first."""

    def __init__(self, named: str) -> None:
        self.steps: list[Step] = [Step(())]
        self._named = named

    def _step(self, leads: tuple[int, ...], takes: Ranges | None = None, demands: str = "") -> int:
        if len(self.steps) >= limits.PATTERN_STEPS:
            hint = "its repeats are written out: lower their bounds"
            raise Refused(f"{self._named} has more than {limits.PATTERN_STEPS} steps", hint)
        self.steps.append(Step(leads, takes, demands))
        return len(self.steps) - 1

    def sequence(self, tree: Iterable[tuple[Any, Any]], flags: int, after: int) -> int:
        """3: one part behind the other."""
        for kind, given in reversed(list(tree)):
            after = self._part(str(kind), given, flags, after)
        return after

    def _part(self, kind: str, given: Any, flags: int, after: int) -> int:
        match kind:
            case "BRANCH":
                return self._step(tuple(self.sequence(tree, flags, after) for tree in given[1]))
            case "SUBPATTERN":
                _, more, fewer, tree = given
                return self.sequence(tree, self._scoped(flags, more, fewer), after)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, tree = given
                return self._repeat(least, most, tree, flags, after)
            case "AT":
                places = _LINES if flags & re.MULTILINE else _PLACES
                return self._step((after,), demands=places[str(given)])
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._step((after,), _ranges(kind, given, flags))
            case _:  # 2
                hint = "RE2, which reads the patterns of other clients, has it neither"
                raise Refused(f"{self._named} needs more than an automaton: {_FOREIGN.get(kind, kind)}", hint)

    def _scoped(self, flags: int, more: int, fewer: int) -> int:
        if more & re.UNICODE:
            raise Refused(f"{self._named} asks for the classes of Unicode", "leave out (?u:")
        return (flags | more) & ~fewer

    def _repeat(self, least: int, most: int, tree: Sequence[tuple[Any, Any]], flags: int, after: int) -> int:
        if most == _PARSER.MAXREPEAT:
            again = self._step((after,))
            self.steps[again] = Step((self.sequence(tree, flags, again), after))
            after = again
        else:
            end = after
            for _ in range(most - least):
                part = self.sequence(tree, flags, after)
                if part == after:  # it is empty, however often
                    return after
                after = self._step((part, end))
        for _ in range(least):
            part = self.sequence(tree, flags, after)
            if part == after:
                break
            after = part
        return after


def _ranges(kind: str, given: Any, flags: int) -> Ranges:
    """The characters that are taken in one step."""
    match kind:
        case "ANY":
            return ((0, _LAST),) if flags & re.DOTALL else _others(((10, 10),))
        case "LITERAL":
            return _folded(((given, given),), flags)
        case "NOT_LITERAL":
            return _others(_folded(((given, given),), flags))
    negated = str(given[0][0]) == "NEGATE"
    found = _folded([part for item in given[negated:] for part in _member(*item)], flags)
    return _others(found) if negated else found


def _member(kind: Any, given: Any) -> Ranges:
    match str(kind):
        case "LITERAL":
            return ((given, given),)
        case "RANGE":
            return (given,)
    name = str(given).removeprefix("CATEGORY_")
    return _others(_CLASSES[name[4:]]) if name.startswith("NOT_") else _CLASSES[name]


def _folded(ranges: Iterable[tuple[int, int]], flags: int) -> Ranges:
    """In order, and with ``(?i)`` the other case of each ASCII letter too."""
    found = list(ranges)
    if flags & re.IGNORECASE:
        for first, last in tuple(found):
            for lowest, highest, other in ((65, 90, 32), (97, 122, -32)):
                low, high = max(first, lowest), min(last, highest)
                if low <= high:
                    found.append((low + other, high + other))
    return tuple(sorted(found))


def _others(ranges: Ranges) -> Ranges:
    """All that is in none of the ranges, which are in order."""
    found, free = [], 0
    for first, last in ranges:
        if first > free:
            found.append((free, first - 1))
        free = max(free, last + 1)
    return (*found, (free, _LAST)) if free <= _LAST else tuple(found)
