# SPDX-License-Identifier: Apache-2.0
"""Real registries as processes: Debian's docker-registry, and go-containerregistry's with the referrers API.

Each takes a free port of the loopback address and keeps what it has in the folder of the test, or in memory.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client.oci.reference import Reference, parse_reference
from stack.config import Home, Settings
from stack.tls import TlsFiles
from stack.tls_authority import prepare
from tests.interop.clients import CRANE, REGISTRY, Missing
from tests.missing import missing

READY_S = 60
STOP_S = 60
USER, PASSWORD = "alice", "correct horse"
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n"
"""That password, with the cheapest bcrypt: the only hash that docker-registry takes."""


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that answers at ``address`` (host and port)."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def image(self, name: str) -> Reference:
        """``name`` (a path, with tag or digest) in this registry."""
        return parse_reference(f"{self.address}/{name}")


@contextmanager
def docker_registry(
    folder: Path, *, auth: dict[str, Any] | None = None, tls: TlsFiles | None = None
) -> Iterator[RunningRegistry]:
    """Debian's, of the distribution project: no referrers API; manifests can be deleted, tags by themselves cannot.

    Args:
        folder: for its data, configuration and log.
        auth: the ``auth`` part of its configuration; see :func:`htpasswd`.
        tls: serve https with these files.
    """
    if shutil.which("docker-registry") is None:
        missing("docker-registry is missing; on Debian: apt-get install docker-registry")
    http: dict[str, Any] = {"addr": "127.0.0.1:0"}
    if tls:
        http["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    configuration = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": http,
        **({"auth": auth} if auth else {}),
    }
    (folder / "registry.yml").write_text(json.dumps(configuration), "utf-8")
    with _running(["docker-registry", "serve", "registry.yml"], folder, r"listening on (127\.0\.0\.1:\d+)") as registry:
        yield registry


def htpasswd(folder: Path) -> dict[str, Any]:
    """User and password, by HTTP's Basic: for ``auth``."""
    (folder / "htpasswd").write_text(HTPASSWD, "utf-8")
    return {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}


def certified(folder: Path) -> TlsFiles:
    """A server certificate for this machine, of an authority that nobody knows."""
    (folder / "public").mkdir()
    settings = Settings("https://localhost", datetime.now(UTC), ephemeral=True, url_follows_listen=False)
    return prepare(Home(folder), settings, datetime.now(UTC))


@contextmanager
def go_registry(folder: Path) -> Iterator[RunningRegistry]:
    """go-containerregistry's: in memory, with the referrers API, without authentication."""
    try:
        program = CRANE.installed().with_name(REGISTRY)
    except Missing as reason:
        missing(str(reason))
    with _running([str(program)], folder, r"(127\.0\.0\.1:\d+)") as registry:
        yield registry


@contextmanager
def _running(command: list[str], folder: Path, listening: str) -> Iterator[RunningRegistry]:
    log = folder / "registry.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield RunningRegistry(_address(process, log, listening), process, log)
    except BaseException as error:
        error.add_note(f"{command[0]} printed:\n{log.read_text('utf-8', 'replace')[-4000:]}")
        raise
    finally:
        process.terminate()
        process.wait(STOP_S)


def _address(process: subprocess.Popen[bytes], log: Path, listening: str) -> str:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(listening, log.read_text("utf-8", "replace"))
        if found:
            return found[1]
        time.sleep(0.01)
    raise AssertionError(f"{process.args!r} does not listen; it ended with {process.poll()}")
