# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a script, not a package
"""An archive from which sigbox is installed where no package index can be reached: ``make wheelhouse``.

1. Fetch the wheels that requirements/run.txt pins, and those of the drivers for PostgreSQL and for PKCS#11 tokens, for this
   Python on this kind of machine; pip compares their hashes.
2. Build sigbox's own wheel with the pinned backend, without anything else.
3. Write requirements.txt: one line for each wheel, its version and its SHA-256, and no other file counts.
4. Pack all of it with INSTALL.txt, in one order and with one time, so that the same wheels give the same archive.

Run by the Python of a virtual environment that has requirements/run.txt; the standard library is enough otherwise.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PINNED = ("run.txt", "postgres.txt", "pkcs11.txt")
EPOCH = 315532800
"""1980-01-01, the earliest time that a wheel can have."""
INSTALL = """\
sigbox {version}, for {python} on {platform}. Nothing is fetched:

  python3 -m venv /opt/sigbox
  /opt/sigbox/bin/pip install --no-index --no-deps --require-hashes --find-links . --requirement requirements.txt
  /opt/sigbox/bin/sigbox version
"""


def main() -> int:
    """Make the archive in the folder that is named; its path goes to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sigbox-wheelhouse-") as temporary:
        wheels = Path(temporary)
        fetch(wheels)
        archive = pack(wheels, folder)
    sys.stdout.write(f"{archive}\n{hashlib.sha256(archive.read_bytes()).hexdigest()}\n")
    return 0


def fetch(wheels: Path) -> None:
    """Steps 1 and 2."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    pinned = [part for name in PINNED for part in ("--requirement", ROOT / "requirements" / name)]
    exactly = ("--no-deps", "--require-hashes", *pinned)
    subprocess.run([*pip, "download", "--only-binary", ":all:", "--dest", wheels, *exactly], check=True)  # noqa: S603 - our own command line
    own = ("--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT)
    subprocess.run([*pip, "wheel", *own], check=True)  # noqa: S603 - the same


def pack(wheels: Path, folder: Path) -> Path:
    """Steps 3 and 4: the archive, named after the version of sigbox and the machine that it is for."""
    files = sorted(wheels.glob("*.whl"))
    version = next(name_and_version(file)[1] for file in files if name_and_version(file)[0] == "sigbox")
    python, platform = f"cp{sys.version_info.major}{sys.version_info.minor}", sysconfig.get_platform()
    stem = f"sigbox-{version}-{python}-{platform}"
    text = INSTALL.format(version=version, python=f"CPython 3.{sys.version_info.minor}", platform=platform)
    contents = {
        "INSTALL.txt": text.encode(),
        "requirements.txt": "".join(map(requirement, files)).encode(),
        **{file.name: file.read_bytes() for file in files},
    }
    archive = folder / f"{stem}.tar.gz"
    with (
        archive.open("wb") as output,
        gzip.GzipFile("", "wb", fileobj=output, mtime=EPOCH) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in contents.items():
            member = tarfile.TarInfo(f"{stem}/{name}")
            member.size, member.mtime, member.mode = len(data), EPOCH, 0o644
            tar.addfile(member, io.BytesIO(data))
    return archive


def requirement(wheel: Path) -> str:
    """The line that pins a wheel to its bytes."""
    name, version = name_and_version(wheel)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def name_and_version(wheel: Path) -> tuple[str, str]:
    """As its file name has them (the binary distribution format, "File name convention")."""
    name, version, *_ = wheel.name.split("-")
    return name, version


if __name__ == "__main__":
    sys.exit(main())
