# SPDX-License-Identifier: Apache-2.0
"""What is particular to logs in PostgreSQL: who owns them, what is asked of the server, what damage and old formats say."""

from __future__ import annotations

import asyncio

import pytest

from sigcore.errors import Malformed, Refused, Unavailable
from tests.postgres_server import running_server
from tests.unit.tlog.conftest import Site
from tests.until import until
from tlog.storage.base import Batch, Head
from tlog.storage.postgres import InUse, PostgresStore


@pytest.fixture
async def site(postgres, tmp_path):
    site = Site(tmp_path, durable=True, server=postgres)
    yield site
    for log in site.logs:
        await log.stop()


async def closed(site, entry, entries: int) -> None:
    """A log of so many entries, and nobody who owns it."""
    log = await site.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(entries)))
    await log.stop()
    site.logs.remove(log)


def change(site, statement: str) -> None:
    site.server.sql(f"SET search_path = sigbox_{site.name}", statement)


async def test_a_second_opener_is_refused_and_told_who_owns_the_log(site, entry):
    log = await site.open()
    with pytest.raises(Refused, match=r"in use by process \d+ of the database server, for 127\.0\.0\.1"):
        await site.store().open()
    assert (await log.submit(entry(0))).index == 0


async def test_an_epoch_that_is_over_stores_nothing_even_with_the_lock_in_hand(site, entry):
    store = site.store()
    await store.open()
    change(site, "UPDATE head SET epoch = epoch + 1")
    with pytest.raises(Refused, match="new owner"):
        await store.commit(Batch(0, (entry(0),), (), Head(1, bytes(32), 1, "x\n")))
    with pytest.raises(Refused, match="new owner"):
        await store.remember([], upto=1)
    assert site.server.sql(f"SELECT count(*) FROM sigbox_{site.name}.entry") == "0"
    assert (await store.head(), await store.remembered()) == (None, 0)
    with pytest.raises(Refused, match="new owner"):
        await store.reopen()
    await store.close()


async def test_hosts_that_start_together_make_the_tables_once_and_one_of_them_owns_the_log(site):
    stores = [site.store() for _ in range(8)]
    outcomes = await asyncio.gather(*(store.open() for store in stores), return_exceptions=True)
    assert outcomes.count(None) == 1, outcomes
    assert {type(outcome) for outcome in outcomes if outcome is not None} == {InUse}, outcomes
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("setting", "session"),
    [
        ("fsync = off", "fsync"),
        ("full_page_writes = off", "full_page_writes"),
        ("synchronous_commit = off", "synchronous_commit"),
    ],
)
async def test_a_server_that_forgets_what_it_acknowledged_is_refused_with_the_fix(tmp_path, postgres, setting, session):
    with running_server(f"{setting}\n") as server:
        store = Site(tmp_path, durable=True, server=server).store()
        with pytest.raises(Refused, match=f"{setting}: what it acknowledges does not survive") as refused:
            await store.open()
        assert f"ALTER SYSTEM SET {session} = on" in refused.value.hint


async def test_a_server_that_is_not_there_is_unavailable(tmp_path, postgres):
    with running_server() as server:
        store = Site(tmp_path, durable=True, server=server).store()
        await store.open()
        server.stop("immediate")
        with pytest.raises(Unavailable, match="cannot be re"):
            await store.head()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store.reopen()
        server.start()
        await store.reopen()
        assert await store.head() is None
        await store.close()


@pytest.mark.parametrize(
    "rest",
    [
        "u@127.0.0.1:secret/db",
        "u@127.0.0.1:99999/db",
        "u@[::1/db",
        "u@127.0.0.1:1,/db",
        "u@h..x/db",
        f"u@{'a' * 70}/db",
        "u@h%00/db",
    ],
)
async def test_a_url_that_the_driver_does_not_understand_is_malformed_and_not_repeated(rest):
    with pytest.raises(Malformed, match="is not understood") as malformed:
        await PostgresStore(f"postgresql://{rest}", "log").open()
    assert "secret" not in str(malformed.value)


async def test_sessions_that_are_given_up_in_the_middle_do_not_stay(site):
    """Whoever starts may be told to stop at any point."""
    for turns in range(40):
        store = site.store()
        opening = asyncio.create_task(store.open())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await store.close()
    count = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sigbox_{site.name}'"
    await until(lambda: site.server.sql(count) == "0")


DAMAGE = [
    ("UPDATE entry SET leaf = '\\x00' WHERE idx = 599", "hash to"),
    ("UPDATE entry SET leaf = '\\x00' WHERE idx = 3", "entries 0 to 255 do not hash"),
    ("UPDATE entry SET identity = '\\x00' WHERE idx = 599", "damaged"),
    ("UPDATE entry SET extra = '\\x00' WHERE idx = 3", "damaged"),
    ("DELETE FROM entry WHERE idx = 599", "incomplete"),
    ("DELETE FROM entry WHERE idx = 100", "incomplete"),
    ("UPDATE tile SET hashes = decode(repeat('00', 8192), 'hex') WHERE idx = 0", "hash to"),
    ("DELETE FROM tile WHERE idx = 1", "incomplete"),
    ("UPDATE head SET root = decode(repeat('00', 32), 'hex')", "hash to"),
    ("UPDATE head SET size = 599", "hash to"),
    ("UPDATE head SET size = 601", "incomplete"),
    ("UPDATE head SET checkpoint = replace(checkpoint, '600', '599')", "not one of this log"),
    ("UPDATE head SET remembered = 601", "covers 601 entries"),
]


@pytest.mark.parametrize(("statement", "message"), DAMAGE)
async def test_damage_is_found_at_the_start(site, entry, statement, message):
    await closed(site, entry, 600)
    change(site, statement)
    with pytest.raises((Refused, Unavailable), match=message):
        await site.open()


async def test_a_lost_database_is_refused(site, entry):
    await closed(site, entry, 5)
    site.server.sql(f"DROP SCHEMA sigbox_{site.name} CASCADE")
    with pytest.raises(Refused, match="has 0 entries, but a checkpoint of 5 has been published"):
        await site.open()


async def test_a_newer_format_is_refused(site, entry):
    await closed(site, entry, 1)
    change(site, "UPDATE head SET version = 2")
    with pytest.raises(Refused, match="format 2, this program knows formats up to 1"):
        await site.open()
