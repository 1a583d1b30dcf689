# SPDX-License-Identifier: Apache-2.0
"""Two processes of tests, in a session of their own: what is marked ``alone`` is alone, and the rest runs side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = 12
TRACE = """
import os, pytest, time

@pytest.mark.parametrize("number", range({tests}))
{mark}def test_leaves_a_trace(number):
    with open(os.environ["TRACE"], "a", buffering=1) as trace:
        trace.write("begin {name}\\n")
        time.sleep(0.01)  # long enough for another to come between
        trace.write("end {name}\\n")
"""
MEETING = """
import os, pathlib, time

def test_meets_the_other():
    folder = pathlib.Path(os.environ["TRACE"]).parent
    (folder / "{name}").touch()
    deadline = time.monotonic() + 30
    while not (folder / "{other}").exists():
        assert time.monotonic() < deadline, "the other did not run meanwhile"
        time.sleep(0.01)
"""


def session(folder: Path, **files: str) -> list[str]:
    """What the tests in ``files`` wrote."""
    tests, trace = folder / "tests", folder / "trace"
    tests.mkdir()
    for name, text in files.items():
        (tests / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-p", "tests.turns", "-c", os.devnull]
    done = subprocess.run(
        [*command, "-n", "2", "--dist", "loadfile", "--rootdir", tests, tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TRACE": str(trace)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return trace.read_text().splitlines() if trace.exists() else []


def traces(name: str, *, alone: bool) -> str:
    return TRACE.format(tests=TESTS, name=name, mark="@pytest.mark.alone\n" if alone else "")


@pytest.mark.parametrize("other", [True, False], ids=["both", "one of them"])
def test_a_test_that_is_marked_runs_while_no_other_does(tmp_path, other):
    seen = session(tmp_path, a=traces("a", alone=True), b=traces("b", alone=other))
    assert len(seen) == 4 * TESTS
    assert {line.split()[1] for line in seen} == {"a", "b"}
    for begin, end in zip(seen[::2], seen[1::2], strict=True):
        assert (begin.split()[0], end.split()) == ("begin", ["end", begin.split()[1]])


def test_tests_of_other_files_run_side_by_side(tmp_path):
    session(tmp_path, a=MEETING.format(name="a", other="b"), b=MEETING.format(name="b", other="a"))
