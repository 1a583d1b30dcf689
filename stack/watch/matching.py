# SPDX-License-Identifier: Apache-2.0
"""An entry held against watch rules. Pure.

1. A rule looks at an entry of its logs that carries a name which its identity covers.
2. ``alarming``: it is an alert if the rule names no issuer, or covers one of the entry's.
3. ``expected``: it is an alert unless every issuer of the entry is covered, and there is one.

An entry with several signers is judged by every name and every issuer in it: rather an alert too many than one too few. Names are
compared as people read them: without regard to large and small letters or to forms of one letter, and a name that is made to
deceive is covered as any other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from client.policy.glob import Glob
from sigcore import limits
from sigcore.values import dataclass
from tlog.catalog.facts import Facts, Kind

MOST_CHARACTERS: Final = 1024
"""Of a name that is gone through; a longer one is covered when its two ends are."""


@dataclass(frozen=True, slots=True)
class WatchRule:
    """See :mod:`stack.watch.rules`; both patterns are folded."""

    name: str
    identity: Glob
    issuer: Glob | None
    expected: bool
    logs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sighting:
    """An entry that a rule alerts of: the name that the rule covers, and the issuer that matters."""

    rule: str
    identity: str
    issuer: str
    expected: bool


def fold(text: str) -> str:
    """``text`` in the form that names are compared in."""
    return unicodedata.normalize("NFKC", text).casefold()


def sightings(rules: Sequence[WatchRule], log: str, facts: Facts) -> Iterator[Sighting]:
    """The alerts that an entry of ``log`` gives."""
    identities = [term.value for term in facts.terms if term.kind is Kind.IDENTITY]
    issuers = [term.value for term in facts.terms if term.kind is Kind.ISSUER]
    for rule in rules if identities else ():
        if log in rule.logs:
            identity = next((name for name in identities if _covers(rule.identity, name)), None)  # (1)
            if identity is not None and (issuer := _wrong(rule, issuers)) is not None:
                yield Sighting(rule.name, identity, issuer, rule.expected)


def _wrong(rule: WatchRule, issuers: Sequence[str]) -> str | None:
    """The issuer for which it is an alert, empty where there is none; None where it is no alert."""
    if rule.issuer is None:
        return issuers[0] if issuers else ""
    if not rule.expected:  # (2)
        return next((issuer for issuer in issuers if _covers(rule.issuer, issuer)), None)
    if not issuers:  # (3)
        return ""
    return next((issuer for issuer in issuers if not _covers(rule.issuer, issuer)), None)


def _covers(pattern: Glob, name: str) -> bool:
    folded = fold(name[: limits.POLICY_NAME])
    if pattern.literal:
        return folded == pattern.text and len(name) <= limits.POLICY_NAME
    head, tail = pattern.ends()
    if not folded.startswith(head) or not (fold(name[-limits.POLICY_NAME :])).endswith(tail):
        return False
    return len(name) > MOST_CHARACTERS or pattern.covers(folded)
