# SPDX-License-Identifier: Apache-2.0
"""The blocks of docs/testing.md do what they say: each is a file, put on the disk and run as its reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.missing import missing
from tests.stack_process import ROOT, environment

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"```(\w+)\n(?:#|//) (\S+)\n(.*?)```", re.DOTALL)
FILES = {name: code for _, name, code in BLOCK.findall((ROOT / "docs" / "testing.md").read_text("utf-8"))}
PYTHON = sorted(name for name in FILES if name.endswith(".py"))
LIMIT_S = 300


def run(folder: Path, *command: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """With this checkout's ``sigbox`` on the PATH."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    (temporary := folder / "temporary").mkdir()
    env = environment(PATH=path, TMPDIR=str(temporary), **extra)
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip


def written(folder: Path, name: str) -> Path:
    (folder / name).write_text(FILES[name])
    return folder / name


def test_every_block_of_code_is_a_file_that_is_run_but_the_one_in_java():
    languages = re.findall(r"^```(\w+)$", (ROOT / "docs" / "testing.md").read_text("utf-8"), re.MULTILINE)
    assert len(languages) == len(FILES)
    assert {*PYTHON, "signing_test.sh", "sigbox_test.go", "Sigbox.java"} == set(FILES)
    assert {"test_release.py", "test_library.py", "test_others.py", "test_time.py", "test_plain.py"} == set(PYTHON)


@pytest.mark.parametrize("name", PYTHON)
def test_the_tests_in_python_pass(tmp_path: Path, name: str):
    file = written(tmp_path, name)
    done = run(
        tmp_path, sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", file
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{FILES[name].count('def test_')} passed" in done.stdout


def test_the_shell_script_signs_verifies_and_leaves_nothing(tmp_path: Path):
    done = run(tmp_path, "sh", written(tmp_path, "signing_test.sh"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "alice@example.com signed it" in done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_shell_script_fails_where_the_stack_does_not_start(tmp_path: Path):
    done = run(tmp_path, "sh", written(tmp_path, "signing_test.sh"), SIGBOX_LOG_FORMAT="nonsense")
    assert done.returncode == 1
    assert "nonsense" in done.stdout
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_test_in_go_passes(tmp_path: Path):
    if shutil.which("go") is None:
        missing("go is absent; docs/testing.md has a block of it")
    written(tmp_path, "sigbox_test.go")
    (tmp_path / "go.mod").write_text("module release\n\ngo 1.21\n")
    # -trimpath: the standard library is in the cache already, where clients were built.
    where = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod -trimpath", "GOWORK": "off", "GOCACHE": go_cache()}
    done = run(tmp_path, "go", "test", "-count=1", "-v", ".", **where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--- PASS: TestATokenHasThreeParts" in done.stdout


def go_cache() -> str:
    return subprocess.run(
        ["go", "env", "GOCACHE"], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
