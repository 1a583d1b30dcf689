# SPDX-License-Identifier: Apache-2.0
"""A log as the console has it."""

from __future__ import annotations

from sigcore.values import dataclass
from tlog.published import Published


@dataclass(frozen=True, slots=True)
class Shelf:
    """A log as the console shows it. ``spki`` is its public key, DER."""

    name: str
    title: str
    log: Published
    spki: bytes
