# SPDX-License-Identifier: Apache-2.0
"""SoftHSM tokens for tests, each in a folder of its own: a PKCS#11 token that is made, taken away and put back in no time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.missing import missing

LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")
PIN = "739184"
ROLES = ("ca", "ct", "rekor", "rekor-v1", "tsa")


def library() -> str:
    """Where the module is; skip, or fail where CI is set, when it is not there."""
    found = next((path for path in LIBRARIES if Path(path).exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        missing("SoftHSM is absent; on Debian: apt-get install softhsm2")
    return found


@dataclass
class SoftToken:
    """One token with the label ``sigbox``; ``module`` is what it is reached through."""

    folder: Path
    module: str

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def uri(self, label: str, **other: str) -> str:
        """Of the key with this label."""
        said = {"token": "sigbox", "module": self.module, "pin": f"file:{self.pin_file}"} | other
        return f"pkcs11:token={said['token']};object={label}?module-path={said['module']}&pin-source={said['pin']}"

    def options(self, *roles: str) -> list[str]:
        """What ``sigbox init`` is given for keys in here."""
        return [text for role in roles or ROLES for text in ("--key", f"{role}={self.uri(role)}")]

    def take_away(self) -> None:
        """As pulling it out."""
        self.tokens.rename(self.folder / "away")

    def put_back(self) -> None:
        (self.folder / "away").rename(self.tokens)


@contextmanager
def soft_token(folder: Path, module: str | None = None) -> Iterator[SoftToken]:
    """A new token; while the block runs, this process and those that it starts have no other one."""
    made = SoftToken(folder, module or library())
    made.tokens.mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {made.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    try:
        made.pin_file.write_text(f"{PIN}\n")
        made.pin_file.chmod(0o600)
        command = ("softhsm2-util", "--init-token", "--free", "--label", "sigbox", "--so-pin", "5550000", "--pin", PIN)
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        yield made
    finally:
        os.environ.pop("SOFTHSM2_CONF")
        if before is not None:
            os.environ["SOFTHSM2_CONF"] = before
