# SPDX-License-Identifier: Apache-2.0
"""F09: many processes start on one data directory at once; one serves, and the others say who."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.faults.writers import Sent
from tests.stack_process import READY_S, ROOT, SIGBOX, environment, sigbox, start_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

STARTS = 50
SAYS_S = 1.0
"""In which a start that comes too late says who was first."""


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    """One start on the data directory in ``folder``."""
    options = ("--listen", "127.0.0.1:0", "--data", str(folder / "data"), "--ready-file", str(folder / f"{name}.json"))
    return subprocess.Popen(
        [*SIGBOX, "up", *options],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> float | None:
    """Seconds of processor that it needed; None while it runs."""
    found, status, used = os.wait4(process.pid, os.WNOHANG)
    if found == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def check_refused(process: subprocess.Popen[str], owner: int) -> None:
    assert process.stderr is not None
    errors = process.stderr.read()
    assert process.returncode not in (0, 1), errors
    assert f"in use by process {owner}" in errors


def one_late(folder: Path, owner: int) -> float:
    """Seconds that another start took to say so, alone."""
    began = time.monotonic()
    process = start(folder, "late")
    process.wait(READY_S)
    seconds = time.monotonic() - began
    with process:
        check_refused(process, owner)
    return seconds


@pytest.mark.alone
def test_f09_of_many_starts_one_serves_and_the_others_name_it(tmp_path: Path):
    """Fifty at once wait for a processor most of the time: of each it is counted how much of one it needed, and one alone is timed."""
    processes = [start(tmp_path, str(number)) for number in range(STARTS)]
    running, spent = set(processes), []
    try:
        deadline = time.monotonic() + READY_S
        while not (ready := list(tmp_path.glob("*.json"))) or len(running) > 1:
            assert time.monotonic() < deadline, f"{len(running)} of {STARTS} are running"
            for one in tuple(running):
                if (seconds := ended(one)) is not None:
                    running.remove(one)
                    spent.append(seconds)
            time.sleep(0.02)
        (owner,) = running
        assert json.loads(ready[0].read_bytes())["pid"] == owner.pid
        for other in set(processes) - running:
            check_refused(other, owner.pid)
        late = [one_late(tmp_path, owner.pid) for _ in range(3)]
    finally:
        for one in processes:
            if one.returncode is None:
                one.kill()
            one.communicate()
    print(
        f"\nof {STARTS} starts {STARTS - 1} refused for {max(spent):.2f} s of processor each; one alone after {min(late):.2f} s"
    )
    assert max(spent) < SAYS_S
    assert min(late) < SAYS_S
    assert sigbox("fsck", "--data", tmp_path / "data").returncode == 0


def test_f09_a_deleted_lock_file_does_not_let_a_second_writer_in_unnoticed(tmp_path: Path):
    """The lock of the directory and those of the logs are gone; the fencing epoch inside each database still holds."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = start_stack(tmp_path / "first", "--data", tmp_path / "data")
    try:
        for lock in [tmp_path / "data" / "lock", *tmp_path.glob("data/*/*.lock")]:
            lock.unlink()
        second = start_stack(tmp_path / "second", "--data", tmp_path / "data")
        try:
            assert post(first.url) == 503
            assert post(second.url) == 201
        finally:
            second.kill()
    finally:
        first.kill()
    assert sigbox("fsck", "--data", tmp_path / "data").returncode == 0


def post(url: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/api/v2/log/entries", Sent.make().request(), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
