# SPDX-License-Identifier: Apache-2.0
"""F07: single bits, whole pages and lost tails of a log's database. What changed anything is found by the full pass.

Whether a flip changed anything is decided by a reader that knows nothing of hashes: it compares what SQLite reads out.
``PRAGMA integrity_check`` is counted beside it, to show why it is no substitute.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sigcore.errors import Refused, Unavailable
from sigcore.tiles import Tile
from tests.chance import chosen_seed
from tests.faults.injections import PUBLISHER, make_log
from tlog.anchor_file import load_anchored
from tlog.audit import audit
from tlog.log import Submission
from tlog.storage.sqlite import SqliteStore

pytestmark = pytest.mark.faults

ENTRIES = 600
FLIPS, PAGES, TAILS = 200, 40, 15
PAGE = 4096
TABLES = (
    "SELECT idx, identity, guard, leaf, extra FROM entry ORDER BY idx",
    "SELECT id, hashes FROM tile ORDER BY id",
    # Not the owner's epoch and the time of the head: they say nothing about entries, and nothing covers them.
    "SELECT size, root, checkpoint, remembered FROM head",
    "SELECT prefix, idx FROM seen ORDER BY prefix, idx",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> bytes:
    """A log of more than two tiles, closed in order."""
    folder = tmp_path_factory.mktemp("log")

    async def fill() -> None:
        log = make_log(folder)
        await log.start()
        leaves = [b"%d" % number * 100 for number in range(ENTRIES)]
        await asyncio.gather(*(log.submit(Submission(one, hashlib.sha256(one).digest(), b"kept")) for one in leaves))
        await log.stop()

    asyncio.run(fill())
    data = (folder / "log.db").read_bytes()
    assert is_found(folder, data) is False
    return data


def is_found(folder: Path, data: bytes) -> bool:
    """Whether the full pass over a database of these bytes refuses it."""
    (folder / "log.db").write_bytes(data)

    async def look() -> None:
        store = SqliteStore(folder / "log.db")
        store.open_for_reading()
        try:
            await audit(store, PUBLISHER, load_anchored(folder / "anchor.checkpoint"))
        finally:
            await store.close()

    try:
        asyncio.run(look())
    except (Refused, Unavailable):
        return True
    return False


def contents(folder: Path, data: bytes) -> object:
    """What SQLite reads out, or that it cannot."""
    (folder / "log.db").write_bytes(data)
    try:
        with closing(sqlite3.connect(f"file:{folder}/log.db?mode=ro", uri=True)) as connection:
            return [connection.execute(query).fetchall() for query in TABLES]
    except sqlite3.Error:
        return None


def passes_integrity_check(folder: Path, data: bytes) -> bool:
    (folder / "log.db").write_bytes(data)
    try:
        with closing(sqlite3.connect(folder / "log.db")) as connection:
            return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False


def test_f07_every_damage_that_changes_anything_is_found(database: bytes, tmp_path: Path):
    seed = chosen_seed()
    chance, intact = random.Random(seed), contents(tmp_path, database)
    damaged = [flipped(database, chance) for _ in range(FLIPS)]
    damaged += [zeroed(database, chance) for _ in range(PAGES)]
    damaged += [database[: chance.randrange(len(database))] for _ in range(TAILS)]
    changed = [data for data in damaged if contents(tmp_path, data) != intact]
    missed = [data for data in changed if not is_found(tmp_path, data)]
    unseen = sum(passes_integrity_check(tmp_path, data) for data in changed)
    print(
        f"\nseed {seed}: {len(damaged)} damaged databases, {len(changed)} read differently: {len(missed)} of them missed by the"
        f" audit, {unseen} by integrity_check"
    )
    assert len(changed) > len(damaged) // 4
    assert not missed
    assert unseen > len(changed) // 4  # the reason for hashing


def flipped(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def zeroed(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) // PAGE) * PAGE
    return data[:place] + bytes(PAGE) + data[place + PAGE :]


# --- while it serves ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("index", [0, 255, 256, 511, 512, ENTRIES - 1])
async def test_f07_an_entry_that_is_not_what_was_stored_is_answered_to_nobody(
    database: bytes, tmp_path: Path, index: int
):
    """Behind a log that serves, so that no start and no audit has seen it; of every other entry nothing is missing."""
    (tmp_path / "log.db").write_bytes(database)
    log = make_log(tmp_path)
    await log.start()
    try:
        whole = await log.entries(0, ENTRIES)
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as connection:
            connection.execute("UPDATE entry SET leaf = 'x' || substr(leaf, 2) WHERE idx = ?", (index,))
            connection.execute("UPDATE entry SET leaf = cast(leaf AS BLOB)")
        for first, end in (
            (index, index + 1),
            (0, ENTRIES),
            (index // 256 * 256, min(ENTRIES, index // 256 * 256 + 256)),
        ):
            with pytest.raises(Unavailable, match=f"the entry {index} is damaged"):
                await log.entries(first, end)
        assert await log.entries(0, index) == whole[:index]
        assert await log.entries(index + 1, ENTRIES) == whole[index + 1 :]
    finally:
        await log.stop()


@pytest.mark.parametrize("index", [0, 1])
async def test_f07_a_tile_that_is_not_what_was_stored_proves_nothing(database: bytes, tmp_path: Path, index: int):
    (tmp_path / "log.db").write_bytes(database)
    log = make_log(tmp_path)
    await log.start()
    try:
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as connection:
            (row, hashes) = connection.execute(
                "SELECT id, hashes FROM tile ORDER BY id LIMIT 1 OFFSET ?", (index,)
            ).fetchone()
            changed = hashes[:-1] + bytes([hashes[-1] ^ 1])
            connection.execute("UPDATE tile SET hashes = ? WHERE id = ?", (changed, row))
        for width in (1, 256):
            with pytest.raises(Unavailable, match=f"the tile 0/{index} is damaged"):
                await log.tile(Tile(0, index, width))
        inside, outside = index * 256 + 5, (1 - index) * 256 + 5
        with pytest.raises(Unavailable, match="damaged"):
            await log.inclusion(inside, ENTRIES)
        with pytest.raises(Unavailable, match="damaged"):
            await log.entries(inside, inside + 1)
        assert await log.inclusion(outside, ENTRIES)
        assert await log.entries(outside, outside + 1)
        assert await log.tile(Tile(0, 1 - index, 256))
    finally:
        await log.stop()
