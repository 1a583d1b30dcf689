# SPDX-License-Identifier: Apache-2.0
"""The text of a search box -> what is sought. Pure.

1. Blank separates parts; every part must hold for an entry. Nothing at all seeks every entry.
2. ``KIND:VALUE`` names what a value is (:class:`~tlog.catalog.facts.Kind`, or ``index``); without it the form of the value tells.
3. ``*`` in a text value stands for any characters. Text is compared without regard to large and small letters.

What a form may be, the most likely one first:

=====================  ====================================================================================
digits                 an index in each log
64 or 80 hex digits    a digest, an entry's id or a key's fingerprint
40 hex digits          a git commit: as a CI names it, or hashed as gitsign logs it; or a serial number
96, 128 hex digits     a digest
other hex, 16 to 40    a serial number
``sha256:...``         a digest
``scheme://...``       an identity, an issuer or a repository
with ``@``             an identity
anything else          a part of an identity, an issuer or a repository
=====================  ====================================================================================
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass
from tlog.catalog.facts import Kind, Term

TEXTS: Final = (Kind.IDENTITY, Kind.ISSUER, Kind.REPOSITORY)
"""What people know by name."""
_KINDS: Final = {kind.value: kind for kind in Kind}
_HEX: Final = re.compile(r"[0-9a-f]+\Z", re.ASCII | re.IGNORECASE)
_INDEX: Final = re.compile(r"[0-9]{1,15}\Z", re.ASCII)
_DIGEST: Final = re.compile(r"sha(?:1|256|384|512):([0-9a-f]{40,128})\Z", re.ASCII | re.IGNORECASE)
_PREFIX: Final = re.compile(r"([a-z]+):(?!//)(.*)\Z", re.ASCII | re.DOTALL)
MAX_PARTS: Final = 8
WILDCARD: Final = "*"
LITERAL: Final = 3
"""A pattern needs so many characters in a row: what the index knows texts by."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of ``exact``, or a text of one of ``kinds`` that matches ``pattern`` (empty: none does), or the index ``index``."""

    exact: tuple[Term, ...] = ()
    pattern: str = ""
    kinds: tuple[Kind, ...] = ()
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Every part holds, and the time is in [``since_ms``, ``until_ms``) where these are given (Unix time, milliseconds)."""

    parts: tuple[Part, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None


def parse_query(text: str, *, since_ms: int | None = None, until_ms: int | None = None) -> Query:
    """See the module.

    Raises:
        Malformed: too long, too many parts, an unknown kind, characters that nobody sees, a value that cannot be of its kind, a pattern that is too short.
    """
    if len(text) > limits.TEXT:
        raise Malformed(f"the search has {len(text)} characters, the limit is {limits.TEXT}")
    words = text.split()
    if not all(word.isprintable() for word in words):
        raise Malformed(f"the search is {shown(text)}, expected printable characters")
    if len(words) > MAX_PARTS:
        raise Malformed(f"the search has {len(words)} parts, the limit is {MAX_PARTS}", "seek what is rarest")
    return Query(tuple(map(_parse_part, words)), since_ms, until_ms)


def _parse_part(word: str) -> Part:
    named = _PREFIX.match(word)
    if named is None or _DIGEST.match(word):
        return _guess(word)
    name, value = named.groups()
    if name == "index":
        if not _INDEX.match(value):
            raise Malformed(f"the index is {shown(value)}, expected digits")
        return Part(index=int(value))
    kind = _KINDS.get(name)
    if kind is None:
        if name in ("mailto", "spiffe", "urn"):
            return _guess(word)
        known = ", ".join(f"{name}:" for name in (*_KINDS, "index"))
        raise Malformed(f"the search asks for {shown(name)}, which is no kind of value", f"known: {known}")
    if not value:
        raise Malformed(f"the search asks for {name}: and names no value")
    return _text(value, (kind,)) if kind in TEXTS else Part(exact=_READERS[kind](value))


def _guess(word: str) -> Part:
    if match := _DIGEST.match(word):
        return Part(exact=(Term(Kind.DIGEST, match[1].lower()),))
    if _INDEX.match(word):
        return Part(index=int(word))
    if _HEX.match(word) and len(word) >= 16:
        return Part(exact=_hexadecimal(word.lower()))
    if WILDCARD in word or ("://" not in word and "@" not in word):
        return _text(word if WILDCARD in word else f"*{word}*", TEXTS)
    return Part(exact=tuple(Term(kind, word) for kind in TEXTS))


def _hexadecimal(digits: str) -> tuple[Term, ...]:
    if len(digits) == 80:
        return (Term(Kind.ENTRY, digits[16:]),)
    if len(digits) == 64:
        return tuple(Term(kind, digits) for kind in (Kind.DIGEST, Kind.ENTRY, Kind.KEY, Kind.COMMIT))
    if len(digits) == 40:
        return (*_commit(digits), Term(Kind.SERIAL, _serial(digits)), Term(Kind.DIGEST, digits))
    if len(digits) < 40:
        return (Term(Kind.SERIAL, _serial(digits)),)
    if len(digits) in (96, 128):
        return (Term(Kind.DIGEST, digits),)
    raise Malformed(f"{len(digits)} hexadecimal digits are no value that an entry has", "a SHA-256 digest has 64")


def _commit(value: str) -> tuple[Term, ...]:
    """Gitsign logs the SHA-256 of the commit's name as text."""
    digits = value.lower()
    return Term(Kind.COMMIT, digits), Term(Kind.DIGEST, hashlib.sha256(digits.encode("ascii", "replace")).hexdigest())


def _serial(value: str) -> str:
    return value.lower().replace(":", "").lstrip("0")


def _text(value: str, kinds: tuple[Kind, ...]) -> Part:
    if WILDCARD not in value:
        return Part(exact=tuple(Term(kind, value) for kind in kinds))
    if len(longest_literal(value)) < LITERAL:
        raise Malformed(f"the pattern {shown(value)} is too short", f"give {LITERAL} characters in a row without *")
    return Part(pattern=value, kinds=kinds)


def longest_literal(pattern: str) -> str:
    """The longest run of characters without a wildcard."""
    return max(pattern.split(WILDCARD), key=len)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text is of this form; ``*`` is any characters. Both are folded; takes the time of one pass."""
    first, *rest = pattern.split(WILDCARD)
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first):
        return False
    place = len(first)
    for literal in middle:
        found = text.find(literal, place)
        if found < 0:
            return False
        place = found + len(literal)
    return len(text) - len(last) >= place and text.endswith(last)


def _hex_of(kind: Kind) -> Callable[[str], tuple[Term, ...]]:
    def read(value: str) -> tuple[Term, ...]:
        digits = value.rsplit(":", 1)[-1].lower()
        if not _HEX.match(digits):
            raise Malformed(f"the {kind.value} is {shown(value)}, expected hexadecimal digits")
        return (Term(kind, digits[-64:] if kind is Kind.ENTRY else digits),)

    return read


_READERS: Final[dict[Kind, Callable[[str], tuple[Term, ...]]]] = {
    Kind.COMMIT: _commit,
    Kind.DIGEST: _hex_of(Kind.DIGEST),
    Kind.KEY: _hex_of(Kind.KEY),
    Kind.ENTRY: _hex_of(Kind.ENTRY),
    Kind.SERIAL: lambda value: (Term(Kind.SERIAL, _serial(value)),),
}
