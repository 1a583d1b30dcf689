# SPDX-License-Identifier: Apache-2.0
"""Dex, a provider of others: unmodified, over HTTPS with an authority of its own, with people in memory.

Its connector ``Mock`` knows one person without asking: Kilgore Trout, of the group ``authors``. Its own people have passwords.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stack.config import Home, Settings
from stack.tls import TlsFiles
from stack.tls_authority import prepare
from tests.interop.clients import DEX
from tests.ports import free_port

READY_S = 30
BOND, EVE, DEX_PASSWORD = "bond@corp.example", "eve@elsewhere.example", "correct horse"
KILGORE = "kilgore@kilgore.trout"
_HASH = "$2b$10$vFN8XwD7WmpsLKd0OWVRHe6xa/rzhYtYxJdCrGEmg7imm60XinOrO"
"""bcrypt of the password, with the fewest rounds that it takes."""
SECRET = "a secret of two parties"


@dataclass(frozen=True, slots=True)
class Address:
    """Where it will be, and the files of its TLS."""

    issuer: str
    port: int
    files: TlsFiles


def choose_address(folder: Path) -> Address:
    """A free port of this machine, and a certificate for it."""
    port = free_port()
    now = datetime.now(UTC)
    (folder / "public").mkdir()
    url = f"https://localhost:{port}"
    files = prepare(Home(folder), Settings(url, now, ephemeral=True, url_follows_listen=False), now)
    return Address(f"{url}/dex", port, files)


@contextmanager
def running_dex(folder: Path, address: Address, callbacks: Sequence[str]) -> Iterator[None]:
    """Dex at ``address``, with a client ``public`` without a secret and ``sigbox`` with one, both for these ``callbacks``."""
    people = [
        {"email": email, "hash": _HASH, "username": email.partition("@")[0], "userID": f"id-of-{email}"}
        for email in (BOND, EVE)
    ]
    configuration = {
        "issuer": address.issuer,
        "storage": {"type": "memory"},
        "web": {
            "https": f"127.0.0.1:{address.port}",
            "tlsCert": str(address.files.certificate),
            "tlsKey": str(address.files.key),
        },
        "oauth2": {"skipApprovalScreen": True},
        "connectors": [{"type": "mockCallback", "id": "mock", "name": "Mock"}],
        "enablePasswordDB": True,
        "staticPasswords": people,
        "staticClients": [
            {"id": "public", "name": "sigbox", "public": True, "redirectURIs": list(callbacks)},
            {"id": "sigbox", "name": "sigbox", "secret": SECRET, "redirectURIs": list(callbacks)},
        ],
    }
    file, log = folder / "dex.json", folder / "dex.log"
    file.write_text(json.dumps(configuration))
    with log.open("ab") as output:
        process = subprocess.Popen(
            [DEX.installed(), "serve", file], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, address, log)
        yield
    finally:
        process.terminate()
        process.wait(READY_S)


def _wait(process: subprocess.Popen[bytes], address: Address, log: Path) -> None:
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(address.files.authority)))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with opener.open(f"{address.issuer}/.well-known/openid-configuration", timeout=5) as answer:
                assert json.load(answer)["issuer"] == address.issuer
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
