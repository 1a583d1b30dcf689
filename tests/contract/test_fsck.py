# SPDX-License-Identifier: Apache-2.0
"""``sigbox fsck``, and the same in the background of a stack: both find what the start did not look at (F07)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.writers import Sent
from tests.stack_process import RunningStack, running_stack, sigbox

LOGS = {"ct", "rekor", "rekor-v1"}
FORGET = "DELETE FROM seen WHERE idx = 7 AND prefix = (SELECT min(prefix) FROM seen WHERE idx = 7)"
WAIT_S = 60


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """The data directory of a stack that ended; its Rekor log has 40 entries."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, "--data", folder / "data") as stack:
        for _ in range(39):
            assert post(stack) == 201
        done = sigbox("fsck", "--data", stack.data, "--json")
        assert done.returncode == 0, done.stderr  # beside the stack that serves
        assert json.loads(done.stdout)["logs"]["rekor"]["entries"] == 40
    return stack.data


def post(stack: RunningStack) -> int:
    request = urllib.request.Request(f"{stack.url}/api/v2/log/entries", Sent.make().request())
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def change(data: Path, log: str, statement: str) -> None:
    with closing(sqlite3.connect(data / log / "log.db")) as connection, connection:
        assert connection.execute(statement).rowcount == 1


def test_an_intact_stack_is_told_so_log_by_log(stopped: Path):
    before = {path: path.read_bytes() for path in stopped.rglob("*.db")}
    done = sigbox("fsck", "--data", stopped)
    assert done.returncode == 0, done.stderr
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == LOGS
    assert "rekor: intact: 40 entries" in done.stdout
    found = json.loads(sigbox("fsck", "--data", stopped, "--json").stdout)
    assert found["intact"]
    assert set(found["logs"]) == LOGS
    assert {path: path.read_bytes() for path in stopped.rglob("*.db")} == before


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE entry SET leaf = x'00' WHERE idx = 7", "not those that were published"),
        ("UPDATE entry SET identity = x'00' WHERE idx = 7", "damaged"),
        ("DELETE FROM entry WHERE idx = 39", "not all in the log"),
        ("UPDATE head SET root = zeroblob(32)", "checkpoint is of size 40"),
    ],
)
def test_damage_is_found_and_the_other_logs_are_looked_at(stopped: Path, tmp_path: Path, statement, message):
    data = copied(stopped, tmp_path)
    change(data, "rekor", statement)
    done = sigbox("fsck", "--data", data, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["intact"]
    assert message in found["logs"]["rekor"]["problem"]
    assert found["logs"]["ct"]["intact"]
    assert found["logs"]["rekor-v1"]["intact"]
    assert "rekor: DAMAGED" in sigbox("fsck", "--data", data).stdout


def test_a_log_that_is_behind_its_anchor_or_gone_is_found(stopped: Path, tmp_path: Path):
    data = copied(stopped, tmp_path)
    change(data, "ct", "UPDATE head SET size = 0")
    (data / "rekor-v1" / "log.db").unlink()
    done = sigbox("fsck", "--data", data)
    assert done.returncode == 1
    assert "ct: DAMAGED: the log is empty, but a checkpoint of 1 has been published" in done.stdout
    assert (
        f"rekor-v1: DAMAGED: there is no database {data}/rekor-v1/log.db\n  hint: a log that nobody has" in done.stdout
    )
    assert not (data / "rekor-v1" / "log.db").exists()


def test_a_stack_that_was_only_made_is_whole_until_anything_says_that_it_has_served(tmp_path: Path):
    data = tmp_path / "data"
    assert sigbox("init", "--data", data).returncode == 0
    done = sigbox("fsck", "--data", data)
    assert (done.returncode, done.stdout.count("intact: it was never started")) == (0, len(LOGS)), done.stdout
    assert json.loads(sigbox("fsck", "--data", data, "--json").stdout)["intact"]
    (data / "anchor" / "ct.checkpoint").write_bytes(b"")
    done = sigbox("fsck", "--data", data)
    assert (done.returncode, done.stdout.count("DAMAGED")) == (1, len(LOGS)), done.stdout


def test_no_trace_of_a_log_is_damage_where_the_others_have_served(stopped: Path, tmp_path: Path):
    data = copied(stopped, tmp_path)
    for path in (*(data / "rekor").glob("log.db*"), data / "anchor" / "rekor.checkpoint"):
        path.unlink()
    done = sigbox("fsck", "--data", data)
    assert (done.returncode, "rekor: DAMAGED" in done.stdout) == (1, True), done.stdout


def test_a_directory_without_a_stack_is_a_usage_error(tmp_path: Path):
    done = sigbox("fsck", "--data", tmp_path)
    assert done.returncode == 2
    assert "holds no stack" in done.stderr


def test_an_ephemeral_stack_has_nothing_to_hash_and_is_not_called_damaged(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as stack:
        done = sigbox("fsck", "--data", stack.data)
    assert (done.returncode, "its logs are in memory" in done.stderr) == (2, True), done.stderr
    assert "DAMAGED" not in done.stdout


def test_a_stack_finds_in_its_background_what_its_start_did_not(stopped: Path, tmp_path: Path):
    data = copied(stopped, tmp_path)
    # The start hashes the last entries and the key index is trusted: this row is neither.
    change(data, "rekor", FORGET)
    with running_stack(tmp_path, "--data", data) as stack:
        deadline = time.monotonic() + WAIT_S
        while (faults := readiness(stack)) == [] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert any("entry 7 is not in the index of hashes" in fault for fault in faults)
        assert post(stack) == 503


def readiness(stack: RunningStack) -> list[str]:
    try:
        with urllib.request.urlopen(f"{stack.url}/readyz", timeout=20) as answer:
            return json.load(answer)["faults"]
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)["faults"]


def copied(stopped: Path, folder: Path) -> Path:
    return Path(shutil.copytree(stopped, folder / "data"))
