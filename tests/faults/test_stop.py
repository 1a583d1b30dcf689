# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load (F11): what is under way is finished and durable, nobody is reset, the end comes in time with 0."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from stack.gate import QUIET_S
from tests.chance import chosen_seed
from tests.faults.audit import Acknowledged, audit, read_key, read_log
from tests.faults.writers import Sent, parse_acknowledgement
from tests.machine import slowness
from tests.stack_process import ROOT, SIGBOX, RunningStack, environment, running_stack, start_stack
from tests.until import until, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ROUNDS = 20
CLIENTS = 200
EXIT_S = 10
AT_ONCE_S = 1.5
GIVE_UP_S = 60
NOT_BEGUN = (b"Could not import runpy", b"Fatal Python error: init_")
"""What an interpreter says that was interrupted while it imported its own modules."""


async def write(session: aiohttp.ClientSession, told: list[Acknowledged], seen: Counter[str]) -> None:
    """One client in a closed loop, until the stack takes no connection any more.

    A connection on which a client is quiet may be closed; one that gets no processor for so long is, without meaning it.
    """
    answered = time.monotonic()
    while True:
        sent = Sent.make()
        quiet = time.monotonic() - answered > QUIET_S / 2
        try:
            async with session.post("/api/v2/log/entries", data=sent.request()) as response:
                text = await response.text()
        except aiohttp.ClientConnectorError:
            seen["not connected"] += 1
            return
        except (aiohttp.ClientError, ConnectionError) as error:
            seen["quiet" if quiet else f"cut off: {error!r}"] += 1
            return
        answered = time.monotonic()
        seen[str(response.status)] += 1
        if response.status == 201:
            told.append(parse_acknowledgement(sent, json.loads(text)))
        else:
            assert response.status == 503, text


async def stop_under_load(stack: RunningStack, told: list[Acknowledged], delay_s: float) -> tuple[Counter[str], float]:
    """What the clients saw, and how long the process took to end."""
    seen: Counter[str] = Counter()
    enough = len(told) + CLIENTS  # a busy machine may need more time for it
    async with aiohttp.ClientSession(stack.url, connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        writers = [asyncio.create_task(write(session, told, seen)) for _ in range(CLIENTS)]
        await until(lambda: len(told) > enough)
        await asyncio.sleep(delay_s)  # the answers come in batches: the moment is not the end of one
        began = time.monotonic()
        stack.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(stack.process.wait, GIVE_UP_S)
        elapsed = time.monotonic() - began
        await asyncio.gather(*writers)
    assert code == 0, stack.output()
    return seen, elapsed


@pytest.mark.alone
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_sigterm_under_load_cuts_nobody_off_and_loses_nothing_f11(tmp_path: Path, options: tuple[str, ...]):
    seed = chosen_seed()
    moments, total = random.Random(seed), Counter()
    told: list[Acknowledged] = []  # in memory: a journal that waits for the disk would hold all clients up at once
    ends: list[float] = []
    for _ in range(ROUNDS):
        stack = start_stack(tmp_path, "--data", tmp_path / "data", *options)
        try:
            seen, elapsed = asyncio.run(stop_under_load(stack, told, moments.uniform(0.3, 0.8)))
        finally:
            stack.kill()
        total += seen
        ends.append(elapsed)
    print(f"\nseed {seed}: {dict(total)}; ended within {max(ends):.2f} s")
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        now, entries = read_log(stack.url)
        audit(entries, now, told, [], read_key(stack.trusted_root))
    assert total["201"] > ROUNDS * CLIENTS
    assert not [what for what in total if what.startswith("cut off")], total
    assert max(ends) < EXIT_S


@pytest.mark.alone
def test_the_second_signal_ends_it_at_once_and_leaves_no_temporary_directory_f11(tmp_path: Path):
    stack = start_stack(tmp_path, "--ephemeral", "--control")
    url = urlsplit(stack.url)
    try:
        with socket.create_connection((url.hostname, url.port)) as busy:
            busy.sendall(b"POST /_ctl/token HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
            stack.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "SIGTERM" in stack.output())
            assert stack.process.poll() is None, "a request is under way"
            began = time.monotonic()
            stack.process.send_signal(signal.SIGTERM)
            assert stack.process.wait(GIVE_UP_S) == 128 + signal.SIGTERM
            elapsed = time.monotonic() - began
            assert elapsed < AT_ONCE_S
    finally:
        stack.kill()
    assert not stack.data.exists()
    assert not (tmp_path / "ready.json").exists()


def test_a_request_that_never_ends_does_not_hold_the_end_up_f11(tmp_path: Path):
    stack = start_stack(tmp_path, "--ephemeral", "--control")
    url = urlsplit(stack.url)
    try:
        with socket.create_connection((url.hostname, url.port)) as busy:
            busy.sendall(b"POST /_ctl/token HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
            stack.process.send_signal(signal.SIGTERM)
            assert stack.process.wait(GIVE_UP_S) == 0, stack.output()
    finally:
        stack.kill()
    assert "Traceback" not in stack.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_leaves_nothing_behind_f11(tmp_path: Path, number: signal.Signals):
    """At moments over the whole start; the last ones find it running. Before ours, the interpreter itself begins: it may say so."""
    slower = slowness()
    for moment in [step * 0.04 * slower for step in range(3, 11)]:
        (tmp_path / "temporary").mkdir()
        process = subprocess.Popen(
            [*SIGBOX, "up", "--ephemeral", "--listen", "127.0.0.1:0"],
            cwd=ROOT,
            env=environment(TMPDIR=str(tmp_path / "temporary")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        time.sleep(moment)
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=GIVE_UP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        left = list((tmp_path / "temporary").iterdir())
        if any(said in errors for said in NOT_BEGUN):
            assert not left
            (tmp_path / "temporary").rmdir()
            continue
        assert process.returncode in (0, 130, -number), errors
        assert process.returncode == -number or not left, f"{moment} s: {left}\n{errors.decode()}"
        assert b"Traceback" not in errors or process.returncode == -number, errors.decode()
        (tmp_path / "temporary").rmdir()
