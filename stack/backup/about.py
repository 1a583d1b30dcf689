# SPDX-License-Identifier: Apache-2.0
"""``backup.json``: what an archive says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sigcore import limits
from sigcore.errors import Refused
from sigcore.strict import Fields, encode_time
from stack.config import IN_TOKEN

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class About:
    """When a backup was begun, of the stack at which URL, whether its keys are encrypted, and how many entries each log had.

    ``in_tokens`` names the folders whose keys are in tokens, and therefore not in the backup.
    """

    created: datetime
    url: str
    encrypted: bool
    logs: Mapping[str, int]
    in_tokens: tuple[str, ...] = ()


def encode_about(about: About) -> bytes:
    """As a file."""
    document: dict[str, object] = {
        "format": FORMAT,
        "created": encode_time(about.created),
        "url": about.url,
        "keysEncrypted": about.encrypted,
        "logs": dict(about.logs),
    }
    if about.in_tokens:
        document["keysInTokens"] = list(about.in_tokens)
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def parse_about(data: bytes) -> About:
    """The inverse of :func:`encode_about`.

    Raises:
        Malformed: it is none. Refused: a newer version wrote it.
    """
    fields = Fields.parse(data, what="the archive's backup.json", limit=limits.TEXT)
    if (found := fields.integer("format")) != FORMAT:
        raise Refused(f"the archive has format {found}, this version knows {FORMAT}", "use a newer sigbox")
    fields.only("format", "created", "url", "keysEncrypted", "logs", "keysInTokens")
    logs = fields.object("logs")
    return About(
        created=fields.time("created"),
        url=fields.text("url"),
        encrypted=fields.boolean("keysEncrypted"),
        logs={name: logs.int64(name) for name in logs.names()},
        in_tokens=fields.texts("keysInTokens", limit=len(IN_TOKEN)) if "keysInTokens" in fields else (),
    )
