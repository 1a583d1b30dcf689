# SPDX-License-Identifier: Apache-2.0
"""F02, F05: every call of a log that changes the disk is killed at, or fails with EIO or ENOSPC, once, twice, for a while.

L12 is among them: a failure on the way back from a failure. After each, nothing acknowledged is lost or doubled.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.recorder import build_recorder
from tests.missing import missing
from tests.stack_process import ROOT, environment

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RUNS = 200


def inject(folder: Path, *options: str) -> tuple[int, list[str]]:
    """(number of failures, what broke)"""
    if shutil.which("gcc") is None:
        missing("gcc is missing: calls cannot be made to fail")
    settings = {
        "LD_PRELOAD": str(build_recorder(folder)),
        "RECORDER_ROOT": str(folder / "work"),
        "RECORDER_TRACE": os.devnull,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.injections", str(folder), *options],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["runs"], found["broken"]


def test_f02_no_failing_call_loses_or_doubles_an_entry(memory: Path):
    count, broken = inject(memory)
    print(f"\n{count} failures injected, {len(broken)} broke something")
    assert count >= RUNS
    assert not broken, "\n".join(broken)


def test_f02_control_a_store_that_takes_a_failed_commit_for_done_breaks(memory: Path):
    count, broken = inject(memory, "careless")
    print(f"\n{len(broken)} of {count} failures broke something, such as {broken[:1]}")
    assert any("has been published" in one for one in broken)
