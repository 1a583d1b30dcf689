# SPDX-License-Identifier: Apache-2.0
"""What goes into a kit (:mod:`client.tuf_kit`): the repository as clients find it now, and the plain documents.

Source: The Update Framework specification 1.0.31, section 5.3 to 5.7 (what a client asks for, in that order).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client.tuf_kit import PLAIN, Kit
from sigcore import limits
from sigcore.strict import Fields
from stack.config import Home, Settings
from stack.files import load_file


def collect_kit(home: Home, settings: Settings) -> Kit:
    """Everything that a client would fetch, from ``public/`` alone. NotFound, Malformed: it is not whole."""
    files = {f"tuf/{name}": _load(home.tuf_repository / name) for name in _names(home.tuf_repository)}
    plain = {name: _load(home.public / name) for name in PLAIN}
    return Kit(f"{settings.at('trust')}/tuf", files | plain)


def _names(repository: Path) -> Iterator[str]:
    number = 1
    while (repository / f"{number}.root.json").exists():
        yield f"{number}.root.json"
        number += 1
    yield "timestamp.json"
    timestamp = _signed(repository / "timestamp.json")
    name = f"{_version(timestamp, 'snapshot.json')}.snapshot.json"
    yield name
    snapshot = _signed(repository / name)
    for role in snapshot.object("meta").names():  # targets, and the delegated policy
        name = f"{_version(snapshot, role)}.{role}"
        yield name
        targets = _signed(repository / name).object("targets")
        for target in targets.names():
            yield f"targets/{targets.object(target).object('hashes').text('sha256')}.{target}"


def _version(document: Fields, name: str) -> int:
    return document.object("meta").object(name).integer("version")


def _signed(path: Path) -> Fields:
    return Fields.parse(_load(path), what=str(path), limit=limits.TRUSTED_ROOT).object("signed")


def _load(path: Path) -> bytes:
    return load_file(path, what="the public file", limit=limits.TRUSTED_ROOT)
