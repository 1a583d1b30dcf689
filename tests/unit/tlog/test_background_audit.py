# SPDX-License-Identifier: Apache-2.0
"""The audit in the background of a log that serves: it says what it covered, or closes the log (F07)."""

from __future__ import annotations

import asyncio
import sqlite3
from types import SimpleNamespace

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


@pytest.mark.parametrize(("turn_s", "pause_s"), [(0.0005, 0.2), (0.002, 3.8)], ids=["idle", "busy"])
async def test_it_gives_way_to_others(monkeypatch, turn_s, pause_s):
    """A bundle took 200 ms; then the event loop came back after ``turn_s``."""
    moments, slept = iter([0.0, 0.2, 0.2 + turn_s, 9.0]), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("tlog.audit.time", SimpleNamespace(monotonic=lambda: next(moments)))
    monkeypatch.setattr("tlog.audit.asyncio", SimpleNamespace(sleep=sleep))
    await Gentle()()
    assert slept == [0, pytest.approx(pause_s)]
