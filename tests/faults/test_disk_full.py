# SPDX-License-Identifier: Apache-2.0
"""No room for one more byte while the stack serves (F04, F05): writers are told to come back, every read goes on, nothing that was
acknowledged is lost, and it goes on by itself when there is room again.

A limit on the size of files, set from outside on the running process, stands in for the full disk: every write beyond it
fails, in the database, its journal and the anchor alike.
"""

from __future__ import annotations

import json
import resource
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.faults.audit import Journal, audit, read_key, read_log
from tests.faults.writers import Sent, parse_acknowledgement
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RESUME_S = 10
ENTRIES = 20


def ask(stack: RunningStack, path: str, body: bytes | None = None) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(stack.url + path, body), timeout=RESUME_S) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def add(stack: RunningStack, journal: Journal) -> int:
    sent = Sent.make()
    status, text, headers = ask(stack, "/api/v2/log/entries", sent.request())
    if status == 201:
        journal.add(parse_acknowledgement(sent, json.loads(text)))
    else:
        assert (status, headers["Retry-After"]) == (503, "1"), text
        assert json.loads(text)["message"]
    return status


def roles(stack: RunningStack) -> tuple[int, dict[str, str]]:
    status, text, _ = ask(stack, "/readyz")
    return status, json.loads(text)["roles"]


def test_a_full_disk_stops_writers_and_only_while_it_is_full_f04_f05(tmp_path: Path):
    journal = Journal(tmp_path / "journal")
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        assert [add(stack, journal) for _ in range(ENTRIES)] == [201] * ENTRIES
        _, most = resource.prlimit(stack.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(stack.process.pid, resource.RLIMIT_FSIZE, (4096, most))
        began = time.monotonic()
        assert [add(stack, journal) for _ in range(5)] == [503] * 5
        assert time.monotonic() - began < 5
        status, answered = roles(stack)
        assert status == 503
        assert answered["rekor"].startswith("the log takes no entries: ")
        assert answered["ca"] == answered["trust"] == "ok"
        for _ in range(25):  # it looks once a second whether it can go on
            assert roles(stack)[0] == 503
            time.sleep(0.1)
        assert ask(stack, "/checkpoint")[0] == ask(stack, "/healthz")[0] == 200
        before, still = read_log(stack.url)  # every entry, out of the database
        assert len(still) == before.size == ENTRIES + 1

        resource.prlimit(stack.process.pid, resource.RLIMIT_FSIZE, (most, most))
        deadline = time.monotonic() + RESUME_S
        while add(stack, journal) != 201:
            assert time.monotonic() < deadline, stack.output()
            time.sleep(0.1)
        assert roles(stack)[0] == 200
        now, entries = read_log(stack.url)
        audit(entries, now, journal.read(), [], read_key(stack.trusted_root))
        assert "Traceback" not in stack.output()
    journal.close()
