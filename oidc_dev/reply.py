# SPDX-License-Identifier: Apache-2.0
"""An answer of the provider before it is HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from sigcore.strict import JSON
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page before it is in a language: its template, and what that is given.

    ``again`` is where it can be had again, in another language: below the issuer's path, and made of what was checked; empty where
    it cannot. ``wanted`` are the languages that a program asked for, the best first.
    """

    template: str
    values: Mapping[str, object]
    again: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """``body`` is a page, or the members of a JSON object, or empty.

    ``cookie`` is set where it is not empty; ``session`` is set, and where it is empty taken away; None leaves it as it is.
    """

    status: int
    body: str | Page | Mapping[str, JSON]
    headers: tuple[tuple[str, str], ...] = ()
    cookie: str = ""
    session: str | None = None
