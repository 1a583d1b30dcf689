# SPDX-License-Identifier: Apache-2.0
"""`make wheelhouse`: its archive installs sigbox where nothing can be fetched, and nothing that was changed on the way."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.cli.version import VERSION
from tests.stack_process import ROOT
from tests.test_requirements import DRIVERS, lines, pins

pytestmark = pytest.mark.slow
MAKE = ROOT / "deploy" / "wheelhouse" / "make.py"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Iterator[Path]:
    """The archive as it lies on a machine without a network."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    done = subprocess.run([sys.executable, MAKE, folder], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    archive, digest = done.stdout.split()
    assert hashlib.sha256(Path(archive).read_bytes()).hexdigest() == digest
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / Path(archive).name.removesuffix(".tar.gz")


def offline(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Without a setting of this machine, and with a proxy that is not there for whatever asks for one."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    env |= {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "localhost,127.0.0.1"}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


def test_the_make_target_runs_the_same_script():
    recipe = re.search(r"^wheelhouse:.*\n\t@?(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe is not None
    assert recipe[1] == f"$(BIN)/python {MAKE.relative_to(ROOT)} $(DIST)"


def test_it_holds_what_is_pinned_for_this_machine_and_our_own_wheel(unpacked: Path):
    requirements = (unpacked / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.]+==[\w.!+]+ --hash=sha256:[0-9a-f]{64}", line) for line in requirements)
    held = {name.replace("_", "-"): version for name, version in pins(requirements).items()}
    assert held.pop("sigbox") == VERSION
    wanted = [line for name in ("run", *DRIVERS) for line in lines(name)]
    pinned = {name.replace("_", "-"): version for name, version in pins(wanted).items()}
    assert held.items() <= pinned.items()
    absent = set(pinned) - set(held)
    conditional = {line.split("==")[0].lower().replace("_", "-") for line in wanted if ";" in line}
    assert absent <= conditional, "pip left out only what another Python or system needs"
    assert len(list(unpacked.glob("*.whl"))) == len(requirements)


def test_its_own_lines_install_it_offline_and_what_is_installed_signs(unpacked: Path, tmp_path):
    text = (unpacked / "INSTALL.txt").read_text()
    commands = re.findall(r"^  (\S.*)$", text, re.MULTILINE)
    assert len(commands) == 3
    place = tmp_path / "installed"
    for command in commands:
        words = shlex.split(command.replace("/opt/sigbox", str(place)))
        done = offline(*(sys.executable if word == "python3" else word for word in words), cwd=unpacked)
        assert done.returncode == 0, done.stdout + done.stderr
    assert VERSION in done.stdout
    demo = offline(place / "bin" / "sigbox", "demo", cwd=tmp_path)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    program = "import stack, asyncpg, pkcs11; print(stack.__file__)"
    listed = offline(place / "bin" / "python", "-P", "-c", program, cwd=tmp_path)
    assert listed.stdout.startswith(str(place)), "it is not the checkout that ran"


def test_a_wheel_that_was_changed_is_not_installed(unpacked: Path, tmp_path):
    (wheel,) = unpacked.glob("sigbox-*.whl")
    original = wheel.read_bytes()
    wheel.write_bytes(original + b"\0")
    try:
        target = ("--no-index", "--no-deps", "--require-hashes", "--find-links", ".", "--target", tmp_path / "t")
        done = offline(sys.executable, "-m", "pip", "install", *target, "-r", "requirements.txt", cwd=unpacked)
    finally:
        wheel.write_bytes(original)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
