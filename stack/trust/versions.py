# SPDX-License-Identifier: Apache-2.0
"""The newest version of each TUF role that was ever begun, kept outside the repository.

A client refuses a version that is older than the one it has, and must never see one version with two contents. What lies
in the repository alone cannot promise that: a publication may have been interrupted, or the folder restored from a backup.
So a version is written down here before the first byte of it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed, NotFound
from sigcore.strict import Fields
from sigcore.values import dataclass
from stack.files import SECRET, load_file, save_file

ROLES: Final = ("root", "targets", "snapshot", "timestamp")
POLICY: Final = "policy"
"""The delegated role, of repositories that carry a policy."""
_LARGEST: Final = 2**31


@dataclass(frozen=True, slots=True)
class Versions:
    """The memory in ``path``: a JSON object from role to version."""

    path: Path
    durable: bool

    def load(self) -> dict[str, int]:
        """The version of each role; empty when nothing was ever published.

        Raises:
            Malformed: the file is damaged.
        """
        try:
            data = load_file(self.path, what="the TUF versions", limit=limits.TEXT)
        except NotFound:
            return {}
        fields = Fields.parse(data, what=str(self.path), limit=limits.TEXT)
        fields.only(*ROLES, POLICY)
        found = {role: fields.integer(role) for role in fields.names()}
        if not all(1 <= version < _LARGEST for version in found.values()):
            raise Malformed(f"{self.path} holds a version that is no version", "restore the file from a backup")
        return found

    def save(self, versions: Mapping[str, int]) -> None:
        """Write ``versions`` down; on the disk when this returns, if ``durable``."""
        data = json.dumps(dict(versions), sort_keys=True).encode() + b"\n"
        save_file(self.path, data, mode=SECRET, durable=self.durable)
