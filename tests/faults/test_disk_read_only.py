# SPDX-License-Identifier: Apache-2.0
"""F05: the file system becomes read-only under a stack that serves, as one does after an error of its disk.

Writers are told to come back, every read goes on, nothing that was acknowledged is lost, and when it may be written again the log
goes on by itself. Each call that changes the disk is made to fail for it, in the running process (``recorder.c``): a mount that
somebody writes to cannot be made read-only by request, and the kernel says nothing before the first write fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.faults.audit import Acknowledged, audit, read_key, read_log
from tests.faults.recorder import build_recorder
from tests.faults.writers import Sent, parse_acknowledgement
from tests.missing import missing
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RESUME_S = 10
ENTRIES = 300
"""More than a tile has: what is read lies in the database, and not in the memory of the process."""
READS = (
    "/checkpoint",
    "/tile/0/000",
    "/tile/entries/000",
    "/ct/v1/get-entries?start=0&end=0",
    "/ct/v1/get-sth",
    "/api/v1/log",
    "/api/v1/log/entries?logIndex=0",
    "/search.json?q=sha256:" + "0" * 64,
    "/tuf/1.root.json",
    "/healthz",
)


def ask(stack: RunningStack, path: str, body: bytes | None = None) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(stack.url + path, body), timeout=RESUME_S) as answer:
            return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def add(stack: RunningStack, told: list[Acknowledged]) -> int:
    sent = Sent.make()
    status, text, headers = ask(stack, "/api/v2/log/entries", sent.request())
    if status == 201:
        told.append(parse_acknowledgement(sent, json.loads(text)))
    else:
        assert (status, headers["Retry-After"]) == (503, "1"), text
        assert "the log takes no entries" in json.loads(text)["message"]
    return status


def stamp(stack: RunningStack) -> tuple[int, str]:
    """A timestamp of nothing in particular."""
    wanted = {"artifactHash": "A" * 43 + "=", "hashAlgorithm": "sha256"}
    url = f"{stack.url}/api/v1/timestamp"
    request = urllib.request.Request(url, json.dumps(wanted).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=RESUME_S) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def sign(stack: RunningStack, artifact: Path) -> subprocess.CompletedProcess[str]:
    bundle = artifact.with_suffix(".sigstore.json")
    return sigbox(
        *("sign-blob", artifact, "--bundle", bundle, "--identity-token", stack.token("dev@example.com")),
        *("--trusted-root", stack.trusted_root, "--signing-config", stack.signing_config),
    )


@pytest.fixture
def switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, nothing below ``data`` can be changed by a stack that is started from here."""
    if shutil.which("gcc") is None:
        missing("gcc is missing: calls cannot be made to fail")
    file = tmp_path / "read-only"
    settings = {
        "LD_PRELOAD": build_recorder(tmp_path),
        "RECORDER_ROOT": tmp_path / "data",
        "RECORDER_TRACE": os.devnull,
        "RECORDER_READ_ONLY": file,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return file


def test_a_file_system_that_becomes_read_only_stops_writers_and_no_reader_f05(switch: Path, tmp_path: Path):
    told: list[Acknowledged] = []
    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"content")
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        assert [add(stack, told) for _ in range(ENTRIES)] == [201] * ENTRIES
        before = {path: ask(stack, path)[:2] for path in READS}
        assert {status for status, _ in before.values()} == {200}
        assert stamp(stack)[0] == 200

        switch.touch()
        refused = sign(stack, artifact)
        assert refused.returncode != 0
        assert "the log takes no entries" in refused.stderr
        assert not artifact.with_suffix(".sigstore.json").exists()
        for _ in range(5):
            assert add(stack, told) == 503
            answers = {path: ask(stack, path)[:2] for path in READS}
            assert {path for path, (status, _) in answers.items() if status != 200} == set()
            assert all(answers[path] == before[path] for path in READS[:3])  # the others are signed anew each time
        status, text, _ = ask(stack, "/readyz")
        assert status == 503
        assert "readonly" in json.loads(text)["roles"]["rekor"]
        status, text = stamp(stack)
        assert status == 503
        assert "timeNotAvailable" in text
        assert str(tmp_path) not in text

        switch.unlink()
        deadline = time.monotonic() + RESUME_S
        while add(stack, told) != 201 or ask(stack, "/readyz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert stamp(stack)[0] == 200
        signed = sign(stack, artifact)
        assert signed.returncode == 0, signed.stderr
        now, entries = read_log(stack.url)
        audit(entries, now, told, [], read_key(stack.trusted_root))
        assert "Traceback" not in stack.output()
