# SPDX-License-Identifier: Apache-2.0
"""A log that asks witnesses: real ones, in the same process. What they refuse, and what becomes of a log without its quorum."""

from __future__ import annotations

import asyncio
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import merkle
from sigcore.cosignature import cosigner_key, verify_cosignature
from sigcore.errors import Malformed, NotFound, SigError, Unavailable
from sigcore.note import note_key, parse_note
from tests.until import until
from tlog import cosigning, sequencer
from tlog.cosigning import Answer, Asked, Cosigners
from tlog.log import Log
from tlog.publish import SigningClock
from tlog.storage.memory import MemoryStore
from tlog.witness import Conflict, MemoryWitnessStore, Unsigned, Witness, parse_witness_request

_STATUS = {Malformed: 400, Unsigned: 403, NotFound: 404, Conflict: 409}


class Peer:
    """A witness, and the way to it: it can be cut, and what was asked is kept."""

    def __init__(self, site, number: int) -> None:
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))
        self.name = f"witness{number}.example"
        self.store = MemoryWitnessStore()
        origin = site.publisher().origin
        logs = {origin: (note_key(origin, site.key.public_key()),)}
        self.witness = Witness(self.name, self.key, lambda: logs, self.store, SigningClock(site.clock))
        self.down = False
        self.silent = False
        self.asked: list[int] = []

    async def __call__(self, body: bytes) -> Answer:
        self.asked.append(parse_witness_request(body).checkpoint.size)
        if self.silent:
            await asyncio.sleep(3600)
        if self.down:
            raise Unavailable("nobody listens")
        try:
            return Answer(200, (await self.witness.add(body)).encode())
        except Conflict as conflict:
            return Answer(409, f"{conflict.size}\n".encode())
        except SigError as error:
            return Answer(next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 422), b"no\n")

    @property
    def public(self):
        return cosigner_key(self.name, self.key.public_key())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(cosigning, "REST_S", 0.05)
    monkeypatch.setattr(sequencer, "RENEW_S", 0.02)
    monkeypatch.setattr(sequencer, "RETRY_S", 0.02)


@pytest.fixture(params=["memory", "sqlite"])
async def place(request, tmp_path):
    from tests.unit.tlog.conftest import Site  # noqa: PLC0415 - a module of fixtures

    site = Site(tmp_path, durable=request.param == "sqlite")
    yield site
    for log in site.logs:
        await log.stop()


async def opened(site, peers, quorum: int = 0, store=None) -> Log:
    log = Log(store or site.store(), site.anchor(), site.publisher(), site.clock)
    log.cosigners = Cosigners([Asked(peer.public, peer) for peer in peers], quorum)
    await log.start()
    site.logs.append(log)
    return log


async def reopened(site, log: Log, peers, quorum: int = 0) -> Log:
    await log.stop()
    site.logs.remove(log)
    return await opened(site, peers, quorum)


def signers(site, checkpoint: str, *peers: Peer) -> list[str]:
    """Who has signed: the log, and those of ``peers`` that have; everything is verified, and there is nobody else."""
    site.publisher().verify(checkpoint)
    note = parse_note(checkpoint)
    found = [peer.name for peer in peers if any(line.name == peer.name for line in note.signatures)]
    for peer in peers:
        if peer.name in found:
            verify_cosignature(note, peer.public)
    assert len(note.signatures) == 1 + len(found)
    return found


def check(site, receipt) -> None:
    checkpoint = site.publisher().verify(receipt.checkpoint)
    assert (checkpoint.size, checkpoint.root) == (receipt.size, receipt.root)
    merkle.verify_inclusion(
        leaf_hash=merkle.hash_leaf(receipt.leaf),
        index=receipt.index,
        size=receipt.size,
        proof=receipt.proof,
        root=receipt.root,
    )


async def test_every_receipt_carries_the_cosignatures(place, entry):
    peers = Peer(place, 1), Peer(place, 2)
    log = await opened(place, peers)
    await log.submit(entry(0))
    alone = [await log.submit(entry(number)) for number in range(1, 6)]
    many = await asyncio.gather(*(log.submit(entry(number)) for number in range(6, 700)))
    for receipt in (*alone, many[0], many[-1]):
        check(place, receipt)
        assert signers(place, receipt.checkpoint, *peers) == ["witness1.example", "witness2.example"]
    assert signers(place, log.checkpoint(), *peers) == [peer.name for peer in peers]
    log = await reopened(place, log, peers)
    receipt = await log.submit(entry(700))
    check(place, receipt)
    assert signers(place, receipt.checkpoint, *peers) == [peer.name for peer in peers]
    for peer in peers:
        seen = await peer.store.read("log.example")
        assert (seen.size, seen.root) == (log.head.size, log.head.root)


