# SPDX-License-Identifier: Apache-2.0
"""F09: many processes start on one data directory at once; one serves, and the others say who."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.faults.writers import Sent
from tests.stack_process import READY_S, ROOT, SIGBOX, environment, sigbox, start_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

STARTS = 8


def test_f09_of_many_starts_one_serves_and_the_others_name_it(tmp_path: Path):
    command = [*SIGBOX, "up", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
    processes = [
        subprocess.Popen(
            [*command, "--ready-file", str(tmp_path / f"{number}.json")],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(STARTS)
    ]
    try:
        deadline = time.monotonic() + READY_S
        while not (ready := list(tmp_path.glob("*.json"))) or sum(one.poll() is None for one in processes) > 1:
            assert time.monotonic() < deadline, [one.poll() for one in processes]
            time.sleep(0.02)
        (owner,) = [one for one in processes if one.poll() is None]
        assert json.loads(ready[0].read_bytes())["pid"] == owner.pid
        for other in set(processes) - {owner}:
            errors = other.communicate(timeout=READY_S)[1]
            assert other.returncode not in (0, 1), errors
            assert f"in use by process {owner.pid}" in errors
    finally:
        for one in processes:
            one.kill()
            one.communicate()
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
