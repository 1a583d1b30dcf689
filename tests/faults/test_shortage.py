# SPDX-License-Identifier: Apache-2.0
"""F15: files or memory run out while a stack serves. Requests are told to come back, nothing that was acknowledged is lost, no
processor is kept busy, and all is well again as soon as there is enough.

The limits are set from outside, on the running process.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.audit import Acknowledged, audit, read_key, read_log
from tests.faults.writers import Sent, parse_acknowledgement
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

PATIENCE_S = 20
BUSY_S = 0.6
"""Of a second, in which a loop that tries again at once is busy all the time; what a start leaves for later is done then, too."""
ENTRIES = "/api/v2/log/entries"
FILES = ("/tuf/timestamp.json", "/trusted_root.json", "/", "/search?q=abc", "/metrics", "/auth/device")
"""What opens a file when it is asked for, some of them for code that was not needed before."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    with running_stack(tmp_path, "--data", tmp_path / "data") as running:
        yield running


@contextmanager
def connected(stack: RunningStack) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(stack.url).port, timeout=PATIENCE_S)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def limited(stack: RunningStack, what: int, most: int) -> Iterator[None]:
    pid = stack.process.pid
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, what, (soft, hard))


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None = None) -> tuple[int, bytes, str | None]:
    connection.request("GET" if body is None else "POST", path, body, {"Host": "localhost"})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("Retry-After")


def add(connection: http.client.HTTPConnection, told: list[Acknowledged]) -> int:
    sent = Sent.make()
    status, body, _ = ask(connection, ENTRIES, sent.request())
    if status == 201:
        told.append(parse_acknowledgement(sent, json.loads(body)))
    return status


def audited(stack: RunningStack, told: list[Acknowledged]) -> None:
    now, entries = read_log(stack.url)
    audit(entries, now, told, [], read_key(stack.trusted_root))


def busy_s(stack: RunningStack) -> float:
    """Of processor time that it has used."""
    fields = Path(f"/proc/{stack.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_in_a_second(stack: RunningStack) -> float:
    """It looks once a second whether there is a file for another connection, so the first seconds may be busy."""
    began = busy_s(stack)
    time.sleep(1)
    return busy_s(stack) - began


@pytest.mark.alone
def test_a_process_without_a_file_to_open_says_503_and_goes_on_by_itself_f15(stack: RunningStack):
    told: list[Acknowledged] = []
    address = ("127.0.0.1", urlsplit(stack.url).port)
    with connected(stack) as connection, ExitStack() as crowd:
        assert add(connection, told) == 201
        with limited(stack, resource.RLIMIT_NOFILE, 3):
            for path in FILES:
                status, body, later = ask(connection, path)
                assert (status, later) == (503, "1"), (path, body)
                assert b"short of open files" in body
            assert [add(connection, told) for _ in range(20)] == [201] * 20  # the log's files are open
            assert ask(connection, "/checkpoint")[0] == 200
            for _ in range(100):
                crowd.enter_context(socket.create_connection(address, PATIENCE_S))
            assert any(busy_in_a_second(stack) < BUSY_S for _ in range(3)), "it goes on about those who wait"
            assert busy_in_a_second(stack) < BUSY_S, "nor does it begin again"
            assert add(connection, told) == 201
        crowd.close()
        deadline = time.monotonic() + PATIENCE_S
        with connected(stack) as another:
            while [ask(another, path)[0] for path in (*FILES, "/readyz")] != [200] * (len(FILES) + 1):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert add(another, told) == 201
    audited(stack, told)


def test_a_process_without_memory_loses_nothing_and_goes_on_by_itself_f15(stack: RunningStack):
    told: list[Acknowledged] = []
    large = b'{"dsseRequestV002":{"envelope":{"payload":"' + b"A" * 900_000 + b'"}}}'

    def send(number: int) -> int:
        try:
            with connected(stack) as connection:
                return ask(connection, ENTRIES, large)[0] if number % 2 else add(connection, told)
        except (ConnectionError, http.client.HTTPException):  # there was no room for what it sent
            return 0

    status = Path(f"/proc/{stack.process.pid}/status").read_text("ascii")
    used = int(status.partition("VmSize:")[2].split()[0]) * 1024
    with limited(stack, resource.RLIMIT_AS, used + 4 * 2**20), ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(send, range(200)))
    assert set(answers) <= {0, 201, 400, 503}
    assert {0, 503} & set(answers[1::2]), "there was enough memory"
    deadline = time.monotonic() + PATIENCE_S
    with connected(stack) as connection:
        while ask(connection, "/readyz")[0] != 200 or ask(connection, ENTRIES, large)[0] != 400:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert add(connection, told) == 201
    audited(stack, told)
