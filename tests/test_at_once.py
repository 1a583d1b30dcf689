# SPDX-License-Identifier: Apache-2.0
"""Tests of one group run at the same time, those that were chosen and no others, and each says what became of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEETING = """
import pathlib, pytest, threading

meeting = threading.Barrier(3)

@pytest.fixture(scope="module")
def shared():
    return []

@pytest.mark.at_once("meeting")
@pytest.mark.parametrize("number", range(3))
def test_meets(tmp_path, shared, number):
    assert not list(tmp_path.iterdir()), "a folder of its own"
    (tmp_path / "mine").touch()
    meeting.wait(30)
    assert number != 1, "as the middle one must"
    shared.append(number)

def test_nothing_goes_on_afterwards(shared):
    assert sorted(shared) == [0, 2]
    assert threading.active_count() == 1
"""
ALONE = """
import pytest

ran = []

@pytest.mark.at_once("a")
@pytest.mark.parametrize("fruit", ["apple", "pear", "plum"])
def test_is_one_of_three(fruit):
    ran.append(fruit)

@pytest.mark.at_once("b")
def test_is_of_another_group():
    ran.append("b")

def test_what_has_run():
    assert ran == ["pear"]
"""
TOO_SHORT = """
import pytest

@pytest.fixture
def short():
    return 1

@pytest.mark.at_once("a")
@pytest.mark.parametrize("number", range(2))
def test_asks_for_what_ends_with_it(short, number):
    pass
"""


def session(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-ra",
        "-p",
        "tests.at_once",
        "-c",
        os.devnull,
        "--rootdir",
        folder,
    ]
    return subprocess.run(
        [*command, *options, folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_meet_and_only_the_one_that_fails_fails(tmp_path: Path):
    done = session(tmp_path, MEETING)
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    assert "FAILED test_it.py::test_meets[1] - AssertionError: as the middle one must" in done.stdout
    assert ">       assert number != 1" in done.stdout, "the line is shown, as of every test"


def test_what_was_not_chosen_does_not_run(tmp_path: Path):
    done = session(tmp_path, ALONE, "-k", "pear or what_has_run")
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout


def test_what_ends_with_a_test_cannot_be_shared(tmp_path: Path):
    done = session(tmp_path, TOO_SHORT)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "is marked at_once and asks for short" in done.stdout
