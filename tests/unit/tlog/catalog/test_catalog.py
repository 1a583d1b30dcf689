# SPDX-License-Identifier: Apache-2.0
"""The catalogue against a naive reading of the logs; it is never the only copy of anything."""

from __future__ import annotations

import asyncio
import sqlite3
from random import Random

import pytest

from sigcore.errors import Malformed, NotFound
from tests.chance import chosen_seed
from tests.unit.tlog.catalog.conftest import ISSUER, START, digest, signed, signed_by_key
from tlog.catalog import store as store_module
from tlog.catalog.catalog import Answer, Catalog, rekor_v2_source
from tlog.catalog.query import parse_query

MINUTE_MS = 60_000
START_MS = int(START.timestamp()) * 1000


class Following:
    """A log with a catalogue; opening it again is a restart."""

    def __init__(self, site) -> None:
        self.site = site
        self.path = site.folder / "catalogue.db" if site.durable else None
        self.running: list[Catalog] = []

    async def open(self, log) -> Catalog:
        catalog = Catalog(self.path, {"rekor": rekor_v2_source(log)})
        await catalog.start()
        self.running.append(catalog)
        return catalog

    async def close(self, catalog) -> None:
        self.running.remove(catalog)
        await catalog.stop()


@pytest.fixture
async def following(site):
    following = Following(site)
    yield following
    for catalog in following.running:
        await catalog.stop()


async def fill(log, *submissions) -> None:
    await asyncio.gather(*(log.submit(one) for one in submissions))


def indexes(answer: Answer) -> list[int]:
    return [hit.index for hit in answer.hits]


async def ask(catalog: Catalog, text: str = "", **options) -> list[int]:
    return indexes(await catalog.find(parse_query(text), **options))


async def test_what_was_just_logged_is_found_the_youngest_first(site, following):
    log = await site.open()
    catalog = await following.open(log)
    await fill(log, *(signed("a@example.com" if number % 2 else "b@example.com", number) for number in range(1, 7)))
    assert await ask(catalog, "a@example.com") == [4, 2, 0]
    answer = await catalog.find(parse_query("A@Example.com"))
    assert indexes(answer) == [4, 2, 0]
    assert answer.complete == {"rekor": 6}
    assert answer.hits[0].time_ms == START_MS + 5 * MINUTE_MS
    await fill(log, signed("a@example.com", 9))
    assert await ask(catalog, "a@example.com") == [6, 4, 2, 0]
    assert await ask(catalog) == [6, 5, 4, 3, 2, 1, 0]


async def test_each_way_to_name_an_entry_finds_it(site, following):
    log = await site.open()
    catalog = await following.open(log)
    entries = [signed(f"user{number}@example.com", number) for number in range(1, 20)]
    await fill(log, *entries)
    hit = await catalog.entry("rekor", 4)
    for text in (
        "user5@example.com",
        "identity:user5@*",
        "user5",
        "*ser5@ex*",
        f"sha256:{digest(5).hex()}",
        digest(5).hex(),
        "serial:5",
        "4",
        *(term.value for term in hit.facts.terms if term.kind.value == "entry"),
    ):
        assert await ask(catalog, text) == [4], text
    assert await ask(catalog, f"issuer:{ISSUER}", limit=3) == [18, 17, 16]
    assert await ask(catalog, "99") == []
    assert await ask(catalog, "nobody@example.com") == []


async def test_parts_times_and_pages(site, following):
    log = await site.open()
    catalog = await following.open(log)
    await fill(
        log,
        *(
            signed(f"user{number % 3}@example.com", number, issuer=f"https://i{number % 2}.example")
            for number in range(1, 31)
        ),
    )
    both = "user1@example.com issuer:https://i1.example"
    expected = [number - 1 for number in range(30, 0, -1) if number % 3 == 1 and number % 2 == 1]
    assert await ask(catalog, both) == expected
    seen, after = [], ""
    while True:
        page = await catalog.find(parse_query(both), after=after, limit=2)
        seen += indexes(page)
        after = page.next
        if not after:
            break
    assert seen == expected
    since, until = START_MS + 10 * MINUTE_MS, START_MS + 20 * MINUTE_MS
    query = parse_query("", since_ms=since, until_ms=until)
    assert indexes(await catalog.find(query)) == [number - 1 for number in range(19, 9, -1)]


