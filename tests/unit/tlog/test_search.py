# SPDX-License-Identifier: Apache-2.0
"""Search: everything acknowledged is found, whatever is stored already; the index is never the only copy of anything."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3

import pytest

from sigcore import limits
from sigcore.errors import Malformed, Unavailable
from tlog import search as search_module
from tlog.kept import Kept, encode_kept, key_digest, key_digests, parse_kept
from tlog.log import Submission
from tlog.search import Search
from tlog.storage.search_index import MAX_KEYS, MemoryIndex, Position
from tlog.storage.sqlite_index import SqliteIndex

LOG_ID = bytes(32)
BATCH = 16


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(search_module, "BATCH_ENTRIES", BATCH)
    monkeypatch.setattr(search_module, "READ_ENTRIES", 5)


def entry(number: int) -> Submission:
    leaf = b"leaf %d" % number
    keys = key_digests((f"number:{number}", f"tens:{number // 10}", "all"))
    return Submission(leaf, hashlib.sha256(leaf).digest(), encode_kept(Kept(number, keys)))


def digests(*texts: str) -> tuple[bytes, ...]:
    return tuple(map(key_digest, texts))


class Followed:
    """A log with its search; opening it again is a restart."""

    def __init__(self, site) -> None:
        self.site = site
        self.memory = MemoryIndex()
        self.running: list[Search] = []

    @property
    def path(self):
        return self.site.folder / "search.db"

    def index(self):
        return SqliteIndex(self.path) if self.site.durable else self.memory

    async def open(self, log, index=None, log_id=LOG_ID) -> Search:
        search = Search(log, log_id, index or self.index(), lambda entry: parse_kept(entry.extra).keys)
        await search.start()
        self.running.append(search)
        return search

    async def stop(self, search: Search) -> None:
        self.running.remove(search)
        await search.stop()


@pytest.fixture
async def followed(site):
    followed = Followed(site)
    yield followed
    for search in followed.running:
        await search.stop()


async def fill(log, search: Search | None, first: int, end: int) -> None:
    for number in range(first, end):
        await log.submit(entry(number))
        if search is not None:
            search.nudge()


async def idle(search: Search, log) -> None:
    """Until the follower has nothing more to store."""
    while log.size - search._stored >= BATCH:
        await asyncio.sleep(0.001)


async def check(search: Search, size: int) -> None:
    assert await search.find(digests("all")) == tuple(range(size))
    for number in (0, size // 2, size - 1):
        assert await search.find(digests(f"number:{number}")) == (number,)
        assert await search.find(digests(f"number:{number}", "all"), every=True) == (number,)
    assert await search.find(digests("number:0", f"number:{size - 1}")) == tuple(sorted({0, size - 1}))
    assert await search.find(digests("number:0", f"number:{size}"), every=True) == ()
    assert await search.find(digests("ALL", "all")) == tuple(range(size))
    assert await search.find(()) == ()


async def test_every_acknowledged_entry_is_found_at_once(site, followed):
    log = await site.open()
    search = await followed.open(log)
    for number in range(3 * BATCH + 5):
        await log.submit(entry(number))
        search.nudge()
        await check(search, number + 1)
    await idle(search, log)
    assert search._stored == 3 * BATCH
    await check(search, 3 * BATCH + 5)


async def test_what_is_stored_is_out_of_memory(site, followed):
    log = await site.open()
    search = await followed.open(log)
    await fill(log, search, 0, 2 * BATCH + 3)
    await idle(search, log)
    assert await search.find(digests("number:1")) == (1,)
    assert len(search._tail) == 3
    assert len(search._by_key[key_digest("all")]) == 3
    assert key_digest("number:1") not in search._by_key


async def test_searches_and_additions_at_the_same_time(site, followed):
    """L11 for searches: an answer holds every entry that was acknowledged before it was asked for."""
    log = await site.open()
    search = await followed.open(log)
    done = False

    async def write(start: int) -> None:
        for number in range(start, 400, 4):
            await log.submit(entry(number))
            search.nudge()

    async def read() -> None:
        while not done:
            before = log.size
            found = await search.find(digests("all"))
            assert found[:before] == tuple(range(before))
            await asyncio.sleep(0)

    readers = [asyncio.create_task(read()) for _ in range(4)]
    await asyncio.gather(*(write(start) for start in range(4)))
    done = True
    await asyncio.gather(*readers)
    assert len(await search.find(digests("all"))) == 400


async def test_an_orderly_end_leaves_nothing_to_read_again(site, followed):
    log = await site.open()
    search = await followed.open(log)
    await fill(log, search, 0, 20)
    await followed.stop(search)
    search = await followed.open(log)
    assert (search._stored, search._tail) == (20, [])
    await check(search, 20)


async def test_a_restart_without_an_orderly_end(site, followed):
    log = await site.open()
    search = await followed.open(log)
    await fill(log, search, 0, 2 * BATCH + 7)
    await idle(search, log)
    search._task.cancel()
    search._task = None
    followed.running.remove(search)
    await search._index.close()
    log = await site.restart(log)
    search = await followed.open(log)
    assert search._stored == 2 * BATCH
    await check(search, 2 * BATCH + 7)


async def test_a_lost_index_is_made_anew(site, followed):
    log = await site.open()
    search = await followed.open(log)
    await fill(log, search, 0, 50)
    await followed.stop(search)
    followed.memory = MemoryIndex()
    followed.path.unlink(missing_ok=True)
    search = await followed.open(log)
    assert search._stored == 0
    await idle(search, log)
    await check(search, 50)


async def test_an_index_of_other_entries_is_made_anew(site, followed, caplog):
    log = await site.open()
    await fill(log, None, 0, 20)
    index = followed.index()
    await index.open(LOG_ID)
    wrong = key_digest("wrong")
    for position in (Position(10, bytes(32)), Position(21, bytes(32))):
        await index.add([(wrong, 3)], position)
        await index.close()
        with caplog.at_level(logging.WARNING):
            search = await followed.open(log)
        assert "made anew" in caplog.text
        assert await search.find((wrong,)) == ()
        await check(search, 20)
        await followed.stop(search)
        index = followed.index()
        await index.open(LOG_ID)
    await index.close()


async def test_an_index_of_another_log_is_made_anew(site, followed):
    log = await site.open()
    search = await followed.open(log)
    await fill(log, search, 0, 20)
    await followed.stop(search)
    search = await followed.open(log, log_id=b"\1" * 32)
    assert search._stored == 0
    await check(search, 20)


@pytest.mark.parametrize("damage", [b"", b"no database at all, but long enough to be looked at" * 100, None])
async def test_a_damaged_or_older_file_is_made_anew(disk, damage):
    followed, log = Followed(disk), await disk.open()
    search = await followed.open(log)
    await fill(log, search, 0, 20)
    await followed.stop(search)
    if damage is None:
        with sqlite3.connect(followed.path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        followed.path.write_bytes(damage)
    search = await followed.open(log)
    await check(search, 20)
    await followed.stop(search)
    assert followed.path.stat().st_mode & 0o777 == 0o600


async def test_a_search_is_told_to_wait_while_the_index_is_far_behind(site, followed, monkeypatch):
    log = await site.open()
    await fill(log, None, 0, 40)
    monkeypatch.setattr(search_module, "LAG_ENTRIES", 30)
    search = await followed.open(log)
    with pytest.raises(Unavailable, match="at entry 0 of 40"):
        await search.find(digests("all"))
    await idle(search, log)
    await check(search, 40)


class Failing(MemoryIndex):
    """Storage that fails while ``broken``."""

    broken = True

    async def add(self, rows, position) -> None:
        if self.broken:
            raise Unavailable("the disk is full")
        await super().add(rows, position)


async def test_entries_are_found_and_taken_while_the_storage_fails(site, followed, caplog):
    index, log = Failing(), await site.open()
    search = await followed.open(log, index)
    with caplog.at_level(logging.WARNING):
        await fill(log, search, 0, 30)
        await check(search, 30)
    assert "the disk is full" in caplog.text
    index.broken = False
    search.nudge()
    await idle(search, log)
    await check(search, 30)
    assert search._stored >= BATCH


async def test_more_results_than_are_answered_are_no_answer(site, followed, monkeypatch):
    monkeypatch.setattr(limits, "SEARCH_RESULTS", 20)
    log = await site.open()
    search = await followed.open(log)
    await fill(log, search, 0, 20)
    assert len(await search.find(digests("all"))) == 20
    await fill(log, search, 20, 40)
    with pytest.raises(Malformed, match="more than 20 entries"):
        await search.find(digests("all"))
    assert await search.find(digests("all", "number:39"), every=True) == (39,)


@pytest.mark.parametrize("durable", [False, True])
async def test_the_stores_answer_alike(tmp_path, durable):
    index = SqliteIndex(tmp_path / "search.db") if durable else MemoryIndex()
    assert await index.open(LOG_ID) == Position()
    a, b, c, d = (key_digest(text) for text in "abcd")
    await index.add([(a, 1), (a, 2), (b, 2), (b, 3)], Position(4, b"m"))
    await index.add([(a, 2), (c, 2), (d, 2)], Position(5, b"n"))

    async def find(*keys: bytes, every: bool = False, limit: int = 9) -> set[int]:
        return await index.find(keys, every=every, limit=limit)

    assert await find(a) == {1, 2}
    assert await find(a, b) == {1, 2, 3}
    assert await find(a, b, limit=2) == {1, 2}
    assert await find(a, b, every=True) == {2}
    assert await find(a, b, c, d, every=True) == {2}
    assert await find(key_digest("x"), a, every=True) == set()
    assert await find(key_digest("x")) == set()
    assert MAX_KEYS == 4
    await index.close()
    assert await index.open(LOG_ID) == Position(5, b"n")
    await index.clear()
    assert await find(a) == set()
    await index.close()
    assert await index.open(LOG_ID) == Position()
    await index.close()


async def test_a_closed_index_says_so(tmp_path):
    index = SqliteIndex(tmp_path / "search.db")
    for _ in range(2):
        with pytest.raises(Unavailable, match="not open"):
            await index.find((bytes(16),), every=False, limit=1)
        with pytest.raises(Unavailable, match="not open"):
            await index.add([], Position())
        await index.open(LOG_ID)
        await index.close()


def test_what_is_kept_beside_an_entry_reads_back():
    for kept in (Kept(0, ()), Kept(2**40, key_digests(("a", "B", "b")), b"payload")):
        assert parse_kept(encode_kept(kept)) == kept
    assert len(key_digests(("a", "B", "b"))) == 2
    for bad in (b"", encode_kept(Kept(1, ())) + b"x", encode_kept(Kept(1, (), b"abc"))[:-1]):
        with pytest.raises(Malformed):
            parse_kept(bad)