async def test_a_batch_asks_each_witness_once(place, entry):
    peer = Peer(place, 1)
    log = await opened(place, [peer])
    await log.submit(entry(0))
    await until(lambda: signers(place, log.checkpoint(), peer))
    before = len(peer.asked)
    receipts = await asyncio.gather(*(log.submit(entry(number)) for number in range(1, 101)))
    assert len({receipt.checkpoint for receipt in receipts}) == len(peer.asked) - before < 5


async def test_the_first_head_is_brought_to_the_witnesses_without_an_entry(place, entry):
    peer = Peer(place, 1)
    log = await opened(place, [peer])
    await log.submit(entry(0))
    log = await reopened(place, log, [peer])
    await until(lambda: signers(place, log.checkpoint(), peer))


# --- best effort -----------------------------------------------------------------------------------------
async def test_without_a_quorum_a_log_goes_on_without_its_witness_and_says_so(place, entry, caplog):
    up, down = Peer(place, 1), Peer(place, 2)
    log = await opened(place, [up, down])
    await log.submit(entry(0))
    down.down = True
    with caplog.at_level(logging.ERROR):
        receipts = [await log.submit(entry(number)) for number in range(1, 4)]
    assert [signers(place, receipt.checkpoint, up, down) for receipt in receipts] == [["witness1.example"]] * 3
    said = [record.getMessage() for record in caplog.records if "witness2.example" in record.getMessage()]
    assert said == ["no cosignature of the witness witness2.example: nobody listens"], "it is said once"
    assert log.cosigners.witnesses[1].fault == "nobody listens"
    assert log.cosigners.witnesses[1].failed >= 1
    assert not log.fault
    down.down = False
    await until(lambda: len(signers(place, log.checkpoint(), up, down)) == 2)
    assert log.cosigners.witnesses[1].fault == ""


async def test_a_witness_that_does_not_answer_is_waited_for_once(place, entry, monkeypatch):
    monkeypatch.setattr(cosigning, "PATIENCE_S", 0.05)
    monkeypatch.setattr(cosigning, "REST_S", 3600)
    peer = Peer(place, 1)
    log = await opened(place, [peer])
    await log.submit(entry(0))
    await until(lambda: signers(place, log.checkpoint(), peer))
    peer.silent = True
    before = len(peer.asked)
    for number in range(1, 6):
        assert signers(place, (await log.submit(entry(number))).checkpoint, peer) == []
    assert len(peer.asked) == before + 1


# --- with a quorum ---------------------------------------------------------------------------------------
async def test_without_its_quorum_no_checkpoint_advances_and_nothing_is_lost(place, entry):
    peer = Peer(place, 1)
    log = await opened(place, [peer], quorum=1)
    await log.submit(entry(0))
    await log.submit(entry(1))
    before = log.checkpoint()
    peer.down = True
    with pytest.raises(Unavailable, match="0 of its witnesses cosigned, 1 must"):
        await log.submit(entry(2))
    for number in (2, 3):
        with pytest.raises(Unavailable, match="takes no entries: 0 of its witnesses"):
            await log.submit(entry(number))
    assert (log.checkpoint(), log.size) == (before, 2)
    assert "nobody listens" in log.fault
    peer.down = False
    await until(lambda: not log.fault)
    again = await log.submit(entry(2))
    assert (again.index, again.duplicate) == (2, True)
    check(place, again)
    assert signers(place, again.checkpoint, peer) == [peer.name]
    assert (await log.submit(entry(3))).index == 3


async def test_a_log_that_starts_without_its_quorum_shows_no_checkpoint(place, entry):
    peer = Peer(place, 1)
    log = await opened(place, [peer], quorum=1)
    await log.submit(entry(0))
    await log.submit(entry(1))
    peer.down = True
    with pytest.raises(Unavailable):
        await log.submit(entry(2))
    log = await reopened(place, log, [peer], quorum=1)
    with pytest.raises(Unavailable, match="shows no checkpoint: its witnesses have not cosigned"):
        log.checkpoint()
    with pytest.raises(Unavailable, match="shows no checkpoint"):
        await log.receipt(0)
    with pytest.raises(Unavailable, match="takes no entries"):
        await log.submit(entry(3))
    log = await reopened(place, log, [peer], quorum=1)  # stopping and starting in this state does no harm
    peer.down = False
    await until(lambda: not log.fault)
    assert signers(place, log.checkpoint(), peer) == [peer.name]
    assert [one.leaf for one in await log.entries(0, log.size)] == [b"entry 0", b"entry 1", b"entry 2"]


