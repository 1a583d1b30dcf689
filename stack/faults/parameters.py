# SPDX-License-Identifier: Apache-2.0
"""What a fault can be told: JSON members, all optional."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from oidc_dev.mailbox import parse_email
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, parse_json, shown
from sigcore.values import dataclass

ROLES: Final = ("oidc", "ca", "ct", "log", "tsa", "trust")
MOST_SECONDS: Final = 600
MOST_HOURS: Final = 24 * 365
MOST_COUNT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Parameters:
    """``count`` is None for all answers until the fault is switched off, ``role`` is empty for all roles."""

    role: str = ""
    seconds: float = 2
    status: int = 503
    hours: int = 3
    hours_ago: int = 1
    identity: str = "mallory@example.com"
    count: int | None = None

    def document(self, names: Sequence[str]) -> dict[str, JSON]:
        """Those in ``names``, in JSON."""
        return {name: getattr(self, name) for name in names}


def parse_parameters(data: bytes, takes: Sequence[str]) -> Parameters:
    """The body of a request that switches a fault on which ``takes`` these parameters; an empty one leaves all as they are.

    Raises:
        Malformed: not an object of known members with values in their range; says which are expected.
    """
    what = "the parameters"
    value = parse_json(data or b"{}", what=what, limit=limits.IDENTITY_TOKEN, floats=True)
    fields = Fields.of(value, what)
    fields.only(*takes, "count")
    return replace(Parameters(), **{name: _READERS[name](name, member) for name, member in fields.raw().items()})


def _number(name: str, value: JSON, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Malformed(f"{name} is {shown(value)}, expected a number from {low} to {high}")
    return value


def _integer(name: str, value: JSON, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Malformed(f"{name} is {shown(value)}, expected an integer from {low} to {high}")
    return value


def _role(name: str, value: JSON) -> str:
    if not isinstance(value, str) or value not in ROLES:
        raise Malformed(f"{name} is {shown(value)}, expected one of {', '.join(ROLES)}")
    return value


def _status(name: str, value: JSON) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not (value == 429 or 500 <= value <= 599):
        raise Malformed(f"{name} is {shown(value)}, expected 429 or 500 to 599")
    return value


def _identity(name: str, value: JSON) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{name} is {shown(value)}, expected an email")
    return parse_email(value)


_READERS: Final[Mapping[str, Callable[[str, JSON], Any]]] = {
    "role": _role,
    "seconds": lambda name, value: _number(name, value, 0, MOST_SECONDS),
    "status": _status,
    "hours": lambda name, value: _integer(name, value, -MOST_HOURS, MOST_HOURS),
    "hours_ago": lambda name, value: _integer(name, value, 1, MOST_HOURS),
    "identity": _identity,
    "count": lambda name, value: _integer(name, value, 1, MOST_COUNT),
}
