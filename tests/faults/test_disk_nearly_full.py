# SPDX-License-Identifier: Apache-2.0
"""F04: a real disk fills up. Writes are refused with the reason before the wall, all reads go on, and so do writes when there is room.

The disk is a file system in memory, mounted where nobody but the stack and this test's helper can see it: by `unshare`, as root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.audit import Acknowledged, audit, read_key, read_log
from tests.faults.writers import Sent, parse_acknowledgement
from tests.stack_process import READY_S, ROOT, SIGBOX, STOP_S, environment

pytestmark = [pytest.mark.faults, pytest.mark.slow]

DISK_MIB = 48
AT_ONCE_S = 1.0
RESUME_S = 60
SCRIPT = f'mount -t tmpfs -o size={DISK_MIB}m none "$0" && exec "$@"'


class Full:
    """A stack on a disk of its own; the disk is seen through ``/proc`` by whoever may."""

    def __init__(self, folder: Path) -> None:
        data, ready = folder / "disk", folder / "ready.json"
        data.mkdir()
        command = (*SIGBOX, "up", "--listen", "127.0.0.1:0", "--data", data / "data", "--ready-file", ready)
        self.process = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh", "-ec", SCRIPT, data, *command],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_S
        while not ready.exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.url = json.loads(ready.read_bytes())["url"]
        self.disk = Path(f"/proc/{self.process.pid}/root{data}")
        self.told: list[Acknowledged] = []

    def fill(self, leave_mib: int) -> None:
        """Take all of the disk but this."""
        state = os.statvfs(self.disk)
        (self.disk / "ballast").write_bytes(bytes(state.f_bavail * state.f_frsize - leave_mib * 2**20))

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes, str | None]:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", body, timeout=RESUME_S) as answer:
                return answer.status, answer.read(), None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers["Retry-After"]

    def add(self) -> tuple[int, str, str | None]:
        """An entry, remembered when it was acknowledged; status, text and ``Retry-After``."""
        sent = Sent.make()
        status, body, later = self.ask("/api/v2/log/entries", sent.request())
        if status == 201:
            self.told.append(parse_acknowledgement(sent, json.loads(body)))
        return status, body.decode(), later


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Full]:
    assert shutil.which("unshare"), "util-linux"
    stack = Full(tmp_path)
    try:
        yield stack
        stack.process.terminate()
        assert stack.process.wait(STOP_S) == 0
    finally:
        stack.process.kill()
        stack.process.wait(STOP_S)


@pytest.mark.alone
def test_a_disk_that_fills_up_stops_writes_before_the_wall_and_no_read_f04(full: Full):
    assert [full.add()[0] for _ in range(20)] == [201] * 20
    now, entries = read_log(full.url)
    full.fill(leave_mib=8)
    at_once_s = AT_ONCE_S
    deadline = time.monotonic() + at_once_s
    while (refused := full.add())[0] == 201:
        assert time.monotonic() < deadline, "it goes on writing"
    status, text, later = refused
    assert (status, later) == (503, "1")
    assert "the disk is full" in json.loads(text)["message"]
    for _ in range(20):
        began = time.monotonic()
        assert full.add()[0] == 503
        assert time.monotonic() - began < at_once_s
    status, body, _ = full.ask("/readyz")
    assert status == 503
    assert "the disk is full" in json.loads(body)["roles"]["rekor"]
    then, still = read_log(full.url)  # every entry, out of the database
    assert then.size >= now.size
    assert still[: len(entries)] == entries
    for path in ("/checkpoint", "/healthz", "/tuf/1.root.json", "/ct/v1/get-entries?start=0&end=0", "/api/v1/log"):
        assert full.ask(path)[0] == 200, path

    (full.disk / "ballast").unlink()
    deadline = time.monotonic() + RESUME_S
    while full.add()[0] != 201 or full.ask("/readyz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    now, entries = read_log(full.url)
    audit(entries, now, full.told, [], read_key(full.disk / "data" / "public" / "trusted_root.json"))
