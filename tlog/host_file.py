# SPDX-License-Identifier: Apache-2.0
"""Who a host is to the others that serve its log: a random name in a file beside its anchor, and how often it has joined them.

A machine's name and a path are no identity: a clone and a container have those of their origin. The random name is as much of this
host as the anchor whose memory it vouches for. What copies of the folder have in common with it is told apart by the count: the file
says "n + 1" before the others hear of it, so a folder that says less than they have heard is an older copy.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from sigcore.errors import Unavailable
from sigcore.values import dataclass
from tlog.anchor_file import create, failures

_FORM: Final = re.compile(rb"([0-9a-f]{16}) ([0-9]{1,18})\n")


@dataclass(frozen=True, slots=True)
class Member:
    """A host: its random name, and how often it has joined the others."""

    name: str
    joined: int


class HostFile:
    """The identity in ``path``, in the folder of the anchor; ``label`` is what people know the host by."""

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        self.label = label

    def load(self) -> Member:
        """What the file says; a new identity where there is none, on the disk when this returns.

        Raises:
            Unavailable: it is damaged, its folder is not there, or the disk fails.
        """
        if not self.path.parent.is_dir():
            raise Unavailable(
                f"the folder of this host's anchors, {self.path.parent}, is not there",
                "mount the disk that holds it; for a host that never ran make an empty folder (mode 0700)",
            )
        with failures("the identity of this host"):
            if not self.path.exists():
                member = Member(secrets.token_hex(8), 0)
                self.save(member)
                return member
            found = _FORM.fullmatch(self.path.read_bytes())
        if found is None:
            raise Unavailable(
                f"the identity of this host, {self.path}, is damaged",
                "remove the file: the host gets a new identity; the old one stays on the list of hosts until it is struck off",
            )
        return Member(found[1].decode("ascii"), int(found[2]))

    def save(self, member: Member) -> None:
        """Durably, whole or not at all. Unavailable: the disk fails."""
        with failures("the identity of this host"):
            create(self.path, f"{member.name} {member.joined}\n".encode())