async def test_two_of_three_are_enough(place, entry):
    peers = [Peer(place, number) for number in (1, 2, 3)]
    log = await opened(place, peers, quorum=2)
    await log.submit(entry(0))
    peers[1].down = True
    receipt = await log.submit(entry(1))
    assert signers(place, receipt.checkpoint, *peers) == ["witness1.example", "witness3.example"]
    peers[2].down = True
    with pytest.raises(Unavailable, match="1 of its witnesses cosigned, 2 must"):
        await log.submit(entry(2))
    peers[1].down = False
    await until(lambda: not log.fault)
    assert signers(place, log.checkpoint(), *peers) == ["witness1.example", "witness2.example"]
    assert (await log.submit(entry(3))).index == 3


async def test_a_cosignature_by_another_key_does_not_count(place, entry):
    peer, impostor = Peer(place, 1), Peer(place, 2)
    impostor.name = peer.name
    log = await opened(place, [peer], quorum=1)
    await log.submit(entry(0))
    await log.submit(entry(1))
    log.cosigners.witnesses[0]._ask = impostor
    with pytest.raises(Unavailable, match="not cosigned by"):
        await log.submit(entry(2))
    log.cosigners.witnesses[0]._ask = peer
    await until(lambda: not log.fault)
    assert log.size == 3


async def test_no_witness_is_asked_before_the_entry_is_durable(place, entry):
    class Full(MemoryStore):
        full = False

        async def commit(self, *arguments, **named):
            if self.full:
                raise Unavailable("the disk is full")
            await super().commit(*arguments, **named)

    store, peer = Full(), Peer(place, 1)
    log = await opened(place, [peer], quorum=1, store=store)
    await log.submit(entry(0))
    await log.submit(entry(1))
    store.full = True
    with pytest.raises(Unavailable, match="the disk is full"):
        await log.submit(entry(2))
    assert max(peer.asked) == 2
    store.full = False
    await until(lambda: not log.fault)
    assert (await log.submit(entry(3))).index == 2


# --- forks and old copies --------------------------------------------------------------------------------
async def grown(site, peer: Peer, first: int, count: int, entry) -> None:
    """A log of ``site`` with other entries, that ``peer`` has cosigned."""
    log = await opened(site, [peer], quorum=1)
    await until(lambda: not log.fault)
    for number in range(first, first + count):
        await log.submit(entry(number))
    await until(lambda: signers(site, log.checkpoint(), peer))
    await log.stop()
    site.logs.remove(log)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (4, "another tree of 4 entries: the log is forked"),
        (3, "has seen 4 entries of this log, which has 3"),
        (6, "another tree of 4 entries than this log has grown from"),
    ],
)
async def test_another_history_is_refused_by_the_witness_and_told_by_the_log(tmp_path, entry, caplog, entries, told):
    """Database and anchor are both of another history, so the log alone cannot know."""
    from tests.unit.tlog.conftest import Site  # noqa: PLC0415 - a module of fixtures

    true, other = Site(tmp_path, durable=False), Site(tmp_path, durable=False)
    peer = Peer(true, 1)
    await grown(true, peer, 0, 4, entry)
    forked = await opened(other, [])
    for number in range(100, 100 + entries):
        await forked.submit(entry(number))
    with caplog.at_level(logging.ERROR):
        log = await reopened(other, forked, [peer])
        await until(lambda: log.cosigners.witnesses[0].failed)
        assert told in log.cosigners.witnesses[0].fault
        log = await reopened(other, log, [peer], quorum=1)
        await until(lambda: told in log.fault)
        with pytest.raises(Unavailable, match="takes no entries"):
            await log.submit(entry(1))
    assert any(told in record.getMessage() for record in caplog.records)
    assert (await peer.store.read("log.example")).size == 4
    await log.stop()
    await grown(true, peer, 4, 2, entry)  # the control: the true one goes on
    assert (await peer.store.read("log.example")).size == 6


async def test_a_log_in_a_shared_database_asks_no_witness(place):
    from tlog.storage.base import Shared  # noqa: PLC0415 - of this test alone

    log = Log(place.store(), place.anchor(), place.publisher(), place.clock)
    log._store = type("SharedStore", (Shared,), {})()
    with pytest.raises(SigError, match="asks no witnesses"):
        log.cosigners = Cosigners([], 0)
