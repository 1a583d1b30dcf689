# SPDX-License-Identifier: Apache-2.0
"""Which names an issuer's tokens may have in certificates: its allow list and its deny list.

``*`` stands for any characters but ``/``, also for none; ``**`` for any characters. All else stands for itself. A name is
issued when no pattern of the deny list matches it and, where there is an allow list, one of that does. The deny list is blind
to upper and lower case, the allow list only in emails, whose domains are.
"""

from __future__ import annotations

import re
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.general_name import Email, San
from sigcore.strict import shown
from sigcore.values import dataclass

_TOKENS: Final = re.compile(r"\*\*|.", re.DOTALL)
_WILDCARDS: Final = ("*", "**")


@dataclass(frozen=True, slots=True)
class NameRules:
    """Patterns as they were written.

    Raises:
        Malformed: too many, or one that is empty, too long or not printable ASCII.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.allow) + len(self.deny) > limits.NAME_PATTERNS:
            raise Malformed(f"an issuer has more than {limits.NAME_PATTERNS} patterns for names")
        for pattern in (*self.allow, *self.deny):
            if not re.match(rf"[!-~]{{1,{limits.POLICY_GLOB}}}\Z", pattern) or "***" in pattern:
                raise Malformed(f"{shown(pattern)} is no pattern for names", "for example https://ci.example.com/**")

    def check(self, san: San) -> None:
        """Refused: a pattern of the deny list matches, or none of the allow list does."""
        folded = san.value.lower()
        if any(_matches(pattern.lower(), folded) for pattern in self.deny):
            raise Refused(f"the name {shown(san.value)} is on the deny list of its issuer")
        if isinstance(san, Email):
            allowed = any(_matches(pattern.lower(), folded) for pattern in self.allow)
        else:
            allowed = any(_matches(pattern, san.value) for pattern in self.allow)
        if self.allow and not allowed:
            raise Refused(f"the name {shown(san.value)} is not on the allow list of its issuer")


def _matches(pattern: str, name: str) -> bool:
    """Whether the whole name is matched; the time grows with the product of both lengths and no faster."""
    head = pattern.partition("*")[0]
    if not name.startswith(head) or len(head) == len(pattern):
        return name == pattern
    tokens = _TOKENS.findall(pattern[len(head) :])
    reached = _passing(tokens, {0})
    for character in name[len(head) :]:
        reached = _passing(tokens, {after for at in reached for after in _step(tokens, at, character)})
        if not reached:
            return False
    return len(tokens) in reached


def _step(tokens: list[str], at: int, character: str) -> tuple[int, ...]:
    part = tokens[at] if at < len(tokens) else ""
    if part in _WILDCARDS:
        return (at,) if part == "**" or character != "/" else ()
    return (at + 1,) if part == character else ()


def _passing(tokens: list[str], reached: set[int]) -> set[int]:
    """``reached``, and what lies behind wildcards that stand for nothing."""
    found, pending = set(reached), list(reached)
    while pending:
        at = pending.pop()
        if at < len(tokens) and tokens[at] in _WILDCARDS and at + 1 not in found:
            found.add(at + 1)
            pending.append(at + 1)
    return found
