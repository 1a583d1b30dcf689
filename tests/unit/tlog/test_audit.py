# SPDX-License-Identifier: Apache-2.0
"""The full pass finds what a sample may miss."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from sigcore.errors import Refused, Unavailable
from tlog.anchor import Anchored
from tlog.audit import audit
from tlog.log import Log


async def filled(site, entry, count: int) -> Log:
    log = await site.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(count)))
    return log


async def close(site, log) -> None:
    await log.stop()
    site.logs.remove(log)


async def opened(site):
    store = site.store()
    await store.open()
    return store


async def test_a_whole_log_passes(site, entry):
    log = await filled(site, entry, 700)
    head = log.head
    await close(site, log)
    store = await opened(site)
    seen = []
    result = await audit(
        store,
        site.publisher(),
        Anchored(head.size, head.root, head.checkpoint),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (result.entries, result.tiles, result.root) == (700, 2, head.root)
    assert seen == [(256, 700), (512, 700), (700, 700)]
    await store.close()


async def test_it_runs_beside_the_writer(site, entry):
    log = await filled(site, entry, 300)
    more = asyncio.create_task(patient_fill(log, entry))
    result = await log.audit()
    assert 300 <= result.entries <= 330
    await more


async def patient_fill(log, entry) -> None:
    for number in range(300, 330):
        await log.submit(entry(number))


async def test_an_empty_log_passes_unless_something_was_published(site):
    store = await opened(site)
    assert (await audit(store, site.publisher())).entries == 0
    with pytest.raises(Refused, match="checkpoint of 3"):
        await audit(store, site.publisher(), Anchored(3, bytes(32), ""))
    await store.close()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600])
async def test_another_anchored_root_is_found_at_every_size(site, entry, size):
    log = await filled(site, entry, 600)
    await close(site, log)
    store = await opened(site)
    with pytest.raises(Refused, match=f"first {size} entries are not those"):
        await audit(store, site.publisher(), Anchored(size, bytes(32), ""))
    with pytest.raises(Refused, match="checkpoint of 601"):
        await audit(store, site.publisher(), Anchored(601, bytes(32), ""))
    await store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET leaf = x'00' WHERE idx = 300",
        "UPDATE entry SET extra = x'00' WHERE idx = 300",
        "UPDATE entry SET identity = x'00' WHERE idx = 300",
        "DELETE FROM entry WHERE idx = 300",
        "UPDATE tile SET hashes = zeroblob(8192) WHERE id = 1",
        "UPDATE tile SET hashes = substr(hashes, 1, 8191) WHERE id = 1",
        "DELETE FROM tile WHERE id = 1",
        "DELETE FROM seen WHERE idx = 300",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET size = 599",
    ],
)
async def test_damage_is_found(disk, entry, statement):
    log = await filled(disk, entry, 600)
    await close(disk, log)
    with sqlite3.connect(disk.folder / "log.db") as connection:
        assert connection.execute(statement).rowcount >= 1
    connection.close()
    store = await opened(disk)
    with pytest.raises((Refused, Unavailable)):
        await audit(store, disk.publisher())
    await store.close()
