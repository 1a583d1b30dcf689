# SPDX-License-Identifier: Apache-2.0
"""The generations of a role's key: which one signs, which ones did, and in which windows each counts.

``public/generations.json`` names the roles that were ever rotated; writing it is the one moment at which a rotation happens. A
role that is not in it has one generation: that of the stack's creation, in the role's own folder. The key of generation N > 1 lies
in the folder ``N`` below that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, encode_base64, encode_time, parse_base64
from sigcore.trustroot import Validity, dump
from sigcore.values import dataclass
from stack.config import Home
from stack.files import load_file, save_file

AUTHORITIES: Final = ("ca", "tsa")
"""Roles whose generation is a chain of certificates."""
LOGS: Final = ("ct", "rekor", "rekor-v1")
"""Roles whose generation is a tree with a key of its own; see :mod:`stack.shards`."""


OVERLAP: Final = timedelta(hours=1)
"""The old key counts for so long after the new one began: certificates live ten minutes, and a process may have to be restarted."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One key of a role: the window in which it counts, and what anybody may know of it.

    ``public`` is DER: the chain of an authority as in ``Material``, or the one SPKI of a log. The end of a window is what was meant,
    until the next generation is published: see :mod:`stack.trust.windows`. ``overlap`` is how long it counts beside that one.
    """

    validity: Validity
    public: tuple[bytes, ...]
    overlap: timedelta = OVERLAP


LEAD: Final = timedelta(seconds=10)
"""From a rotation to the first moment of a new tree; a running log looks every two seconds whether there is one."""
Generations = Mapping[str, tuple[Generation, ...]]
"""Role to its generations, oldest first; only roles that were rotated."""


def load_generations(home: Home) -> Generations:
    """What was rotated; nothing in a stack where nothing was.

    Raises:
        Malformed: the file is damaged.
    """
    path = path_of(home)
    if not path.exists():
        return {}
    fields = Fields.parse(load_file(path, what="the generations of keys"), what=str(path), limit=limits.TRUSTED_ROOT)
    fields.only(*AUTHORITIES, *LOGS)
    found = {role: tuple(map(_row, fields.objects(role, limit=limits.TRUST_INSTANCES))) for role in fields.names()}
    for role, rows in found.items():
        if len(rows) < 2 or rows[-1].validity.end is not None or any(row.validity.end is None for row in rows[:-1]):
            raise Malformed(f"{path} says of {role} what no rotation leaves", "restore it from a backup")
    return found


def save_generations(home: Home, generations: Generations, *, durable: bool) -> None:
    """Replace the file, in one rename."""
    rows: dict[str, JSON] = {role: [_encoded(row) for row in found] for role, found in generations.items()}
    save_file(path_of(home), dump(rows), durable=durable)


def path_of(home: Home) -> Path:
    """Where they are written down."""
    return home.public / "generations.json"


def wait_begun(rotated: Generations) -> None:
    """Return when the newest key of each role counts, at once but for a start within seconds of a rotation."""
    since = max((rows[-1].validity.start for rows in rotated.values()), default=None)
    if since is not None and timedelta() < (ahead := since - datetime.now(UTC)) <= LEAD:
        time.sleep(ahead.total_seconds())


def number_of(rotated: Generations, role: str) -> int:
    """The number of the newest generation of a role; 1 where nothing was rotated."""
    return len(rotated.get(role, ())) or 1


def folder_of(home: Home, role: str, number: int) -> Path:
    """Where generation ``number`` of a role has its secrets; the first is 1."""
    return home.path / role if number == 1 else home.path / role / str(number)


def current_folder(home: Home, role: str) -> Path:
    """Where the generation that signs has its secrets. Errors: as :func:`load_generations`."""
    return folder_of(home, role, number_of(load_generations(home), role))


def _row(fields: Fields) -> Generation:
    fields.only("since", "until", "public", "overlap_s")
    public = fields.texts("public", limit=limits.CHAIN_CERTIFICATES)
    if not public:
        raise Malformed(f"{fields.path}.public is empty", "restore the file from a backup")
    overlap = timedelta(seconds=fields.integer("overlap_s")) if "overlap_s" in fields else OVERLAP
    window = Validity(fields.time("since"), fields.optional_time("until"))
    return Generation(window, tuple(map(_der, public)), overlap)


def _der(text: str) -> bytes:
    return parse_base64(text, what="the public part of a key")


def _encoded(row: Generation) -> JSON:
    encoded: dict[str, JSON] = {"since": encode_time(row.validity.start)}
    if row.validity.end is not None:
        encoded["until"] = encode_time(row.validity.end)
    if row.overlap != OVERLAP:
        encoded["overlap_s"] = row.overlap // timedelta(seconds=1)
    return encoded | {"public": [encode_base64(der) for der in row.public]}
