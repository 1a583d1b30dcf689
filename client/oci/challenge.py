# SPDX-License-Identifier: Apache-2.0
"""``WWW-Authenticate``: how a registry asks for credentials.

Source: RFC 9110 section 11.6.1; RFC 6750 section 3 and the distribution project's token specification for ``Bearer``.
"""

from __future__ import annotations

import re
from typing import Final

from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a rule of the grammar
_SCHEME: Final = re.compile(rf"[\s,]*({_TOKEN})(?:[ \t]+|\Z|(?=,))", re.ASCII)
_PARAMETER: Final = re.compile(rf'({_TOKEN})\s*=\s*("(?:[^"\\]|\\.)*"|{_TOKEN}(?![^\s,]))\s*', re.ASCII)
_COMMA: Final = re.compile(r"\s*,[\s,]*", re.ASCII)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate: the scheme in lower case, its parameters by lower-case name."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The parameter's value; empty where it is absent."""
        return dict(self.parameters).get(name, "")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of one header line, or of several joined by commas.

    1. A scheme.
    2. Either one value (``token68``, as Negotiate has it), which is passed over, or parameters separated by commas.
    3. What follows the comma and is no parameter is the next scheme.

    Raises:
        Malformed: anything else, or a parameter that stands twice: which one would count?
    """
    found: list[Challenge] = []
    at = 0
    while header[at:].strip(" \t,"):
        scheme = _SCHEME.match(header, at)
        if scheme is None or (found and not _COMMA.match(header, at)):
            raise Malformed(f"WWW-Authenticate is {shown(header, 200)}, expected challenges as RFC 9110 has them")
        parameters, at = _parameters(header, scheme.end())
        if len(dict(parameters)) != len(parameters):
            raise Malformed(f"WWW-Authenticate names a parameter twice: {shown(header, 200)}")
        found.append(Challenge(scheme[1].lower(), tuple(parameters)))
    return tuple(found)


def _parameters(header: str, at: int) -> tuple[list[tuple[str, str]], int]:
    parameters: list[tuple[str, str]] = []
    begin = at
    while match := _PARAMETER.match(header, begin):
        parameters.append((match[1].lower(), _unquoted(match[2])))
        at = match.end()
        comma = _COMMA.match(header, at)
        if comma is None:
            break
        begin = comma.end()
    if not parameters and (value := _TOKEN68.match(header, at)):
        at = value.end()
    return parameters, at


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
