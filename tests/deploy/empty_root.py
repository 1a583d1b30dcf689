# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.deploy.empty_root BINARY``: the single executable where there is nothing else; ends ``make binary``.

As root it runs in a file system of its own, which holds the executable, glibc, zlib, /dev/null, an /etc/hosts that knows localhost, and
empty folders /tmp and /home. No Python, no shell. For others only the environment is empty.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GLIBC = ("libc", "libm", "libdl", "libpthread", "librt", "libutil", "libresolv")
"""Its parts; what the executable brings along is linked with them."""
ALICE = "alice@example.com"
PATIENCE_S = 60


class Root:
    """A folder that is the root of the file system for what runs in it."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder, self.alone = folder, os.geteuid() == 0
        for name in ("tmp", "home"):
            (folder / name).mkdir()
        shutil.copy2(binary, folder / "sigbox")
        if self.alone:
            for library in linked_with(binary):
                place = folder / library.relative_to("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(library, place)
            (folder / "dev").mkdir()
            os.mknod(folder / "dev" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            (folder / "etc").mkdir()
            (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")

    def path(self, name: str) -> str:
        """As what runs in it names it."""
        return f"/{name}" if self.alone else str(self.folder / name)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {"HOME": self.path("home"), "TMPDIR": self.path("tmp"), "NO_PROXY": "localhost,127.0.0.1"}
        entering = (shutil.which("chroot") or "chroot", str(self.folder)) if self.alone else ()
        return subprocess.Popen(
            [*entering, self.path("sigbox"), *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """What one command prints; it must end with ``code``."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, f"sigbox {' '.join(arguments)} ended with {process.returncode}:\n{output}"
        return output


def linked_with(binary: Path) -> set[Path]:
    """The shared libraries that the loader needs for it, the loader, and the other parts of glibc."""
    said = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    found = {Path(path) for path in re.findall(r"(/\S+\.so\S*)", said)}
    (place,) = {path.parent for path in found if path.name.startswith("libc.so")}
    return found | {path for name in GLIBC for path in place.glob(f"{name}.so.*")}


@contextmanager
def stack(root: Root) -> Iterator[float]:
    """A durable stack for the length of a block; the seconds from its start until every role answered."""
    ready, began = root.folder / "home" / "ready.json", time.monotonic()
    options = (
        "--listen",
        "127.0.0.1:0",
        "--data",
        root.path("home/data"),
        "--ready-file",
        root.path("home/ready.json"),
    )
    process = root.start("up", *options)
    try:
        while not ready.exists():
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() - began < PATIENCE_S, "it is not ready"
            time.sleep(0.005)
        yield time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def try_drivers(root: Root) -> None:
    """What only some need is inside too: each driver gets as far as what is not there."""
    database = ("--database", "postgresql://nobody@127.0.0.1:1/nothing", "--listen", "127.0.0.1:0")
    said = root.run("up", "--data", root.path("home/data-in-postgresql"), *database, code=4)
    assert "the log's database cannot be reached" in said, said
    (root.folder / "home" / "pin").write_text("1234")
    (root.folder / "home" / "pin").chmod(0o600)
    (root.folder / "home" / "module.so").write_text("no library")
    module, pin = root.path("home/module.so"), root.path("home/pin")
    key = f"ca=pkcs11:token=t;object=ca?module-path={module}&pin-source=file:{pin}"
    said = root.run("init", "--yes", "--data", root.path("home/data-in-token"), "--key", key, code=3)
    assert f"{module} is no PKCS#11 module: " in said, said


def main(binary: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="sigbox-root-") as folder:
        root = Root(Path(folder), binary)
        version = root.run("version").strip()
        with stack(root) as seconds:
            trust = root.path("home/data/public/trust_config.json")
            token = root.run("token", "--data", root.path("home/data"), "--email", ALICE).strip()
            for number in range(70):  # enough for verification by several processes
                (root.folder / "home" / f"{number}.txt").write_text(str(number))
            names = [root.path(f"home/{number}.txt") for number in range(70)]
            root.run("sign-blob", *names, "--trust-config", trust, "--identity-token", token)
            issuer = json.loads((root.folder / "home" / "ready.json").read_bytes())["oidc_issuer"]
            who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", issuer, "--trust-config", trust)
            root.run("verify-blob", *names, *who)
            (root.folder / "home" / "69.txt").write_text("changed")
            root.run("verify-blob", *names, *who, code=1)
        try_drivers(root)
        root.run("fsck", "--data", root.path("home/data"))
        root.run("demo")
        left = [path.name for path in (root.folder / "tmp").iterdir()]
        assert left == [], f"it left {left} in /tmp"
    where = "in an empty root" if root.alone else "with an empty environment (as root it would be in an empty root)"
    print(
        f"{version}, {binary.stat().st_size / 2**20:.0f} MiB: {where} ready after {seconds:.2f} s; signed, verified, refused"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
