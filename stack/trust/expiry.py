# SPDX-License-Identifier: Apache-2.0
"""Until when each role of the published TUF repository is good, read from its files without python-tuf.

Nothing is verified here: the files are our own, and clients verify them. This is for probes and countdowns.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sigcore import limits
from sigcore.errors import Malformed, NotFound
from sigcore.strict import Fields, parse_time
from stack.files import load_file


def expiries(folder: Path) -> dict[str, datetime]:
    """Role -> expiry of what a client would be given now.

    1. The timestamp names the snapshot's version, the snapshot the targets' version.
    2. The root is the last of an unbroken chain from 1 on, as clients walk it.

    Raises:
        NotFound: the repository is not published, or not whole. Malformed: a file is not TUF metadata.
    """
    timestamp = _signed(folder / "timestamp.json")  # (1)
    snapshot = _signed(folder / f"{_version(timestamp, 'snapshot.json')}.snapshot.json")
    targets = _signed(folder / f"{_version(snapshot, 'targets.json')}.targets.json")
    number = 1  # (2)
    while (folder / f"{number + 1}.root.json").exists():
        number += 1
    root = _signed(folder / f"{number}.root.json")
    roles = {"root": root, "targets": targets, "snapshot": snapshot, "timestamp": timestamp}
    return {role: parse_time(fields.text("expires"), what=f"the {role}'s expiry") for role, fields in roles.items()}


def _signed(path: Path) -> Fields:
    return Fields.parse(load_file(path, what="TUF metadata"), what=str(path), limit=limits.TRUSTED_ROOT).object(
        "signed"
    )


def _version(fields: Fields, name: str) -> int:
    version = fields.object("meta").object(name).raw().get("version")
    if not isinstance(version, int):
        raise Malformed(f"{fields.path} gives no version of {name}")
    return version


def check_expiries(folder: Path, now: datetime) -> None:
    """Whether clients can use the repository at ``now``.

    Raises:
        NotFound, Malformed: as :func:`expiries`. NotFound also when a role has expired.
    """
    for role, expires in expiries(folder).items():
        if expires <= now:
            raise NotFound(
                f"the TUF {role} expired on {expires:%Y-%m-%d}", "see the log for why it was not signed anew"
            )
