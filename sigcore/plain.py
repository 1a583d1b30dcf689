# SPDX-License-Identifier: Apache-2.0
"""JSON of the usual form, read in one step: objects of text alone, with the names that every writer gives them.

A reader takes every member of every object, says how many strings that were, and :func:`read_plain` compares it with the
quotation marks in the text. No string may hold one, so these delimit strings, so a member that was named twice, of which the
decoder keeps the last, leaves a difference. The answer for any other text is None: it is for the strict reader
(:class:`sigcore.strict.Fields`), which says what is wrong, and is the oracle in the tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from sigcore.errors import Malformed
from sigcore.strict import parse_base64, parse_decimal

Value = TypeVar("Value")
Members: TypeAlias = Any
"""What the decoder gave: an object of the expected form, or something that raises one of ``NOT_PLAIN`` when it is taken apart."""
NOT_PLAIN = (KeyError, TypeError, ValueError, Malformed, RecursionError)
_DECODER: Final = json.JSONDecoder()
_OTHER_ESCAPE: Final = re.compile(rb"\\(?!n|u2014)")


def read_plain(data: bytes, read: Callable[[Members], tuple[Value, int]]) -> Value | None:
    """What ``read`` makes of ``data``; None for a text that is not of the form, good or bad.

    Args:
        data: JSON.
        read: gives the value and the number of strings in it, names included; raises one of ``NOT_PLAIN`` when anything is not
            text, or is not the one expected object. It must look at every member.
    """
    try:
        value, strings = read(_decode(data))
    except NOT_PLAIN:
        return None
    return value if data.count(b'"') == 2 * strings else None


def _decode(data: bytes) -> Members:
    """JSON in which every quotation mark delimits a string; what else must be looked for is looked for by the caller.

    Raises:
        ValueError, RecursionError: no JSON, or an escape other than those of every checkpoint: line ends and the dash.
    """
    if _OTHER_ESCAPE.search(data):
        raise ValueError("an escape")
    text = data.decode("utf-8")
    value, end = _DECODER.raw_decode(text)
    if end != len(text) and text[end:].strip(" \t\n\r"):
        raise ValueError("something after the value")
    return value


def only(members: Members, count: int) -> None:
    """ValueError where there are not ``count`` members; who has taken so many by name has then taken all."""
    if len(members) != count:
        raise ValueError("a member too many or too few")


def optional(members: Members, name: str) -> dict[str, Members]:
    """The object under ``name``; an empty one where it is absent or null."""
    value = members.get(name)
    if value is not None and type(value) is not dict:
        raise ValueError("no object")
    return value or {}


def items(members: Members, limit: int) -> list[Members]:
    """An array of at most ``limit`` elements."""
    if type(members) is not list or len(members) > limit:
        raise ValueError("no array, or too long")
    return members


def base64(text: Members, limit: int) -> bytes:
    """Canonical base64 of at most ``limit`` bytes."""
    data = parse_base64(text, what="it")
    if len(data) > limit:
        raise ValueError("too long")
    return data


def sized(text: Members, size: int) -> bytes:
    """Canonical base64 of exactly ``size`` bytes."""
    data = parse_base64(text, what="it")
    if len(data) != size:
        raise ValueError("another length")
    return data


def text(value: Members, limit: int) -> str:
    """A string of at most ``limit`` characters."""
    if type(value) is not str or len(value) > limit:
        raise ValueError("no string, or too long")
    return value


def number(value: Members) -> int:
    """A proto-JSON int64 in its text form, not negative."""
    return parse_decimal(value, what="the number")
