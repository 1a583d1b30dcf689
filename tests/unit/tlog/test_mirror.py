# SPDX-License-Identifier: Apache-2.0
"""A copy of somebody else's log: it shows nothing that does not hash to a head which the log has signed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import keys, merkle
from sigcore.checkpoint import verify_checkpoint
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from tests.unit.tlog.conftest import ORIGIN, Site
from tests.until import until
from tlog import mirror as module
from tlog.log import Log, Submission
from tlog.mirror import Mirror
from tlog.publish import CheckpointPublisher, CheckpointReader
from tlog.storage.base import Batch, Head, nothing
from tlog.storage.memory import Memory, MemoryStore
from tlog.storage.sqlite import SqliteStore

Lie = Callable[[tuple[Submission, ...]], tuple[Submission, ...]]


class Asked:
    """The log as it answers over a network that the test holds in its hands."""

    def __init__(self, log: Log, site: Site) -> None:
        self.log = log
        self.reader = CheckpointReader(ORIGIN, site.key.public_key())
        self.lie: Lie = lambda found: found
        self.said: str | None = None
        self.most = 1000

    async def head(self) -> str:
        return self.log.checkpoint() if self.said is None else self.said

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        return self.lie(await self.log.entries(first, min(end, first + self.most)))


async def grow(log: Log, number: int) -> None:
    for _ in range(number):
        leaf = b"entry %d" % log.size
        await log.submit(Submission(leaf, merkle.hash_leaf(leaf)))


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    site = Site(tmp_path, durable=False)
    log = await site.open()
    await grow(log, 3)
    yield Asked(log, site)
    await log.stop()


@asynccontextmanager
async def copied(asked: Asked, place: Path | Memory | None = None) -> AsyncIterator[Mirror]:
    """A copy that the test moves on by itself."""
    memory = place if isinstance(place, Memory) else Memory()
    kept = place if isinstance(place, Path) else None

    def forget() -> None:
        if kept is None:
            memory.entries, memory.tiles, memory.head = [], {}, None
        else:
            kept.unlink()

    store = (lambda: SqliteStore(kept)) if kept else (lambda: MemoryStore(memory))
    mirror = Mirror(store, forget, asked.reader, asked, Site(Path(), durable=False).clock)
    await mirror.start()
    assert mirror._task is not None
    mirror._task.cancel()
    yield mirror
    await mirror.stop()


async def test_it_follows_and_reads_like_the_log(asked: Asked):
    async with copied(asked) as mirror:
        with pytest.raises(Unavailable, match="empty so far"):
            _ = mirror.head
        await mirror.advance()
        await grow(asked.log, 5)
        await mirror.advance()
        assert (mirror.size, mirror.head.root) == (8, asked.log.head.root)
        assert [one.leaf for one in await mirror.entries(0, 8)] == [one.leaf for one in await asked.log.entries(0, 8)]
        assert await mirror.inclusion(2, 7) == await asked.log.inclusion(2, 7)
        assert await mirror.consistency(3, 8) == await asked.log.consistency(3, 8)
        receipt, original = await mirror.receipt(4), await asked.log.receipt(4)
        assert (receipt.proof, receipt.checkpoint) == (original.proof, original.checkpoint)
        for beyond in (mirror.entries(0, 9), mirror.receipt(8)):
            with pytest.raises(NotFound):
                await beyond
        for beyond in (mirror.inclusion(0, 9), mirror.consistency(1, 9)):
            with pytest.raises(Malformed):
                await beyond


async def test_a_copy_that_cannot_be_read_at_first_lets_go_of_its_store(asked: Asked, tmp_path: Path):
    """Whoever follows a rotation opens it again, with the next look."""

    class Away(SqliteStore):
        async def head(self) -> Head | None:
            raise Unavailable("disk I/O error")

    mirror = Mirror(lambda: Away(tmp_path / "copy.db"), nothing, asked.reader, asked, asked.log.clock._clock)
    with pytest.raises(Unavailable, match="disk I/O error"):
        await mirror.start()
    async with copied(asked, tmp_path / "copy.db") as again:
        await again.advance()
        assert again.size == 3


async def test_what_is_read_in_pieces_is_shown_when_the_whole_is_confirmed(asked: Asked, monkeypatch):
    monkeypatch.setattr(module, "BATCH_ENTRIES", 100)
    await grow(asked.log, 597)
    asked.most = 70
    sizes = []

    def note(found: tuple[Submission, ...]) -> tuple[Submission, ...]:
        sizes.append(mirror.size)
        return found

    asked.lie = note
    async with copied(asked) as mirror:
        await mirror.advance()
        assert len(sizes) > 8
        assert set(sizes) == {0}
        assert mirror.size == 600
        assert (await mirror.receipt(0)).proof == (await asked.log.receipt(0)).proof
        assert (await mirror.receipt(599)).proof == (await asked.log.receipt(599)).proof


LIES: dict[str, Lie] = {
    "another byte": lambda found: (Submission(found[0].leaf + b".", found[0].identity), *found[1:]),
    "another order": lambda found: found[::-1],
    "an entry twice": lambda found: (found[0], *found[:-1]),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kept", ["", "copy.db"])
async def test_entries_that_do_not_hash_to_the_signed_head_are_never_shown_and_read_anew(
    asked: Asked, tmp_path: Path, lie: str, kept: str
):
    async with copied(asked, tmp_path / kept if kept else None) as mirror:
        await mirror.advance()
        await grow(asked.log, 4)
        asked.lie = LIES[lie]
        with pytest.raises(Refused, match="do not hash to the head that the log has signed"):
            await mirror.advance()
        assert mirror.size == 0
        asked.lie = lambda found: found
        await mirror.advance()
        assert mirror.head.root == asked.log.head.root


@pytest.mark.parametrize("lie", [lambda _: (), lambda found: (*found, *found)])
async def test_no_entry_and_more_than_were_asked_for_are_no_answer(asked: Asked, lie: Lie):
    asked.lie = lie
    async with copied(asked) as mirror:
        with pytest.raises(Malformed, match="the log gave"):
            await mirror.advance()
        assert mirror.size == 0


async def test_a_head_of_another_key_of_another_log_or_changed_is_no_head(asked: Asked):
    head, site = asked.log.head, Site(Path(), durable=False)
    other = CheckpointPublisher(ORIGIN, keys.generate_p256())
    async with copied(asked) as mirror:
        for said in (
            other.sign(head.size, head.root, 0).verified(),
            CheckpointPublisher("other.example", site.key).sign(head.size, head.root, 0).verified(),
            asked.log.checkpoint().replace("\n3\n", "\n2\n"),
            "",
        ):
            asked.said = said
            with pytest.raises((Refused, Malformed)):
                await mirror.advance()
        assert mirror.size == 0


async def test_an_older_head_of_the_same_history_changes_nothing(asked: Asked):
    old = asked.log.checkpoint()
    await grow(asked.log, 2)
    async with copied(asked) as mirror:
        await mirror.advance()
        asked.said = old
        await mirror.advance()
        assert mirror.size == 5
        assert not mirror.damage


@pytest.mark.parametrize("size", [5, 4])
async def test_a_log_that_signs_two_histories_closes_its_copy_with_both_roots(asked: Asked, size: int):
    await grow(asked.log, 2)
    key = Site(Path(), durable=False).key
    async with copied(asked) as mirror:
        await mirror.advance()
        asked.said = CheckpointPublisher(ORIGIN, key).sign(size, bytes(32), 0).verified()
        with pytest.raises(Refused, match="two histories"):
            await mirror.advance()
        assert bytes(32).hex() in mirror.damage
        assert mirror.size == 5


async def test_a_copy_goes_on_after_a_restart_and_is_made_anew_when_it_is_another_logs(asked: Asked, tmp_path: Path):
    async with copied(asked, tmp_path / "copy.db") as mirror:
        await mirror.advance()
    async with copied(asked, tmp_path / "copy.db") as mirror:
        assert mirror.size == 3
        await grow(asked.log, 1)
        await mirror.advance()
        assert mirror.size == 4
    (tmp_path / "other").mkdir()
    site = Site(tmp_path / "other", durable=False)
    site.key = ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32)
    other = Asked(await site.open(), site)
    await grow(other.log, 1)
    async with copied(other, tmp_path / "copy.db") as mirror:
        assert mirror.size == 0
        await mirror.advance()
        assert mirror.head.root == other.log.head.root
    await other.log.stop()


async def test_pieces_that_were_not_confirmed_before_a_restart_are_confirmed_or_thrown_away(asked: Asked):
    for honest in (True, False):
        memory = Memory()
        async with copied(asked, memory) as mirror:
            await mirror.advance()
            memory.head = Head(memory.head.size, memory.head.root, 0, "") if memory.head else None
            if not honest:
                memory.entries[0] = Submission(b"another", bytes(32))
        async with copied(asked, memory) as mirror:
            assert mirror.size == 0
            await mirror.advance()
            assert mirror.head.root == asked.log.head.root
            verify_checkpoint(mirror.head.checkpoint, asked.reader.note_key)


async def test_it_follows_by_itself_and_says_why_it_cannot(asked: Asked, monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    memory = Memory()
    mirror = Mirror(
        lambda: MemoryStore(memory),
        lambda: None,
        asked.reader,
        asked,
        Site(Path(), durable=False).clock,
    )
    await mirror.start()
    await until(lambda: mirror.size == 3 and not mirror.fault)
    asked.said = "no checkpoint"
    await until(lambda: "note" in mirror.fault)
    asked.said = None
    await grow(asked.log, 1)
    await until(lambda: mirror.size == 4 and not mirror.fault)
    await mirror.stop()


@pytest.mark.parametrize("stored", [True, False])
async def test_a_write_whose_outcome_is_not_known_holds_up_a_copy_for_one_round(asked: Asked, monkeypatch, stored):
    """L12: what the disk has after a failure is read back, and the copy goes on from there."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    memory, failures = Memory(), [1]

    class Failing(MemoryStore):
        async def commit(self, batch: Batch, *more: Callable[[], object]) -> None:
            if failures and stored:
                await super().commit(batch, *more)
            if failures:
                failures.pop()
                raise Unavailable("the disk is full")
            await super().commit(batch, *more)

    mirror = Mirror(lambda: Failing(memory), lambda: None, asked.reader, asked, Site(Path(), durable=False).clock)
    await mirror.start()
    await until(lambda: mirror.size == 3 and not mirror.fault)
    await grow(asked.log, 2)
    await until(lambda: mirror.size == 5 and not mirror.fault)
    assert mirror.head.root == asked.log.head.root
    await mirror.stop()


async def test_a_copy_that_could_not_be_begun_anew_is_begun_anew_later(asked: Asked, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    path, refusals = tmp_path / "copy.db", [1, 1, 1]

    def forget() -> None:
        path.unlink(missing_ok=True)

    class Refusing(SqliteStore):
        async def open(self) -> None:
            if not path.exists() and opened and refusals:
                refusals.pop()
                raise Unavailable("there is no room for it")
            await super().open()
            opened.append(1)

    opened: list[int] = []
    mirror = Mirror(lambda: Refusing(path), forget, asked.reader, asked, Site(Path(), durable=False).clock)
    asked.lie = lambda found: tuple(Submission(b"lie", one.identity) for one in found)
    await mirror.start()
    await until(lambda: not refusals)
    asked.lie = lambda found: found
    await until(lambda: mirror.size == 3 and not mirror.fault)
    await mirror.stop()
