# SPDX-License-Identifier: Apache-2.0
"""A witness of other people's logs: each answer of C2SP tlog-witness, the race that rolls leaves back, the time."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sigcore import merkle
from sigcore.checkpoint import Checkpoint, encode_checkpoint, sign_checkpoint
from sigcore.cosignature import verify_cosignature
from sigcore.note import Note, encode_note, note_key, parse_note, sign_note
from tlog.publish import SigningClock
from tlog.storage.witness_sqlite import SqliteWitnessStore
from tlog.witness import Conflict, MemoryWitnessStore, Witness, encode_witness_request
from tlog.witness_http import make_handler

PATH = "/witness/add-checkpoint"
ORIGIN = "log.example"
LOG_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(reversed(range(32))))
WITNESS_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Tree:
    """A log that is only hashes; ``salt`` makes another history."""

    def __init__(self, salt: bytes = b"") -> None:
        self.salt = salt

    def leaf(self, index: int) -> bytes:
        return hashlib.sha256(b"\x00" + self.salt + b"%d" % index).digest()

    @cache  # noqa: B019 - two trees live as long as the tests
    def node(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaf(index)
        return merkle.hash_node(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def checkpoint(self, size: int) -> str:
        return sign_checkpoint(Checkpoint(ORIGIN, size, merkle.root_of(size, self.node)), LOG_KEY)

    def proof(self, old: int, size: int) -> tuple[bytes, ...]:
        return merkle.consistency_proof(old, size, self.node) if old else ()

    @cache  # noqa: B019 - as above
    def request(self, old: int, size: int) -> bytes:
        return encode_witness_request(old, self.proof(old, size), self.checkpoint(size))


TREE, FORK = Tree(), Tree(b"fork")


class Time:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


class Given:
    """A witness behind HTTP; making another one on the same store is what a restart does."""

    def __init__(self, store) -> None:
        self.store, self.time = store, Time()
        self.logs = {ORIGIN: (note_key(ORIGIN, LOG_KEY.public_key()),)}
        self.restart()

    def restart(self) -> None:
        self.witness = Witness("witness.example", WITNESS_KEY, lambda: self.logs, self.store, SigningClock(self.time))


@pytest.fixture(params=["memory", "sqlite"])
async def given(request, tmp_path):
    store = MemoryWitnessStore() if request.param == "memory" else SqliteWitnessStore(tmp_path / "witness.db")
    given = Given(store)
    app = web.Application()
    app.router.add_post(PATH, make_handler(lambda: given.witness))
    async with TestClient(TestServer(app)) as client:
        given.client = client
        yield given
    if isinstance(store, SqliteWitnessStore):
        await store.close()


async def ask(given: Given, body: bytes) -> tuple[int, str, str]:
    async with given.client.post(PATH, data=body) as answer:
        return answer.status, await answer.text(), answer.content_type


def times(given: Given, checkpoint: str, line: str) -> int:
    """The verified time of a cosignature line."""
    return verify_cosignature(parse_note(checkpoint + line), given.witness.public).time_s


async def test_a_log_that_grows_is_cosigned(given):
    for old, size in ((0, 5), (5, 5), (5, 9), (9, 200)):
        status, text, _ = await ask(given, TREE.request(old, size))
        assert status == 200, text
        assert text.startswith("— witness.example ")
        assert times(given, TREE.checkpoint(size), text) == int(NOW.timestamp())
        assert (await given.store.read(ORIGIN)).size == size


async def test_another_witness_key_verifies_nothing(given):
    _, line, _ = await ask(given, TREE.request(0, 5))
    with pytest.raises(Exception, match="not cosigned by"):
        verify_cosignature(parse_note(TREE.checkpoint(5) + line), other_witness().public)


def other_witness() -> Witness:
    return Witness("witness.example", OTHER_KEY, dict, MemoryWitnessStore(), SigningClock(Time()))


def signed_by(key, name: str = ORIGIN, size: int = 5) -> str:
    text = encode_checkpoint(Checkpoint(ORIGIN, size, merkle.root_of(size, TREE.node)))
    return encode_note(sign_note(text, name, key))


async def test_whatever_is_no_such_request_is_400(given):
    good = TREE.request(0, 5)
    for body in (
        b"",
        b"\xff\xfe",
        TREE.checkpoint(5).encode(),
        good.replace(b"old 0\n", b"old 00\n"),
        good.replace(b"old 0\n", b"old -1\n"),
        good.replace(b"old 0\n", b"old 0\nAAAA\n"),
        good.replace(b"old 0\n", b"old 0\n!\n"),
        good.replace(b"old 0\n\n", b"old 0\n"),
        good.replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63),
        good[:-1],
        TREE.request(5, 5).replace(b"old 5\n", b"old 6\n"),
    ):
        status, text, _ = await ask(given, body)
        assert (status, await given.store.read(ORIGIN)) == (400, None), (body, text)
    assert (await ask(given, good))[0] == 200  # the control


async def test_a_body_without_end_is_413(given):
    assert (await ask(given, b"old 0\n\n" + b"x" * 200_000))[0] == 413


async def test_an_unknown_log_is_404(given):
    given.logs = {}
    assert (await ask(given, TREE.request(0, 5)))[0] == 404


async def test_only_the_logs_own_signature_counts(given):
    for note in (
        signed_by(OTHER_KEY),
        signed_by(LOG_KEY, "another.example"),
        signed_by(ec.derive_private_key(7, ec.SECP256R1())),
    ):
        assert (await ask(given, encode_witness_request(0, (), note)))[0] == 403
    spoilt = parse_note(signed_by(LOG_KEY))
    forged = Note(spoilt.text.replace("\n5\n", "\n6\n"), spoilt.signatures)
    assert (await ask(given, encode_witness_request(0, (), encode_note(forged))))[0] == 403
    together = Note(spoilt.text, (*parse_note(signed_by(OTHER_KEY)).signatures, *spoilt.signatures))
    assert (await ask(given, encode_witness_request(0, (), encode_note(together))))[0] == 200


async def test_one_of_two_keys_of_a_log_is_enough(given):
    given.logs = {ORIGIN: (note_key(ORIGIN, OTHER_KEY.public_key()), note_key(ORIGIN, LOG_KEY.public_key()))}
    assert (await ask(given, TREE.request(0, 5)))[0] == 200


async def test_another_old_size_is_409_and_says_the_size(given):
    assert await ask(given, TREE.request(3, 5)) == (409, "0\n", "text/x.tlog.size")
    assert (await ask(given, TREE.request(0, 5)))[0] == 200
    for old, size in ((0, 9), (4, 9), (0, 3), (3, 3), (0, 5)):
        assert await ask(given, TREE.request(old, size)) == (409, "5\n", "text/x.tlog.size")
    assert (await given.store.read(ORIGIN)).size == 5


async def test_a_fork_of_the_same_size_is_409_and_not_cosigned(given):
    assert (await ask(given, TREE.request(0, 5)))[0] == 200
    assert await ask(given, FORK.request(5, 5)) == (409, "5\n", "text/x.tlog.size")
    assert (await given.store.read(ORIGIN)).root == merkle.root_of(5, TREE.node)


async def test_a_proof_that_does_not_hold_is_422(given):
    assert (await ask(given, encode_witness_request(0, (bytes(32),), TREE.checkpoint(5))))[0] == 422
    assert (await ask(given, TREE.request(0, 5)))[0] == 200
    proof = TREE.proof(5, 9)
    for other in ((), proof[:-1], (*proof, bytes(32)), (bytes(32), *proof[1:]), FORK.proof(5, 9)):
        assert (await ask(given, encode_witness_request(5, other, TREE.checkpoint(9))))[0] == 422
    assert (await ask(given, FORK.request(5, 9)))[0] == 422
    assert (await ask(given, encode_witness_request(5, proof, TREE.checkpoint(5))))[0] == 422
    assert (await given.store.read(ORIGIN)).size == 5


async def test_the_empty_tree_has_one_root(given):
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT), LOG_KEY)
    other = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG_KEY)
    assert (await ask(given, encode_witness_request(0, (), other)))[0] == 422
    assert (await ask(given, encode_witness_request(0, (), empty)))[0] == 200
    assert (await ask(given, TREE.request(0, 5)))[0] == 200


async def test_time_never_goes_back(given):
    _, line, _ = await ask(given, TREE.request(0, 5))
    first = times(given, TREE.checkpoint(5), line)
    given.time.now -= timedelta(seconds=3)
    given.restart()
    _, line, _ = await ask(given, TREE.request(5, 6))
    assert times(given, TREE.checkpoint(6), line) == first
    given.time.now -= timedelta(seconds=60)
    assert (await ask(given, TREE.request(6, 7)))[0] == 503
    assert (await given.store.read(ORIGIN)).size == 6


async def test_a_witness_that_cannot_store_cosigns_nothing(tmp_path):
    given = Given(SqliteWitnessStore(tmp_path / "missing" / "witness.db"))
    app = web.Application()
    app.router.add_post(PATH, make_handler(lambda: given.witness))
    async with TestClient(TestServer(app)) as given.client:
        status, text, _ = await ask(given, TREE.request(0, 5))
        assert (status, "cosigned" in text) == (503, True)
        (tmp_path / "missing").mkdir()
        assert (await ask(given, TREE.request(0, 5)))[0] == 200
    await given.store.close()


class Watched(MemoryWitnessStore):
    """Lets others in at every read, and keeps what was stored, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def read(self, origin):
        seen = await super().read(origin)
        await asyncio.sleep(0)
        return seen

    async def swap(self, origin, previous, current):
        await asyncio.sleep(0)
        swapped = await super().swap(origin, previous, current)
        if swapped:
            self.sizes.append(current.size)
        return swapped


