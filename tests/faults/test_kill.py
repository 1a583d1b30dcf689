# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under load: what was acknowledged stays, at its index, under every checkpoint ever given."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.chance import chosen_seed
from tests.faults.audit import Checkpoint, Journal, audit, find_sent, read_key, read_log
from tests.faults.writers import Writers
from tests.stack_process import RunningStack, start_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 6
ACKNOWLEDGED = 1500
MOST_KILLS = 60
"""A slow machine needs more rounds for the same number of acknowledgements."""


async def load_until_killed(stack: RunningStack, writers: Writers, delay_s: float) -> None:
    """Kill the stack ``delay_s`` seconds after its writers began."""
    died = asyncio.Event()

    async def kill() -> None:
        await asyncio.sleep(delay_s)
        await asyncio.to_thread(stack.kill)
        died.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        group.create_task(writers.run(stack.url, died))


def check(stack: RunningStack, writers: Writers, earlier: list[Checkpoint]) -> int:
    """Audit the log as it is now; its checkpoint counts from then on. The answer is its size."""
    now, entries = read_log(stack.url)
    audit(entries, now, writers.journal.read(), earlier, read_key(stack.trusted_root))
    for index, sent in writers.located.items():
        assert find_sent(entries[index]) == (sent.digest, sent.signature)
    earlier.append(now)
    return now.size


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path):
    seed = chosen_seed()
    moments = random.Random(seed)
    journal = Journal(tmp_path / "journal")
    writers, earlier = Writers(journal), []
    kills = size = 0
    while kills < KILLS or (writers.acknowledged < ACKNOWLEDGED and kills < MOST_KILLS):
        stack = start_stack(tmp_path, "--data", tmp_path / "data")
        try:
            size = check(stack, writers, earlier)
            asyncio.run(load_until_killed(stack, writers, moments.uniform(0.05, 1)))
        finally:
            stack.kill()
        kills += 1
    stack = start_stack(tmp_path, "--data", tmp_path / "data")
    try:
        size = check(stack, writers, earlier)
        stack.stop()
    finally:
        stack.kill()
        journal.close()
    print(
        f"\nseed {seed}: {kills} kills, {writers.acknowledged} acknowledged, 0 lost, {len(writers.located)} committed without"
        f" an answer and found by the retry, {len(writers.unknown)} unknown at the end, {size} entries"
    )
    assert writers.acknowledged >= ACKNOWLEDGED
