# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: one byte string for each JSON value.

1. Object members are sorted by their names as UTF-16 code units; there is no space between tokens.
2. Strings are UTF-8 and escape only what JSON demands: the quotation mark, the backslash and U+0000 to U+001F.
3. Numbers are written as ECMAScript writes IEEE 754 doubles: the shortest digits that read back as the same double.

Source: RFC 8785; ECMA-262 ``Number::toString`` for numbers.
"""

from __future__ import annotations

import json
import math
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, shown

MAX_INTEGER: Final = 2**53 - 1
"""Beyond it, doubles are no longer all the integers (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2)."""


def encode(value: JSON) -> bytes:
    """``value`` in canonical form.

    Raises:
        Malformed: NaN or infinity, an integer beyond 2**53-1, a lone surrogate, nesting deeper than ``limits.JSON_DEPTH``,
            or something that JSON has no form for.
    """
    try:
        return _encode(value, limits.JSON_DEPTH).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Malformed(f"a JSON string has a lone surrogate: {shown(error.object[error.start])}") from error


def _encode(value: JSON, depth: int) -> str:
    if depth == 0:
        raise Malformed(f"the JSON value is nested deeper than {limits.JSON_DEPTH} levels")
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case int():
            return _integer(value)
        case float():
            return _double(value)
        case list():
            return f"[{','.join(_encode(element, depth - 1) for element in value)}]"
        case dict():
            names = sorted(value, key=_code_units)
            return f"{{{','.join(f'{_string(name)}:{_encode(value[name], depth - 1)}' for name in names)}}}"
    raise Malformed(f"JSON has no form for a value of type {type(value).__name__}")


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _code_units(name: str) -> bytes:
    """Big-endian, so that the order of the bytes is the order of the code units. A lone surrogate is refused later."""
    if not isinstance(name, str):
        raise Malformed(f"a JSON member name is of type {type(name).__name__}")
    return name.encode("utf-16-be", "surrogatepass")


def _integer(value: int) -> str:
    if abs(value) > MAX_INTEGER:
        raise Malformed("a JSON integer is beyond 2**53-1", "write it as a string")
    return str(value)


def _double(value: float) -> str:
    """ECMA-262 ``Number::toString``: ``digits`` are significant, and the decimal point stands after ``point`` of them."""
    if not math.isfinite(value):
        raise Malformed(f"JSON has no form for {value}")
    if value == 0:
        return "0"
    # Deferred: the entries of logs hold no fractions.
    from decimal import Decimal  # noqa: PLC0415 - see the line above

    _, all_digits, exponent = Decimal(repr(abs(value))).as_tuple()
    point = len(all_digits) + int(exponent)
    digits = "".join(map(str, all_digits)).rstrip("0")
    sign = "-" if value < 0 else ""
    if not -6 < point <= 21:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return f"{sign}{digits:0<{point}}"
    return f"{sign}{digits[:point]}.{digits[point:]}"
