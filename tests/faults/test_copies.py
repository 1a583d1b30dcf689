# SPDX-License-Identifier: Apache-2.0
"""F08, F03b: backups put back, whole and in part, and copies that were taken while the log was written."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from sigcore.errors import Refused, SigError
from tests.chance import chosen_seed
from tests.faults.injections import BASE, make_log, submission
from tlog.log import Log

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RUNS = 20
COPIES = 20
DATABASE, ANCHOR = ("log.db", "log.db-wal"), ("anchor.checkpoint",)


def copy(source: Path, target: Path, names: Sequence[str]) -> None:
    """Put files in place of others, as a restore does; the shared memory of SQLite goes."""
    target.mkdir(exist_ok=True)
    for name in names:
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    for left in target.glob("*-shm"):
        left.unlink()


async def grow(folder: Path, first: int, end: int) -> Log:
    """A log that is open, with the entries below ``end``."""
    log = make_log(folder)
    await log.start()
    await asyncio.gather(*(log.submit(submission(number)) for number in range(first, end)))
    return log


async def opened_size(folder: Path) -> int:
    """The size of a log that opens and passes the full audit."""
    log = make_log(folder)
    await log.start()
    try:
        await log.audit()
        return log.size
    finally:
        await log.stop()


@pytest.mark.parametrize("number", range(RUNS))
async def test_f08_a_restored_database_is_noticed_and_nothing_is_signed_on_it(tmp_path: Path, number: int):
    chance = random.Random(number)
    backup_size = chance.randint(1, BASE)
    size = backup_size + chance.randint(1, 60)
    live, backup = tmp_path / "live", tmp_path / "backup"
    live.mkdir()
    await (await grow(live, 0, backup_size)).stop()
    copy(live, backup, (*DATABASE, *ANCHOR))
    await (await grow(live, backup_size, size)).stop()
    copy(backup, live, DATABASE)
    log = make_log(live)
    with pytest.raises(Refused, match=f"has {backup_size} entries, but a checkpoint of {size} has been published"):
        await log.start()
    with pytest.raises(Refused):
        await opened_size(live)  # and again: the refusal has not moved the anchor


async def test_f08_a_lost_write_ahead_log_is_noticed(tmp_path: Path):
    live, cut = tmp_path / "live", tmp_path / "cut"
    live.mkdir()
    await (await grow(live, 0, 10)).stop()
    log = await grow(live, 10, 30)  # what it added is in the write-ahead log
    copy(live, cut, (DATABASE[0], *ANCHOR))
    await log.stop()
    with pytest.raises(Refused, match="has 10 entries, but a checkpoint of 30"):
        await opened_size(cut)


async def test_f08_a_backup_of_now_and_an_older_anchor_are_no_rollback(tmp_path: Path):
    live, backup = tmp_path / "live", tmp_path / "backup"
    live.mkdir()
    await (await grow(live, 0, 10)).stop()
    copy(live, backup, (*DATABASE, *ANCHOR))
    copy(backup, live, DATABASE)
    assert await opened_size(live) == 10
    await (await grow(live, 10, 20)).stop()
    copy(backup, live, ANCHOR)
    assert await opened_size(live) == 20


async def test_f08_with_its_anchor_restored_too_only_others_can_tell(tmp_path: Path):
    """The limit of an anchor on the same machine: who has seen a checkpoint finds it, as the auditor of the F tests does."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    live.mkdir()
    await (await grow(live, 0, 10)).stop()
    copy(live, backup, (*DATABASE, *ANCHOR))
    await (await grow(live, 10, 20)).stop()
    copy(backup, live, (*DATABASE, *ANCHOR))
    assert await opened_size(live) == 10


@pytest.mark.parametrize("order", [DATABASE, DATABASE[::-1]], ids=["database first", "write-ahead log first"])
async def test_f03b_a_copy_of_a_running_log_is_right_or_refused(tmp_path: Path, order: tuple[str, ...]):
    seed = chosen_seed()
    chance, live = random.Random(seed), tmp_path / "live"
    live.mkdir()
    log, stop, outcomes = await grow(live, 0, BASE), asyncio.Event(), []
    acknowledged = BASE

    async def write() -> None:
        nonlocal acknowledged
        while not stop.is_set():
            await asyncio.gather(*(log.submit(submission(acknowledged + one)) for one in range(chance.randint(1, 20))))
            acknowledged = log.size

    writer = asyncio.create_task(write())
    for number in range(COPIES):
        await asyncio.sleep(chance.random() * 0.01)
        target, before = tmp_path / str(number), acknowledged
        await asyncio.to_thread(copy, live, target, (*ANCHOR, *order))
        try:
            size = await opened_size(target)
        except SigError:
            outcomes.append("refused")
        else:
            assert size >= before
            outcomes.append("right")
    stop.set()
    await writer
    await log.stop()
    print(f"\nseed {seed}: of {COPIES} copies {outcomes.count('right')} right, {outcomes.count('refused')} refused")
    assert "right" in outcomes
