# SPDX-License-Identifier: Apache-2.0
"""The consistency model of LogStore, on every store."""

from __future__ import annotations

import pytest

from sigcore.errors import NotFound, Refused
from tlog.storage.base import Batch, Head, Key, prefix_of
from tlog.tree import FullTile


def batch(entry, first: int, count: int, tiles: tuple[FullTile, ...] = ()) -> Batch:
    entries = tuple(entry(number) for number in range(first, first + count))
    return Batch(first, entries, tiles, Head(first + count, bytes(32), 1000 + first, f"checkpoint {first + count}\n"))


@pytest.fixture
async def store(site):
    store = site.store()
    await store.open()
    yield store
    await store.close()


async def test_new_store_is_empty(store):
    assert await store.head() is None
    assert await store.remembered() == 0
    assert await store.entries(0, 0) == ()
    assert await store.candidates(7) == ()


async def test_batch_is_read_back_whole(store, entry):
    tile = FullTile(0, 0, bytes(range(256)) * 32)
    one = batch(entry, 0, 300, (tile, FullTile(1, 5, bytes(8192))))
    await store.commit(one)
    assert await store.head() == one.head
    assert await store.entries(0, 300) == one.entries
    assert await store.entries(299, 300) == one.entries[299:]
    assert await store.tile(0, 0) == tile.hashes
    assert await store.tile(1, 5) == bytes(8192)


async def test_what_is_not_there_is_not_found(store, entry):
    await store.commit(batch(entry, 0, 3))
    with pytest.raises(NotFound, match="entries 2 to 3"):
        await store.entries(2, 4)
    with pytest.raises(NotFound, match="tile 0/1"):
        await store.tile(0, 1)


async def test_batches_are_dense(store, entry):
    await store.commit(batch(entry, 0, 3))
    for first in (0, 2, 4):
        with pytest.raises(Refused):
            await store.commit(batch(entry, first, 1))
    gap = Batch(3, (entry(3),), (), Head(9, bytes(32), 1, "x\n"))
    with pytest.raises(Refused):
        await store.commit(gap)
    assert (await store.head()).size == 3
    await store.commit(batch(entry, 3, 1))


async def test_what_the_check_refuses_is_not_stored_and_the_store_goes_on(store, entry):
    await store.commit(batch(entry, 0, 1))
    events = []

    def check() -> None:
        raise Refused("the signature is wrong")

    with pytest.raises(Refused, match="the signature is wrong"):
        await store.commit(batch(entry, 1, 2), lambda: events.append("then"), check, lambda: events.append("meanwhile"))
    assert events == []
    assert (await store.head()).size == 1
    with pytest.raises(NotFound):
        await store.entries(1, 2)
    await store.commit(batch(entry, 1, 2))
    assert (await store.head()).size == 3


async def test_the_check_comes_first_and_what_follows_a_commit_last_but_the_rest_has_no_order(store, entry):
    events = []
    await store.commit(
        batch(entry, 0, 1), *(lambda name=name: events.append(name) for name in ("then", "check", "rest"))
    )
    assert events[0] == "check"
    assert sorted(events) == ["check", "rest", "then"]
    assert (await store.head()).size == 1


async def test_what_is_done_meanwhile_may_fail_with_the_batch_stored_or_not(store, entry):
    def fail() -> None:
        raise ArithmeticError

    await store.commit(batch(entry, 0, 1))
    with pytest.raises(ArithmeticError):
        await store.commit(batch(entry, 1, 1), meanwhile=fail)
    await store.reopen()
    size = (await store.head()).size
    assert size in (1, 2)
    await store.commit(batch(entry, size, 1))


async def test_a_batch_that_does_not_follow_is_refused_though_its_check_is_good(store, entry):
    await store.commit(batch(entry, 0, 3))
    with pytest.raises(Refused):
        await store.commit(batch(entry, 1, 1), check=lambda: None)
    assert (await store.head()).size == 3


async def test_committed_survives_reopen_and_a_new_owner(site, store, entry):
    await store.commit(batch(entry, 0, 2))
    await store.reopen()
    await store.commit(batch(entry, 2, 1))
    await store.close()
    after = site.store()
    await after.open()
    assert (await after.head()).size == 3
    assert [one.leaf for one in await after.entries(0, 3)] == [b"entry 0", b"entry 1", b"entry 2"]
    await after.close()


async def test_keys_are_remembered_with_their_position(store):
    await store.remember([Key(7, 1), Key(7, 0), Key(8, 2)])
    assert await store.remembered() == 0
    await store.remember([Key(7, 1), Key(9, 3)], upto=4)
    assert await store.remembered() == 4
    assert await store.candidates(7) == (0, 1)
    assert await store.candidates(9) == (3,)
    assert await store.candidates(10) == ()
    assert sorted(await store.known([10, 9, 7, 9]), key=lambda key: key.index) == [Key(7, 0), Key(7, 1), Key(9, 3)]
    assert await store.known([]) == ()


async def test_the_largest_prefix_fits(store):
    prefix = prefix_of(b"\xff" * 32)
    assert prefix == 2**63 - 1
    await store.remember([Key(prefix, 2**62)])
    assert await store.candidates(prefix) == (2**62,)


async def test_close_is_harmless_twice(store):
    await store.close()
    await store.close()
