# SPDX-License-Identifier: Apache-2.0
"""A log from outside: receipts, duplicates, restarts, what is served."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sigcore import limits, merkle
from sigcore.errors import Malformed, NotFound, Unavailable
from sigcore.tiles import Tile, tiles_of
from tlog import recent
from tlog.log import Log, Submission, seed
from tlog.storage.base import Key, prefix_of


def verify(site, receipt) -> None:
    checkpoint = site.publisher().verify(receipt.checkpoint)
    assert (checkpoint.size, checkpoint.root) == (receipt.size, receipt.root)
    merkle.verify_inclusion(
        leaf_hash=merkle.hash_leaf(receipt.leaf),
        index=receipt.index,
        size=receipt.size,
        proof=receipt.proof,
        root=receipt.root,
    )


async def fill(log: Log, entry, count: int) -> None:
    await asyncio.gather(*(log.submit(entry(number)) for number in range(count)))


async def test_every_receipt_verifies(site, entry, whole_tree):
    log = await site.open()
    alone = [await log.submit(entry(number)) for number in range(5)]
    together = await asyncio.gather(*(log.submit(entry(number)) for number in range(5, 700)))
    for receipt in (*alone, *together):
        verify(site, receipt)
        assert not receipt.duplicate
    assert [receipt.index for receipt in (*alone, *together)] == list(range(700))
    assert await whole_tree(site, log) == [b"entry %d" % number for number in range(700)]


async def test_a_batch_shares_one_checkpoint(site, entry):
    log = await site.open()
    receipts = await asyncio.gather(*(log.submit(entry(number)) for number in range(50)))
    assert {receipt.size for receipt in receipts} == {50}
    assert len({receipt.checkpoint for receipt in receipts}) == 1


async def test_everything_is_there_after_a_restart(site, entry, whole_tree):
    log = await site.open()
    await fill(log, entry, 300)
    before = log.head
    log = await site.restart(log)
    assert log.head == before
    receipt = await log.submit(entry(300))
    assert receipt.index == 300
    verify(site, receipt)
    assert len(await whole_tree(site, log)) == 301


async def test_the_same_entry_has_one_index(site, entry):
    log = await site.open()
    await fill(log, entry, 3)
    again = await log.submit(replace(entry(1), extra=b"another"))
    assert (again.index, again.duplicate, again.extra) == (1, True, b"extra 1")
    verify(site, again)
    assert log.size == 3


async def test_the_same_entry_at_the_same_time_has_one_index(site, entry):
    log = await site.open()
    receipts = await asyncio.gather(*(log.submit(entry(0)) for _ in range(100)))
    assert {receipt.index for receipt in receipts} == {0}
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert log.size == 1


async def test_who_brings_many_is_told_of_each(site, entry):
    log = await site.open()
    callers = [asyncio.get_running_loop().create_future() for _ in range(51)]
    for number, caller in zip((*range(50), 7), callers, strict=True):
        log.bring(entry(number), caller)
    receipts = await asyncio.gather(*callers)
    for number, receipt in zip((*range(50), 7), receipts, strict=True):
        verify(site, receipt)
        assert receipt.leaf == entry(number).leaf
    assert {receipt.index for receipt in receipts} == set(range(50))
    assert [receipt.duplicate for receipt in receipts].count(True) == 1
    assert log.size == 50


async def test_the_same_entry_after_a_restart_has_one_index(site, entry):
    log = await site.open()
    await fill(log, entry, 300)
    log = await site.restart(log)
    for number in (0, 150, 299):
        assert (await log.submit(entry(number))).index == number
    assert log.size == 300


async def test_duplicates_are_found_while_keys_are_swept(site, entry, monkeypatch):
    monkeypatch.setattr(recent.Recent.__init__, "__kwdefaults__", {"sweep_keys": 64, "chunk_keys": 10})
    log = await site.open()
    for start in range(0, 400, 20):
        await asyncio.gather(*(log.submit(entry(number)) for number in range(start, start + 20)))
        for number in range(0, start + 20, 7):
            assert (await log.submit(entry(number))).index == number
    assert log.size == 400
    log = await site.restart(log)
    assert [(await log.submit(entry(number))).index for number in range(400)] == list(range(400))


async def test_a_shared_prefix_is_no_duplicate(site, entry):
    log = await site.open()
    first = await log.submit(entry(0))
    await log.stop()
    site.logs.remove(log)
    twin = Submission(b"twin", first_identity := entry(0).identity[:31] + b"\xff")
    assert prefix_of(first_identity) == prefix_of(entry(0).identity)
    store = site.store()
    await store.open()
    assert await store.candidates(prefix_of(twin.identity)) == (first.index,)
    await store.remember([Key(prefix_of(twin.identity), 0)])
    await store.close()
    log = await site.open()
    receipt = await log.submit(twin)
    assert (receipt.index, receipt.duplicate) == (1, False)
    assert (await log.submit(entry(0))).index == 0


async def test_an_entry_is_found_by_identity_and_by_leaf_hash(site, entry):
    log = await site.open()
    await fill(log, entry, 10)
    for _ in range(2):
        assert await log.find(entry(4).identity) == 4
        assert await log.find(merkle.hash_leaf(entry(4).leaf)) == 4
        assert await log.find(bytes(32)) is None
        log = await site.restart(log)


async def test_a_cancelled_caller_harms_nobody(site, entry):
    log = await site.open()
    tasks = [asyncio.create_task(log.submit(entry(number))) for number in (0, 0, 1)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [results[1].index, results[2].index] == [0, 1]


async def test_tiles_serve_the_tree(site, entry):
    log = await site.open()
    await fill(log, entry, 600)
    leaf_hashes = [merkle.hash_leaf(b"entry %d" % number) for number in range(600)]
    for tile in tiles_of(600):
        data = await log.tile(tile)
        assert len(data) == tile.width * 32
        if tile.level == 0:
            assert data == b"".join(leaf_hashes[tile.index * 256 :][: tile.width])
    assert await log.tile(Tile(0, 0, 17)) == b"".join(leaf_hashes[:17])
    assert await log.tile(Tile(0, 2, 3)) == b"".join(leaf_hashes[512:515])
    for beyond in (Tile(0, 2), Tile(0, 2, 89), Tile(0, 3, 1), Tile(1, 0), Tile(1, 0, 3), Tile(2, 0, 1), Tile(63, 0, 1)):
        with pytest.raises(NotFound):
            await log.tile(beyond)


async def test_consistency_between_all_heads(site, entry, root_of):
    log = await site.open()
    await fill(log, entry, 270)
    leaves = [b"entry %d" % number for number in range(270)]
    for first in (1, 2, 255, 256, 257, 269, 270):
        proof = await log.consistency(first, 270)
        merkle.verify_consistency(
            first=first, second=270, first_root=root_of(leaves[:first]), second_root=root_of(leaves), proof=proof
        )
    for first, second in ((0, 5), (6, 5), (1, 271)):
        with pytest.raises(Malformed):
            await log.consistency(first, second)
    with pytest.raises(Malformed):
        await log.inclusion(5, 5)


async def test_nothing_beyond_the_head_is_served(site, entry):
    log = await site.open()
    with pytest.raises(Unavailable, match="empty"):
        log.checkpoint()
    await fill(log, entry, 2)
    for first, end in ((0, 3), (-1, 1), (2, 1), (5, 5)):
        with pytest.raises(NotFound):
            await log.entries(first, end)
    with pytest.raises(NotFound):
        await log.receipt(2)


async def test_a_leaf_that_no_bundle_can_hold_is_malformed(site):
    log = await site.open()
    await log.submit(Submission(bytes(limits.ENTRY), bytes(32)))
    with pytest.raises(Malformed, match="65536 bytes"):
        await log.submit(Submission(bytes(limits.ENTRY + 1), bytes(31) + b"1"))


async def test_seed_takes_index_zero_once(site, entry):
    log = await site.open()
    await seed(log, entry(0))
    await seed(log, entry(99))
    assert log.size == 1
    log = await site.restart(log)
    await seed(log, entry(98))
    assert log.size == 1


async def test_no_entry_after_stop(site, entry):
    log = await site.open()
    waiting = [asyncio.create_task(log.submit(entry(number))) for number in range(20)]
    await asyncio.sleep(0)
    await log.stop()
    assert sorted([(await one).index for one in waiting]) == list(range(20))
    with pytest.raises(Unavailable, match="shutting down"):
        await log.submit(entry(50))


async def test_time_in_heads_never_goes_back(site, entry):
    log = await site.open()
    await log.submit(entry(0))
    first = log.head.timestamp_ms
    site.clock.turn(days=-1)
    await log.submit(entry(1))
    assert log.head.timestamp_ms == first
    log = await site.restart(log)
    await log.submit(entry(2))
    assert log.head.timestamp_ms == first
    with pytest.raises(Unavailable, match="86400 s behind"):
        log.clock.now_ms()
    site.clock.turn(days=1, milliseconds=7)
    assert log.clock.now_ms() == first + 7


async def test_a_full_pool_turns_callers_away(site, entry, monkeypatch):
    monkeypatch.setattr("tlog.sequencer.POOL_ENTRIES", 10)
    log = await site.open()
    results = await asyncio.gather(*(log.submit(entry(number)) for number in range(15)), return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 5
    assert (await log.submit(entry(14))).index == 10
