# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a worker or of the sequencer under load: nothing acknowledged is lost, nothing is there twice, and it heals by itself."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chance import chosen_seed
from tests.faults.audit import Journal, audit, find_sent, read_key, read_log
from tests.faults.writers import Writers
from tests.ports import free_port
from tests.stack_process import SIGBOX, STOP_S, environment, running_stack, sigbox, start_stack
from tests.until import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

WORKERS = 2
KILLS = 10
ACKNOWLEDGED = 300
MOST_KILLS = 40
"""A slow machine needs more of them for the same number of acknowledgements."""
HEALED_S = 5.0
"""The issue's bound, from the kill to an answer of every role."""
GIVE_UP_S = 60


def children(pid: int) -> list[int]:
    """In the order in which they were started; the first one is the sequencer, until it is killed."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()))


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=GIVE_UP_S) as answer:
            return bool(json.loads(answer.read())["ready"])
    except OSError:
        return False


async def healed(url: str, killed_at: float) -> float:
    """Seconds until every role answers, all workers there."""
    while not await asyncio.to_thread(ready, url):
        assert time.monotonic() < killed_at + GIVE_UP_S, "it did not heal in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - killed_at


async def kill_and_heal(
    supervisor: int, url: str, writers: Writers, moments: random.Random, seen: Counter[str]
) -> float:
    """The longest time that healing took."""
    over = asyncio.Event()
    longest = 0.0

    async def kill() -> None:
        nonlocal longest
        sequencer = children(supervisor)[0]
        while seen.total() < KILLS or (
            (writers.acknowledged < ACKNOWLEDGED or len(seen) < 2) and seen.total() < MOST_KILLS
        ):
            await asyncio.sleep(moments.uniform(0.1, 0.6))
            there = children(supervisor)
            assert len(there) == WORKERS + 1
            victim = moments.choice([sequencer, *there])
            os.kill(victim, signal.SIGKILL)
            longest = max(longest, await healed(url, time.monotonic()))
            seen["sequencer" if victim == sequencer else "worker"] += 1
            if victim == sequencer:
                (sequencer,) = set(children(supervisor)) - set(there)
        over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        group.create_task(writers.run(url, over))
    return longest


@contextmanager
def whole_stack(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """The process that watches over the others, where they answer, and the trusted root."""
    with running_stack(folder, "--data", folder / "data", "--workers", str(WORKERS)) as stack:
        yield stack.process.pid, stack.url, stack.trusted_root


@contextmanager
def log_alone(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """The same of the log, served as a role of its own."""
    port, data = free_port(), folder / "data"
    done = sigbox("init", "--data", data, "--url", f"http://localhost:{port}", "--yes")
    assert done.returncode == 0, done.stderr
    words = ("serve", "log", "--data", data, "--listen", f"127.0.0.1:{port}", "--workers", WORKERS)
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen([*SIGBOX, *map(str, words)], env=environment(), stdout=output, stderr=output)
    try:
        wait_until(lambda: ready(f"http://127.0.0.1:{port}") or process.poll() is not None)
        yield process.pid, f"http://127.0.0.1:{port}", data / "public" / "trusted_root.json"
        process.terminate()
        assert process.wait(STOP_S) == 0, (folder / "log").read_text("utf-8", "replace")
    finally:
        process.kill()
        process.wait()


@pytest.mark.alone
@pytest.mark.parametrize("served", [whole_stack, log_alone])
def test_kill_9_of_any_process_loses_nothing_and_heals_by_itself(tmp_path: Path, served):
    seed = chosen_seed()
    moments, seen = random.Random(seed), Counter()
    journal = Journal(tmp_path / "journal")
    writers = Writers(journal, patient=True)
    with served(tmp_path) as (supervisor, url, trusted_root):
        longest = asyncio.run(kill_and_heal(supervisor, url, writers, moments, seen))
        now, entries = read_log(url)
        audit(entries, now, journal.read(), [], read_key(trusted_root))
        for index, sent in writers.located.items():
            assert find_sent(entries[index]) == (sent.digest, sent.signature)
    journal.close()
    print(
        f"\nseed {seed}: killed {dict(seen)}, {writers.acknowledged} acknowledged, 0 lost,"
        f" {len(writers.located)} committed without an answer and found by the retry, healed within {longest:.2f} s"
    )
    assert writers.acknowledged >= ACKNOWLEDGED
    assert longest <= HEALED_S
    assert set(seen) == {"sequencer", "worker"}


def test_when_the_supervisor_is_killed_the_others_end_and_leave_the_port_and_the_data(tmp_path: Path):
    where = ("--data", tmp_path / "data", "--listen", f"127.0.0.1:{free_port()}")
    stack = start_stack(tmp_path, *where, "--workers", str(WORKERS))
    left = children(stack.process.pid)
    stack.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    with running_stack(tmp_path, *where, "--workers", "1"):
        pass


def test_an_ephemeral_stack_ends_with_its_logs(tmp_path: Path):
    stack = start_stack(tmp_path, "--ephemeral", "--workers", "1")
    try:
        os.kill(children(stack.process.pid)[0], signal.SIGKILL)
        assert stack.process.wait(GIVE_UP_S) == 1
        assert "gone with their process" in stack.output()
        assert not stack.data.exists()
    finally:
        stack.kill()