async def test_it_agrees_with_a_naive_reading_of_the_log(site, following, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_CANDIDATES", 7)
    chance = Random(chosen_seed())
    log = await site.open()
    catalog = await following.open(log)
    rows = []
    for number in range(1, 80):
        name, issuer = f"user{chance.randrange(12)}@example.com", f"https://i{chance.randrange(3)}.example"
        moment = chance.randint(1, 40)
        rows.append((moment, number - 1, name, issuer))
        await log.submit(signed(name, moment, issuer=issuer, source_repository_ref=str(number)))
    for name, issuer in [("user1@*", None), ("*@example.com", "https://i1.example"), (None, "https://i2.example")]:
        text = " ".join(filter(None, (name and f"identity:{name}", issuer and f"issuer:{issuer}")))
        wanted = [
            index
            for _, index, who, said in sorted(rows, reverse=True)
            if (name is None or who.startswith(name.split("*")[0])) and (issuer is None or said == issuer)
        ]
        found, after = [], ""
        while True:
            page = await catalog.find(parse_query(text), after=after, limit=5)
            found += indexes(page)
            after = page.next
            if not after:
                break
        assert found == wanted, text


async def test_an_entry_without_a_time_is_as_old_as_the_one_before(site, following):
    log = await site.open()
    catalog = await following.open(log)
    await fill(log, signed("a@example.com", 5), signed_by_key(1), signed("a@example.com", 3))
    answer = await catalog.find(parse_query(""))
    assert {hit.index: hit.time_ms for hit in answer.hits} == {
        0: START_MS + 5 * MINUTE_MS,
        1: START_MS + 5 * MINUTE_MS,
        2: START_MS + 3 * MINUTE_MS,
    }


async def test_a_pattern_that_stands_for_too_much_says_so(site, following, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_TEXTS", 3)
    log = await site.open()
    catalog = await following.open(log)
    await fill(log, *(signed(f"user{number}@example.com", number) for number in range(1, 6)))
    answer = await catalog.find(parse_query("identity:user*"))
    assert answer.cut
    assert indexes(answer) == [4, 3, 2]
    assert not (await catalog.find(parse_query("identity:user1*"))).cut


@pytest.mark.parametrize("text", ["1", "1.2", "1.2.x", "-1.2.3", "1.2." + "9" * 30])
async def test_a_place_that_no_answer_named_is_malformed(site, following, text):
    catalog = await following.open(await site.open())
    with pytest.raises(Malformed):
        await ask(catalog, after=text)


async def test_an_index_stands_alone_and_must_be_published(site, following):
    log = await site.open()
    catalog = await following.open(log)
    await fill(log, signed("a@example.com"))
    with pytest.raises(Malformed, match="stands alone"):
        await ask(catalog, "0 a@example.com")
    with pytest.raises(NotFound):
        await catalog.entry("rekor", 7)


# --- restarts ----------------------------------------------------------------------------------------
async def test_after_a_restart_nothing_is_read_twice(disk):
    following = Following(disk)
    log = await disk.open()
    catalog = await following.open(log)
    await fill(log, *(signed("a@example.com", number) for number in range(1, 5)))
    await ask(catalog)
    await following.close(catalog)
    log = await disk.restart(log)
    catalog = await following.open(log)
    assert catalog._covered == {"rekor": 4}
    assert await ask(catalog, "a@example.com") == [3, 2, 1, 0]
    await following.close(catalog)


@pytest.mark.parametrize("damage", ["garbage", "another log", "another format", "gone"])
async def test_what_is_damaged_or_of_another_log_is_made_anew(disk, damage):
    following = Following(disk)
    log = await disk.open()
    catalog = await following.open(log)
    await fill(log, *(signed("a@example.com", number) for number in range(1, 5)))
    await ask(catalog)
    await following.close(catalog)
    if damage == "garbage":
        following.path.write_bytes(b"garbage" * 1000)
    elif damage == "gone":
        following.path.unlink()
    else:
        with sqlite3.connect(following.path) as db:
            db.execute("UPDATE position SET mark = x'00'" if damage == "another log" else "PRAGMA user_version = 99")
        db.close()
    catalog = await following.open(log)
    assert await ask(catalog, "a@example.com") == [3, 2, 1, 0]
    await following.close(catalog)


async def test_it_follows_by_itself(site, following, monkeypatch):
    monkeypatch.setattr("tlog.catalog.catalog.IDLE_S", 0.01)
    log = await site.open()
    catalog = await following.open(log)
    await fill(log, *(signed("a@example.com", number) for number in range(1, 5)))
    async with asyncio.timeout(60):
        while catalog._covered["rekor"] < 4:
            await asyncio.sleep(0.01)
