# SPDX-License-Identifier: Apache-2.0
"""An answer of the provider before it is HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from sigcore.strict import JSON
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """``body`` is a page, or the members of a JSON object.

    ``cookie`` is set where it is not empty; ``session`` is set, and where it is empty taken away; None leaves it as it is.
    """

    status: int
    body: str | Mapping[str, JSON]
    headers: tuple[tuple[str, str], ...] = ()
    cookie: str = ""
    session: str | None = None
