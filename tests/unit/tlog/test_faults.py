# SPDX-License-Identifier: Apache-2.0
"""Failures on either side of the commit point, restored backups, second owners."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sqlite3
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import keys
from sigcore.errors import Refused, Unavailable
from tests.unit.tlog.test_ct import CA, KEY
from tests.until import until
from tlog.anchor import Anchored
from tlog.anchor_file import FileAnchor
from tlog.certificate_log import CertificateLogService
from tlog.log import Log
from tlog.publish import CheckpointPublisher, Signed
from tlog.rekor_v2 import RekorV2
from tlog.storage.sqlite import SCHEMA_VERSION, SqliteStore


class FaultyStore:
    """A store whose next commits fail as ordered: "before" (nothing stored) or "after" (stored, and no answer)."""

    def __init__(self, store, orders: list[str]) -> None:
        self._store = store
        self.orders = orders

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def commit(self, batch, then, check, meanwhile) -> None:
        order = self.orders.pop(0) if self.orders else "pass"
        if order == "before":
            raise Unavailable("disk I/O error")
        if order == "after":
            await self._store.commit(batch, check=check, meanwhile=meanwhile)
            raise sqlite3.OperationalError("disk I/O error")
        await self._store.commit(batch, then, check, meanwhile)


class FaultyAnchor(FaultyStore):
    async def advance(self, previous, current) -> None:
        self.advance_here(previous, current)

    def advance_here(self, previous, current) -> None:
        order = self.orders.pop(0) if self.orders else "pass"
        if order == "before":
            raise Unavailable("disk I/O error")
        self._store.advance_here(previous, current)
        if order == "after":
            raise Unavailable("disk I/O error")


async def patiently(log, submission):
    """What a client does: try again while the log is unavailable."""
    for _ in range(6000):
        try:
            return await log.submit(submission)
        except Unavailable:
            await asyncio.sleep(0.01)
    pytest.fail("the log did not come back")


class FaultyPublisher(CheckpointPublisher):
    """A processor that signs wrongly as often as is ordered."""

    faults = 0

    def sign(self, size: int, root: bytes, timestamp_ms: int) -> Signed:
        good = super().sign(size, root, timestamp_ms)
        if not self.faults:
            return good
        self.faults -= 1
        wrong = bytearray(base64.b64decode(good.envelope.rstrip("\n").rpartition(" ")[2]))
        wrong[-1] ^= 1
        signature, text = bytes(wrong[4:]), good.envelope.partition("\n\n")[0] + "\n"
        envelope = f"{good.envelope.rpartition(' ')[0]} {base64.b64encode(wrong).decode()}\n"
        return Signed(envelope, lambda: keys.verify(self.note_key.key, signature, text.encode(), what="the signature"))


async def test_a_wrong_signature_is_neither_stored_nor_shown_and_the_log_goes_on(site, entry, whole_tree):
    publisher = FaultyPublisher(site.publisher().origin, site.key)
    log = Log(site.store(), site.anchor(), publisher, site.clock)
    await log.start()
    site.logs.append(log)
    await log.submit(entry(0))
    shown, publisher.faults = log.checkpoint(), 1
    with pytest.raises(Unavailable, match="the signature"):
        await log.submit(entry(1))
    assert log.checkpoint() == shown
    receipts = await asyncio.gather(*(patiently(log, entry(number)) for number in range(1, 4)))
    assert sorted(receipt.index for receipt in receipts) == [1, 2, 3]
    log = await site.restart(log)
    assert await whole_tree(site, log) == [entry(0).leaf, *sorted(entry(number).leaf for number in (1, 2, 3))]


@pytest.mark.parametrize("orders", [["before"], ["after"], ["pass", "before", "after", "pass", "after", "before"]])
@pytest.mark.parametrize("where", ["store", "anchor"])
async def test_a_write_with_unknown_outcome_loses_and_doubles_nothing(site, entry, whole_tree, orders, where):
    store, anchor = FaultyStore(site.store(), []), FaultyAnchor(site.anchor(), [])
    log = await site.open(store, anchor)
    first = await asyncio.gather(*(log.submit(entry(number)) for number in range(10)))
    (store if where == "store" else anchor).orders = list(orders)
    receipts = await asyncio.gather(*(patiently(log, entry(number)) for number in range(60)))
    assert [receipt.index for receipt in receipts[:10]] == [receipt.index for receipt in first]
    assert sorted(receipt.index for receipt in receipts) == list(range(60))
    leaves = await whole_tree(site, log)
    assert sorted(leaves) == sorted(entry(number).leaf for number in range(60))
    log = await site.restart(log)
    assert await whole_tree(site, log) == leaves


async def test_after_a_failure_everyone_who_waits_is_told(site, entry):
    store = FaultyStore(site.store(), ["after"])
    log = await site.open(store)
    results = await asyncio.gather(*(log.submit(entry(number)) for number in range(300)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    assert "later is safe" in results[0].hint
    again = await asyncio.gather(*(patiently(log, entry(number)) for number in range(300)))
    assert sorted(receipt.index for receipt in again) == list(range(300))


async def test_nothing_is_shown_before_it_is_anchored(site, entry):
    anchor = FaultyAnchor(site.anchor(), [])
    log = await site.open(anchor=anchor)
    await log.submit(entry(0))
    shown = log.checkpoint()
    anchor.orders = ["before", "before", "before", "before"]
    with pytest.raises(Unavailable):
        await log.submit(entry(1))
    assert log.checkpoint() == shown
    assert log.size == 1


async def test_a_crash_between_commit_and_anchor_is_repaired(site, entry, whole_tree):
    log = await site.open()
    await log.submit(entry(0))
    await log.stop()
    site.logs.remove(log)
    behind = await open_anchor(site)
    log = await site.open()
    await log.submit(entry(1))
    await log.stop()
    site.logs.remove(log)
    ahead = await open_anchor(site)
    await put_anchor(site, ahead, behind)
    log = await site.open()
    assert log.size == 2
    await log.stop()
    site.logs.remove(log)
    assert await open_anchor(site) == ahead
    log = await site.open()
    assert len(await whole_tree(site, log)) == 2


async def open_anchor(site) -> Anchored:
    anchor = site.anchor()
    await anchor.open()
    anchored = await anchor.read()
    await anchor.close()
    return anchored


async def put_anchor(site, previous, current) -> None:
    anchor = site.anchor()
    await anchor.open()
    await anchor.advance(previous, current)
    await anchor.close()


async def test_an_anchor_of_another_history_is_refused(site, entry):
    log = await site.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(5)))
    await log.stop()
    site.logs.remove(log)
    anchored = await open_anchor(site)
    for other in (Anchored(3, bytes(32), "x\n"), Anchored(5, bytes(32), "x\n")):
        await put_anchor(site, anchored, other)
        anchored = other
        with pytest.raises(Refused, match=rf"first {other.size} entries .* are not those that were published"):
            await site.open()


async def test_a_lost_database_is_refused(disk, entry):
    log = await disk.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(5)))
    await log.stop()
    disk.logs.remove(log)
    (disk.folder / "log.db").unlink()
    with pytest.raises(Refused, match="has 0 entries, but a checkpoint of 5 has been published"):
        await disk.open()


async def test_a_restored_older_database_is_refused(disk, entry):
    log = await disk.open()
    await log.submit(entry(0))
    await log.stop()
    disk.logs.remove(log)
    shutil.copy(disk.folder / "log.db", disk.folder / "backup.db")
    log = await disk.open()
    await log.submit(entry(1))
    await log.stop()
    disk.logs.remove(log)
    shutil.copy(disk.folder / "backup.db", disk.folder / "log.db")
    with pytest.raises(Refused, match="has 1 entries, but a checkpoint of 2 has been published") as refused:
        await disk.open()
    assert "at least 2 entries" in refused.value.hint


async def test_a_second_opener_is_refused_and_told_who_owns_the_log(disk, entry):
    log = await disk.open()
    with pytest.raises(Refused, match=f"in use by process {os.getpid()}"):
        await disk.open()
    await log.submit(entry(0))


async def test_an_owner_that_was_replaced_cannot_write(site, entry, whole_tree):
    old = await site.open()
    await old.submit(entry(0))
    site.break_lock()
    new = await site.open()
    with pytest.raises(Unavailable):
        await old.submit(entry(1))
    assert (await new.submit(entry(2))).index == 1
    await until(lambda: "new owner" in old.fault)  # first it reads back, over a new connection where it needs one
    with pytest.raises(Unavailable, match="new owner"):
        await old.submit(entry(3))
    assert await whole_tree(site, new) == [b"entry 0", b"entry 2"]


async def test_another_key_is_refused(site, entry):
    log = await site.open()
    await log.submit(entry(0))
    await log.stop()
    site.logs.remove(log)
    site.key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(Refused, match="not one of this log"):
        await site.open()


async def test_a_signature_that_does_not_verify_is_not_stored(site, entry, monkeypatch):
    log = await site.open()
    await log.submit(entry(0))
    monkeypatch.setattr("tlog.publish.keys.sign", lambda _key, _message: bytes(64))
    with pytest.raises(Unavailable):
        await log.submit(entry(1))
    monkeypatch.undo()
    assert (await patiently(log, entry(1))).index == 1


DAMAGE = [
    ("UPDATE entry SET leaf = 'x' WHERE idx = 599", "damaged"),
    ("UPDATE entry SET leaf = x'00' WHERE idx = 599", "hash to"),
    ("UPDATE entry SET leaf = x'00' WHERE idx = 3", "entries 0 to 255 do not hash"),
    ("UPDATE entry SET identity = x'00' WHERE idx = 599", "damaged"),
    ("UPDATE entry SET extra = x'00' WHERE idx = 3", "damaged"),
    ("DELETE FROM entry WHERE idx = 599", "incomplete"),
    ("DELETE FROM entry WHERE idx = 100", "incomplete"),
    ("UPDATE tile SET hashes = zeroblob(8192) WHERE id = 0", "hash to"),
    ("DELETE FROM tile WHERE id = 1", "incomplete"),
    ("UPDATE head SET root = zeroblob(32)", "hash to"),
    ("UPDATE head SET size = 599", "hash to"),
    ("UPDATE head SET size = 601", "incomplete"),
    ("UPDATE head SET checkpoint = replace(checkpoint, '600', '599')", "not one of this log"),
    ("UPDATE head SET remembered = 601", "covers 601 entries"),
]


@pytest.mark.parametrize(("statement", "message"), DAMAGE)
async def test_damage_is_found_at_the_start(disk, entry, statement, message):
    log = await disk.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(600)))
    await log.stop()
    disk.logs.remove(log)
    change(disk.folder / "log.db", statement)
    with pytest.raises((Refused, Unavailable), match=message):
        await disk.open()


async def test_damage_while_running_is_never_answered(disk, entry):
    log = await disk.open()
    await asyncio.gather(*(log.submit(entry(number)) for number in range(600)))
    change(disk.folder / "log.db", "UPDATE entry SET leaf = x'00' WHERE idx = 3")
    with pytest.raises(Unavailable, match="the entry 3 is damaged"):
        await log.receipt(3)


def change(path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


async def test_a_newer_format_is_refused(disk):
    log = await disk.open()
    await log.stop()
    disk.logs.remove(log)
    with sqlite3.connect(disk.folder / "log.db") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(Refused, match=f"format {SCHEMA_VERSION + 1}"):
        await disk.open()
    store = SqliteStore(disk.folder / "log.db")
    with pytest.raises(Refused, match="format"):
        await store.open()


async def test_files_are_for_their_owner_only(disk, entry):
    before = os.umask(0)
    try:
        log = await disk.open()
        await log.submit(entry(0))
        modes = {path.name: path.stat().st_mode & 0o777 for path in disk.folder.iterdir()}
    finally:
        os.umask(before)
    assert {"log.db", "log.db-wal", "log.db.lock", "anchor.checkpoint"} <= set(modes)
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("kind", ["rekor", "ct"])
async def test_a_log_that_cannot_take_its_first_entry_lets_go_of_its_store(tmp_path, kind):
    """A tree that a rotation adds is opened again and again; the disk may have had no room at the first time."""

    def make(orders):
        store, clock = FaultyStore(SqliteStore(tmp_path / "log.db"), orders), lambda: datetime(2026, 3, 1, tzinfo=UTC)
        if kind == "ct":
            options = {"origin": "ct.example", "key": KEY, "roots": (CA.root,), "clock": clock}
            return CertificateLogService(store, FileAnchor(tmp_path / "anchor.checkpoint"), **options)
        return RekorV2(store, FileAnchor(tmp_path / "anchor.checkpoint"), origin="log.example", key=KEY, clock=clock)

    with pytest.raises(Unavailable, match="disk I/O error"):
        await make(["before"]).start()
    again = make([])
    await again.start()
    assert again.log.size == 1
    await again.stop()
