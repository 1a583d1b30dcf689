# SPDX-License-Identifier: Apache-2.0
"""``application/x-www-form-urlencoded`` -> parameters, each at most once (RFC 6749 sections 3.1, 3.2 and appendix B). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes, urlencode

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.patterns import pattern
from sigcore.strict import shown

Parameters: TypeAlias = Mapping[str, str]

_PIECE: Final = pattern(r"(?:[ -$&-~]|%[0-9A-Fa-f]{2})*\Z", re.ASCII)
"""Printable ASCII, and escapes that are whole. A space that is not escaped is a space to every reader: `curl --data` sends it."""
_CONTROL: Final = pattern(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def parse_parameters(data: bytes, *, what: str) -> Parameters:
    """The parameters that ``data``, a query or a form, spells.

    1. At most ``limits.OAUTH_PARAMETERS`` bytes, ASCII, every escape whole.
    2. Each piece between ``&`` is a name and a value; decoded they are UTF-8 without control characters, so that none can end
       a header line.
    3. No name stands twice: two readers would choose differently.
    4. A parameter without a value counts as left out (RFC 6749 section 3.1).

    Raises:
        Malformed: names ``what`` and the defect.
    """
    if len(data) > limits.OAUTH_PARAMETERS:  # 1
        raise Malformed(f"{what} is {len(data)} bytes long, the limit is {limits.OAUTH_PARAMETERS}")
    found: dict[str, str] = {}
    for name, value in _pairs(data.decode("latin-1"), what):
        if name in found:  # 3
            raise Malformed(f"{what} has the parameter {shown(name)} more than once")
        found[name] = value
    return {name: value for name, value in found.items() if value}  # 4


def encode_parameters(parameters: Parameters) -> str:
    """The query that :func:`parse_parameters` reads as ``parameters``."""
    return urlencode(parameters)


def _pairs(text: str, what: str) -> Iterator[tuple[str, str]]:
    for piece in filter(None, text.split("&")):
        if not _PIECE.match(piece):
            raise Malformed(f"{what} is not form-urlencoded: {shown(piece)}")
        name, _, value = piece.partition("=")
        yield _decoded(name, what), _decoded(value, what)  # 2


def _decoded(text: str, what: str) -> str:
    try:
        decoded = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8: {shown(text)}") from error
    if _CONTROL.search(decoded):
        raise Malformed(f"{what} has a control character: {shown(decoded)}")
    return decoded
