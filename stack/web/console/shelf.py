# SPDX-License-Identifier: Apache-2.0
"""A log as the console has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sigcore.values import dataclass

if TYPE_CHECKING:
    from tlog.published import Published

NAMES: Final = {"ct": "Certificates (CT)", "rekor": "Signatures (Rekor v2)", "rekor-v1": "Signatures (Rekor v1)"}
"""What the logs are called on pages, by the folder that holds them."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A log as the console shows it. ``spki`` is its public key, DER."""

    name: str
    title: str
    log: Published
    spki: bytes
