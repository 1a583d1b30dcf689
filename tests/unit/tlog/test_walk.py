# SPDX-License-Identifier: Apache-2.0
"""Z03: whatever is done to a log, in whatever order, it is a list that only grows; hypothesis looks for an order in which it is not.

The model is a Python list and Merkle trees as RFC 6962 section 2.1 writes them down (``tests/faults/audit.py``). What was not
answered may be in the log or not; that is asked once it answers again, and it may be there once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sigcore import merkle
from sigcore.errors import Refused, SigError, Unavailable
from sigcore.tiles import Tile
from tests.faults.audit import NaiveTree, fold_proof, hash_leaf
from tests.unit.tlog.conftest import Site
from tlog import sequencer
from tlog.log import Log, Submission
from tlog.storage.base import Batch
from tlog.storage.sqlite import SqliteStore

NUMBERS = st.integers(0, 400)
"""Few enough that many of them come twice."""
NEVER, BEFORE, AFTER = "never", "before", "after"


class Flaky(SqliteStore):
    """Its next commit fails, before it has stored anything or when it has stored all."""

    fails = NEVER

    def _commit(self, batch: Batch, checked: Callable[[], bool]) -> None:
        fails, self.fails = self.fails, NEVER
        if fails == BEFORE:
            raise Unavailable("the disk said no")
        super()._commit(batch, checked)
        if fails == AFTER:
            raise Unavailable("the disk did not say yes")


class Careless(Flaky):
    """The control: it takes back what it has committed, and says nothing."""

    def _commit(self, batch: Batch, checked: Callable[[], bool]) -> None:
        super()._commit(batch, checked)
        if batch.first == 3 and self._writer is not None:
            self._writer.execute("UPDATE entry SET leaf = x'00' WHERE idx = 3")


def submission(number: int) -> Submission:
    leaf = b"entry %d" % number
    return Submission(leaf, hashlib.sha256(leaf).digest(), b"extra")


class Walk(RuleBasedStateMachine):
    """A log on a disk, and what it must be."""

    store: type[Flaky] = Flaky

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.top = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))  # noqa: S108 - mkdtemp chooses
        self.site = Site(self.top / "0", durable=True)
        self.site.folder.mkdir()
        self.model: list[bytes] = []
        self.unknown: set[bytes] = set()
        self.shown = self.timestamp = 0
        self.backup: tuple[Path, int] | None = None
        self.now = self.site.clock.now
        self.flaky: Flaky
        self.log: Log
        self.open()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def open(self) -> None:
        self.flaky = self.store(self.site.folder / "log.db")
        self.log = self.run(self.site.open(self.flaky))
        self.settle()

    def close(self) -> None:
        self.run(self.log.stop())

    def settle(self) -> None:
        """What is there of that which was not answered."""
        if self.log.size > len(self.model):
            new = [entry.leaf for entry in self.run(self.log.entries(len(self.model), self.log.size))]
            assert len(set(new)) == len(new)
            assert set(new) <= self.unknown, "something is in the log that nobody brought"
            self.model += new
        self.unknown.clear()

    async def bring(self, numbers: list[int]) -> list[Any]:
        return await asyncio.gather(*(self.log.submit(submission(one)) for one in numbers), return_exceptions=True)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=90))
    def add(self, numbers: list[int]) -> None:
        for number, receipt in zip(numbers, self.run(self.bring(numbers)), strict=True):
            leaf = submission(number).leaf
            if receipt.index == len(self.model):
                assert leaf not in self.model
                self.model.append(leaf)
            assert self.model[receipt.index] == leaf
            root = NaiveTree(self.model).root(receipt.size) if receipt.size <= len(self.model) else receipt.root
            assert receipt.root == root
            assert fold_proof(hash_leaf(leaf), receipt.index, receipt.size, receipt.proof) == root

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=20), fails=st.sampled_from((BEFORE, AFTER)))
    def add_while_the_disk_fails(self, numbers: list[int], fails: str) -> None:
        self.flaky.fails = fails
        new = {submission(number).leaf for number in numbers} - set(self.model)
        answers = self.run(self.bring(numbers))
        for number, answer in zip(numbers, answers, strict=True):
            assert isinstance(answer, Unavailable) or submission(number).leaf not in new
        self.unknown = new
        self.flaky.fails = NEVER
        self.run(self.well())
        self.settle()

    async def well(self) -> None:
        async with asyncio.timeout(30):
            while self.log.fault:
                await asyncio.sleep(0.001)

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    @rule()
    def crash(self) -> None:
        """Another process finds the files as they are, with nothing folded in and no word of farewell."""
        former = self.site
        self.site = Site(self.top / str(int(former.folder.name) + 1), durable=True)
        shutil.copytree(former.folder, self.site.folder)
        self.site.clock.now = former.clock.now
        self.close()
        self.open()

    @rule()
    def take_backup(self) -> None:
        path = self.top / "backup.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.site.folder / "log.db")) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        self.backup = path, len(self.model)

    @precondition(lambda self: self.backup is not None)
    @rule()
    def put_the_backup_back(self) -> None:
        assert self.backup is not None
        backup, size = self.backup
        self.close()
        database = self.site.folder / "log.db"
        right = shutil.copy(database, self.top / "right.db")
        shutil.copy(backup, database)
        if size < len(self.model):
            with pytest.raises(Refused, match=f"has {size} entries, but a checkpoint of {len(self.model)}"):
                self.open()
            shutil.copy(right, database)
        self.open()

    @rule(hours=st.integers(-5, 5))
    def turn_the_clock(self, hours: int) -> None:
        self.site.clock.now = self.now
        self.site.clock.turn(hours=hours)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, len(self.model)))
        index, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
        tree = NaiveTree(self.model)
        proof = self.run(self.log.inclusion(index, size))
        assert fold_proof(hash_leaf(self.model[index]), index, size, proof) == tree.root(size)
        merkle.verify_consistency(
            first=first, second=size, proof=self.run(self.log.consistency(first, size)),
            first_root=tree.root(first), second_root=tree.root(size),
        )  # fmt: skip
        assert [entry.leaf for entry in self.run(self.log.entries(first - 1, size))] == self.model[first - 1 : size]
        width = min(256, size - size // 256 * 256) or 256
        tile = self.run(self.log.tile(Tile(0, (size - 1) // 256, width)))
        start = (size - 1) // 256 * 256
        assert tile == b"".join(map(hash_leaf, self.model[start : start + width]))

    @rule()
    def audit(self) -> None:
        self.run(self.log.audit())

    @invariant()
    def it_is_the_list_and_never_less(self) -> None:
        assert self.log.size == len(self.model) >= self.shown
        self.shown = self.log.size
        if self.model:
            head = self.log.head
            assert (head.size, head.root) == (len(self.model), NaiveTree(self.model).root(len(self.model)))
            assert head.timestamp_ms >= self.timestamp
            self.timestamp = head.timestamp_ms

    def teardown(self) -> None:
        self.close()
        self.runner.close()
        shutil.rmtree(self.top)


WALKS = settings(max_examples=15, stateful_step_count=20, deadline=None, database=None, phases=(Phase.generate,))


def walk(machine: type[Walk]) -> None:
    fresh = os.environ.get("SIGBOX_TEST_SEED") == "new"
    run_state_machine_as_test(machine, settings=settings(WALKS, derandomize=not fresh, print_blob=True))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "RETRY_S", 0.001)


def test_z03_a_log_is_a_list_that_only_grows():
    walk(Walk)


def test_z03_control_a_store_that_changes_an_entry_is_found_out():
    class Wrong(Walk):
        store = Careless

    for step in (Wrong.restart, Wrong.crash, Wrong.audit):
        walked = Wrong()
        try:
            for number in range(5):
                walked.add([number])
            with pytest.raises(SigError, match=r"hash|damaged|not those that were published"):
                step(walked)
        finally:
            walked.runner.close()
            shutil.rmtree(walked.top)