async def raced(witness: Witness, store, updates: int) -> tuple[int, int]:
    """Whoever asks reads where the witness is and wants it elsewhere; how many were cosigned and how many came too late."""
    bodies = {(old, size): TREE.request(old, size) for old in range(1, 33) for size in range(old, 33)}
    await witness.add(TREE.request(0, 1))
    cosigned = late = 0

    async def one(number: int) -> None:
        nonlocal cosigned, late
        for turn in range(updates // 100):
            old = (await store.read(ORIGIN)).size
            size = min(32, old + (number + turn) % 3)
            try:
                await witness.add(bodies[old, size])
            except Conflict:
                late += 1
            else:
                cosigned += 1

    await asyncio.gather(*(one(number) for number in range(100)))
    return cosigned, late


async def test_10000_racing_updates_never_decrease_the_size(monkeypatch):
    monkeypatch.setattr(
        Witness, "_check_signed", lambda *_: None
    )  # a second of processor time for each thousand, and no part of this
    store = Watched()
    witness = Given(store).witness
    cosigned, late = await raced(witness, store, 10_000)
    assert cosigned + late == 10_000
    assert late > 100, "nobody raced"
    assert store.sizes == sorted(store.sizes)
    assert store.sizes[-1] == 32


async def test_a_store_without_the_swap_would_decrease():
    """The control: the race of the specification happens here where the check and the write are two."""

    class Careless(Watched):
        async def swap(self, origin, _previous, current):
            await asyncio.sleep(0)
            self._seen[origin] = current
            self.sizes.append(current.size)
            return True

    store = Careless()
    await Given(store).witness.add(TREE.request(0, 1))
    witness = Given(store).witness
    await asyncio.gather(witness.add(TREE.request(1, 9)), witness.add(TREE.request(1, 5)))
    assert store.sizes == [1, 9, 5]


async def test_two_processes_race_for_one_file(tmp_path):
    stores = [SqliteWitnessStore(tmp_path / "witness.db") for _ in range(2)]
    witnesses = [Given(store).witness for store in stores]
    await witnesses[0].add(TREE.request(0, 1))
    for old in range(1, 31, 2):
        bodies = TREE.request(old, old + 1), TREE.request(old, old + 2)
        asked = (one.add(body) for one, body in zip(witnesses, bodies, strict=True))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer).__name__ for answer in answers].count("str") == 1, answers
        size = (await stores[0].read(ORIGIN)).size
        assert size == old + (1 if isinstance(answers[0], str) else 2)
        if size == old + 1:
            await witnesses[1].add(TREE.request(size, old + 2))
    for store in stores:
        await store.close()
