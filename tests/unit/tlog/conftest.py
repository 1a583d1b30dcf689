# SPDX-License-Identifier: Apache-2.0
"""Logs to test with: on all stores, with a clock that is turned by hand, and a Merkle tree that is not ours."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore.errors import Unavailable
from tests.postgres_server import Server
from tests.until import until
from tlog.anchor import Anchor, MemoryAnchor
from tlog.anchor_file import FileAnchor
from tlog.host_file import HostFile
from tlog.log import Log, Receipt, Submission
from tlog.publish import CheckpointPublisher
from tlog.storage.base import LogStore
from tlog.storage.memory import Memory, MemoryStore
from tlog.storage.postgres import PostgresStore
from tlog.storage.postgres_session import lock_key, schema_of
from tlog.storage.postgres_shared import SharedStore
from tlog.storage.sqlite import SqliteStore

ORIGIN = "log.example"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes nobody give up a database, a writer or an entry; what happens then is tested by itself."""
    for limit in (
        "elected.SILENT_S",
        "elected.PATIENCE_S",
        "storage.postgres_session.CONNECT_S",
        "storage.postgres_session.COMMAND_S",
    ):
        monkeypatch.setattr(f"tlog.{limit}", 60)


class HandClock:
    """The time of day, moved by the test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **step: float) -> None:
        self.now += timedelta(**step)


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()


class Site:
    """A place where a log is kept: opening it again is what a restart does."""

    def __init__(self, folder: Path, *, durable: bool, server: Server | None = None) -> None:
        self.folder = folder
        self.durable = durable
        self.server = server
        self.name = secrets.token_hex(8)
        self.memory = Memory()
        self.memory_anchor = MemoryAnchor()
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
        self.clock = HandClock()
        self.logs: list[Log] = []

    def store(self) -> LogStore:
        if self.server is not None:
            return PostgresStore(self.server.url, self.name)
        return SqliteStore(self.folder / "log.db") if self.durable else MemoryStore(self.memory)

    def anchor(self) -> Anchor:
        return FileAnchor(self.folder / "anchor.checkpoint") if self.durable else self.memory_anchor

    def break_lock(self) -> None:
        """What an owner notices too late: another may take the log over."""
        if self.server is not None:
            self.server.sql(
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'sigbox_{self.name}'"
            )
        elif self.durable:
            (self.folder / "log.db.lock").unlink()

    def publisher(self) -> CheckpointPublisher:
        return CheckpointPublisher(ORIGIN, self.key)

    async def open(self, store: LogStore | None = None, anchor: Anchor | None = None) -> Log:
        log = Log(store or self.store(), anchor or self.anchor(), self.publisher(), self.clock)
        await log.start()
        self.logs.append(log)
        return log

    async def restart(self, log: Log) -> Log:
        await log.stop()
        self.logs.remove(log)
        return await self.open()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def site(request: pytest.FixtureRequest, tmp_path: Path):
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    site = Site(tmp_path, durable=request.param != "memory", server=server)
    yield site
    for log in site.logs:
        await log.stop()


@pytest.fixture
async def disk(tmp_path: Path):
    site = Site(tmp_path, durable=True)
    yield site
    for log in site.logs:
        await log.stop()


class Hosts(Site):
    """``start(name)`` starts the host of that name, with an anchor of its own; people know it by ``labels[name]``, if not by its name."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder, durable=True, server=server)
        self.labels: dict[str, str] = {}

    def shared(self, name: str, url: str = "") -> SharedStore:
        assert self.server is not None
        return SharedStore(url or self.server.url, self.name, host=HostFile(self.identity(name), self.label(name)))

    def label(self, name: str) -> str:
        return self.labels.get(name, name)

    def identity(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder / "anchor.host"

    async def start(self, name: str, clock: HandClock | None = None, url: str = "") -> Log:
        log = Log(self.shared(name, url), self.anchor_of(name), self.publisher(), clock or self.clock)
        await log.start()
        self.logs.append(log)
        return log

    async def start_writer(self, name: str) -> Log:
        """The same, when nobody else is there; it is the writer before another one can be."""
        log = await self.start(name)
        await until(self.writing)
        return log

    def writing(self) -> str:
        """The server's process that holds the log's lock; empty where none does."""
        kind, number = lock_key(schema_of(self.name))
        return self.sql(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
            f" AND classid::bigint = {kind} AND objid::bigint = {number}"
        )

    def anchor_file(self, name: str) -> Path:
        return self.identity(name).with_name("anchor.checkpoint")

    def entry(self, number: int) -> Submission:
        return submission(number)

    def anchor_of(self, name: str) -> Anchor:
        return Site(self.identity(name).parent, durable=True).anchor()

    async def end(self, log: Log) -> None:
        await log.stop()
        self.logs.remove(log)

    def sql(self, statement: str) -> str:
        assert self.server is not None
        return self.server.sql(f"SET search_path = sigbox_{self.name}", statement)


@pytest.fixture
async def hosts(postgres: Server, tmp_path: Path):
    site = Hosts(tmp_path, postgres)
    yield site
    for log in site.logs:
        await log.stop()


def submission(number: int) -> Submission:
    leaf = b"entry %d" % number
    return Submission(leaf, hashlib.sha256(leaf).digest(), b"extra %d" % number)


@pytest.fixture
def entry() -> Callable[[int], Submission]:
    return submission


async def patiently(log: Log, submission: Submission) -> Receipt:
    """Submit until a writer answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return await log.submit(submission)
        except Unavailable:
            assert time.monotonic() < deadline, "the log did not come back"
            await asyncio.sleep(0.02)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word: split at the largest power of two below the size."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word by word."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]


@pytest.fixture
def root_of() -> Callable[[list[bytes]], bytes]:
    return naive_root


@pytest.fixture
def path_of() -> Callable[[int, list[bytes]], list[bytes]]:
    return naive_path


@pytest.fixture
def whole_tree() -> Callable[[Site, Log], Awaitable[list[bytes]]]:
    """Check everything a log says about itself against what it serves; the answer is its leaves."""

    async def check(site: Site, log: Log) -> list[bytes]:
        leaves = [one.leaf for one in await log.entries(0, log.size)]
        checkpoint = site.publisher().verify(log.checkpoint())
        assert checkpoint.size == log.size == len(leaves)
        assert checkpoint.root == log.head.root == naive_root(leaves)
        for index in {0, log.size // 2, log.size - 1}:
            receipt = await log.receipt(index)
            assert list(receipt.proof) == naive_path(index, leaves)
            assert await log.find(hashlib.sha256(leaves[index]).digest()) == index
        return leaves

    return check
