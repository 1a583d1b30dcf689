# SPDX-License-Identifier: Apache-2.0
"""The official clients that are not Python packages: what they are pinned to, and how they get onto a machine.

``make clients`` runs this file. cosign, gitsign and crane are built from source by Go, as go.mod and go.sum of their folders say;
sigstore-js is installed by npm, as package-lock.json says, with the Node that it wants. Nothing is fetched whose hash does not
stand there.
Dex comes the same way: it is no client, but the OpenID provider of others that federation is tested with. So does axe-core, the
accessibility rules that the tests in a browser run on every page.

What was made is kept in the user's cache folder under the hash of its pins: every checkout finds it there, and a changed pin
makes it anew. The standard library is enough to run this, so that continuous integration can begin with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT_S = 1800
"""A cold build takes some four minutes on two cores; this bounds a hanging one."""


class Missing(Exception):
    """A client is not on this machine; the text says why, and which command brings it."""


@dataclass(frozen=True, slots=True)
class Client:
    """One official client at the versions that the files in its folder pin."""

    name: str
    pins: tuple[str, ...]
    program: str
    """Its executable, below the folder that it is installed into."""
    install: Callable[[Client, Path], None]
    package: str = "sigstore"
    """Whose version npm's pins are named after."""
    place: Path = HERE

    @property
    def folder(self) -> Path:
        """Where its pins are."""
        return self.place / self.name

    @property
    def home(self) -> Path:
        """Where it is, or will be: another place for other pins and for another kind of machine."""
        digest = hashlib.sha256(f"{sys.platform} {platform.machine()}".encode())
        for name in self.pins:
            content = (self.folder / name).read_bytes()
            digest.update(b"%d %b" % (len(content), content))
        return cache() / f"{self.name}-{digest.hexdigest()[:20]}"

    def installed(self) -> Path:
        """Its executable.

        Raises:
            Missing: it is not there.
        """
        program = self.home / self.program
        if not program.is_file():
            raise Missing(f"{self.name} {self.version} is not installed; run `make clients`")
        return program

    @property
    def version(self) -> str:
        """As it is pinned."""
        if "go.mod" in self.pins:
            package = package_of(self).partition("/cmd/")[0]
            found = re.search(
                rf"^(?:require )?\s?{re.escape(package)} v(\S+)",
                (self.folder / "go.mod").read_text("utf-8"),
                re.MULTILINE,
            )
            assert found, f"go.mod of {self.name} does not pin {package}"
            return found[1]
        version: str = json.loads((self.folder / "package.json").read_bytes())["dependencies"][self.package]
        return version


def cache() -> Path:
    """The user's cache folder for sigbox."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sigbox"


def package_of(client: Client) -> str:
    """The Go package that is the client's program: the one tool of its go.mod."""
    (package,) = re.findall(r"^tool (\S+)$", (client.folder / "go.mod").read_text("utf-8"), re.MULTILINE)
    return str(package)


def build(client: Client, target: Path) -> None:
    """Compile the program with the Go of this machine."""
    compile_package(client, package_of(client), target / client.program)


def build_registry(client: Client, target: Path) -> None:
    """Compile the program and, as ``registry`` beside it, the registry in the client's folder."""
    build(client, target)
    compile_package(client, ".", target / REGISTRY)


def build_gitsign(client: Client, target: Path) -> None:
    """Compile gitsign, the program that keeps its certificates, and the agent in its folder that it may ask for tokens."""
    build(client, target)
    compile_package(client, f"{package_of(client)}/cmd/{CREDENTIAL_CACHE}", target / CREDENTIAL_CACHE)
    compile_package(client, ".", target / SPIFFE_AGENT)


