# SPDX-License-Identifier: Apache-2.0
"""What a stack was asked, for a test that wants to know what its client did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sigcore.strict import Fields

_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the stack has answered."""

    method: str
    path: str
    """As it was asked, without the query."""
    status: int
    """Of the answer; 0 where that broke off."""
    request: str
    """Its id: that of the client's ``X-Request-Id``, where it sends one."""


def asked_of(fields: Fields) -> tuple[Asked, ...]:
    """The answer of ``GET /_ctl/requests``, oldest first. Malformed: it is something else."""
    rows = fields.objects("requests", limit=_MOST)
    return tuple(
        Asked(row.text("method"), row.text("path"), row.integer("status"), row.text("request")) for row in rows
    )
