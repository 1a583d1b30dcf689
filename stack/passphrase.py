# SPDX-License-Identifier: Apache-2.0
"""Where the passphrase of the keys comes from, when there is one. It is never an argument and never in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from stack.files import load_file

VARIABLE: Final = "SIGBOX_PASSPHRASE_FILE"
CREDENTIAL: Final = "sigbox-passphrase"
"""The name to give it in a systemd unit: ``LoadCredential=sigbox-passphrase:/etc/sigbox/passphrase``."""


def find_passphrase(option: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The first that is there: ``option``, ``$SIGBOX_PASSPHRASE_FILE``, the systemd credential; None without any.

    One line end after it does not count.

    Raises:
        NotFound, Refused: the file that is named cannot be read. Malformed: it is empty, or holds more than a line.
    """
    path = option or _named(environment)
    if path is None:
        return None
    data = load_file(path, what="the passphrase file", limit=limits.PASSPHRASE, pipe=True)
    passphrase = data.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase or b"\n" in passphrase or b"\0" in passphrase:
        raise Malformed(f"the passphrase file {path} holds no passphrase", "write it on one line, and nothing else")
    return passphrase


def _named(environment: Mapping[str, str]) -> Path | None:
    if name := environment.get(VARIABLE):
        return Path(name)
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        return credential if credential.exists() else None
    return None