def compile_package(client: Client, package: str, program: Path) -> None:
    """Compile a package of the client's module; no other toolchain is fetched."""
    if shutil.which("go") is None:
        found = re.search(r"^go (\S+)$", (client.folder / "go.mod").read_text("utf-8"), re.MULTILINE)
        raise Missing(
            f"go is missing: {client.name} is built from source by Go {found and found[1]} or newer; Debian's own package "
            "is older than that, so install a current Go and put it on the PATH, then run `make clients`"
        )
    options = ("-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(program))
    _run(client, "go", "build", *options, package, cwd=client.folder, GOTOOLCHAIN="local", GOWORK="off")


def npm_install(client: Client, target: Path) -> None:
    """Install what the lock file names, and run none of its scripts."""
    if shutil.which("npm") is None:
        raise Missing(f"npm is missing: it installs {client.name}; on Debian: apt-get install npm, then `make clients`")
    for name in client.pins:
        shutil.copy(client.folder / name, target / name)
    _run(client, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=target)


def _run(client: Client, *command: str, cwd: Path, **environment: str) -> None:
    try:
        subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        end = "\n".join(error.stdout.splitlines()[-20:])
        line = " ".join(command)
        raise Missing(
            f"{client.name} could not be installed: `{line}` ended with {error.returncode}:\n{end}"
        ) from error


_GO = ("go.mod", "go.sum")
COSIGN_V3 = Client("cosign-v3", _GO, "cosign", build)
COSIGN_V2 = Client("cosign-v2", _GO, "cosign", build)
_NPM = ("package.json", "package-lock.json", ".npmrc")
SIGSTORE_JS = Client("sigstore-js", _NPM, "node_modules/.bin/node", npm_install)
AXE = Client("axe-core", _NPM, "node_modules/axe-core/axe.min.js", npm_install, "axe-core", HERE.parent / "browser")
REGISTRY = "registry"
CRANE = Client("go-containerregistry", (*_GO, "main.go"), "crane", build_registry)
"""go-containerregistry's client, and its registry beside it: see main.go."""
CREDENTIAL_CACHE, SPIFFE_AGENT = "gitsign-credential-cache", "spiffe-agent"
GITSIGN = Client("gitsign", (*_GO, "main.go"), "gitsign", build_gitsign)
"""gitsign, and beside it what keeps its certificates and an agent of ours that hands out identities: see main.go."""
DEX = Client("dex", _GO, "dex", build)
CLIENTS = (COSIGN_V3, COSIGN_V2, CRANE, GITSIGN, SIGSTORE_JS, AXE, DEX)


def install(client: Client) -> str:
    """Have ``client`` in the cache; the answer says so in one line.

    1. One at a time, over all checkouts: a lock file.
    2. Nothing to do when it is there.
    3. Made in a folder beside, which gets its name when it is whole.

    Raises:
        Missing: it could not be made.
    """
    began = time.monotonic()
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{client.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (client.home / client.program).is_file():
            return f"{client.name} {client.version} is in {client.home}"
        with tempfile.TemporaryDirectory(prefix=f"{client.name}-", suffix=".part", dir=cache()) as part:
            made = Path(part) / "made"
            made.mkdir()
            client.install(client, made)
            shutil.rmtree(client.home, ignore_errors=True)
            made.rename(client.home)
    return f"{client.name} {client.version} installed in {time.monotonic() - began:.0f} s into {client.home}"


def main() -> int:
    """Install every client; the answer is how many could not be had.

    The Go builds come one after the other, for each takes all cores; npm beside them.
    """

    def row(*clients: Client) -> int:
        return [_tell(client) for client in clients].count(False)

    print("installing the official clients (cosign compiles for some minutes the first time)", file=sys.stderr)
    with ThreadPoolExecutor(2) as pool:
        rows = (pool.submit(row, CRANE, COSIGN_V3, COSIGN_V2, GITSIGN, DEX), pool.submit(row, SIGSTORE_JS, AXE))
        return sum(done.result() for done in rows)


def _tell(client: Client) -> bool:
    try:
        print(install(client), file=sys.stderr)
    except (Missing, OSError, subprocess.TimeoutExpired) as error:
        print(f"{client.name}: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
