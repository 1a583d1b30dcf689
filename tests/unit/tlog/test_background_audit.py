# SPDX-License-Identifier: Apache-2.0
"""The audit in the background of a log that serves: it says what it covered, or closes the log (F07)."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import pytest

from sigcore.errors import Unavailable
from tlog import log as log_module
from tlog.audit import Gentle

SIZE = 600


async def filled(site, entry):
    log = await site.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(SIZE)))
    return log


async def test_it_says_what_it_covered(site, entry):
    log = await filled(site, entry)
    assert log.audited is None
    await log.audit_in_background()
    assert (log.audited.entries, log.audited.root, log.damage) == (SIZE, log.head.root, "")
    assert (await log.submit(entry(SIZE))).index == SIZE


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE entry SET leaf = x'00' WHERE idx = 300", "tile 0/1"),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE id = 0", "tile 0/0"),
        ("UPDATE entry SET extra = x'00' WHERE idx = 300", "damaged"),
    ],
)
async def test_damage_closes_the_log_and_leaves_it_readable(disk, entry, monkeypatch, caplog, statement, message):
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)
    log = await filled(disk, entry)
    with sqlite3.connect(disk.folder / "log.db") as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()
    await log.audit_in_background()
    assert message in log.damage
    assert log.audited is None
    assert "the audit closed the log" in caplog.text
    with pytest.raises(Unavailable, match="takes no entries"):
        await log.submit(entry(SIZE))
    assert log.head.size == SIZE


async def test_a_storage_that_comes_back_is_no_damage(site, entry, monkeypatch, caplog):
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)
    log = await filled(site, entry)
    entries, failures = log._store.entries, [Unavailable("the disk is away"), Unavailable("still")]

    async def flaky(first: int, end: int):
        if failures:
            raise failures.pop(0)
        return await entries(first, end)

    monkeypatch.setattr(log._store, "entries", flaky)
    await log.audit_in_background()
    assert log.audited is not None
    assert caplog.text.count("begins again") == 2


async def test_it_gives_way_to_others():
    pace = Gentle()

    async def measure() -> float:
        time.sleep(0.02)
        start = time.monotonic()
        await pace()
        return time.monotonic() - start

    async def hog(stop: asyncio.Event) -> None:
        while not stop.is_set():
            time.sleep(0.005)
            await asyncio.sleep(0)

    assert 0.015 < await measure() < 0.3
    stop = asyncio.Event()
    other = asyncio.create_task(hog(stop))
    await asyncio.sleep(0)
    assert await measure() > 0.3
    stop.set()
    await other
