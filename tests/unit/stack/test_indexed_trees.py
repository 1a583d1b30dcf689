# SPDX-License-Identifier: Apache-2.0
"""Rekor v1 goes over to its next tree when clients can know the key of that, and never before; a tree that has begun goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from sigcore import keys
from sigcore.entries_v1 import parse_proposal
from sigcore.errors import Unavailable
from stack import generations, succession
from stack.bootstrap import load_material
from stack.config import Home, load_settings
from stack.generations import load_generations
from stack.indexed_trees import IndexedTrees
from stack.kept_logs import make_rekor_v1
from stack.trust import publish, rotation
from tests.unit.sigcore.v1_proposals import hashedrekord
from tlog.signature_log import RekorV1

STEP = timedelta(seconds=1)


class Clock:
    """The time of day, turned by the test."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(succession, "FOLLOW_S", 0.01)
    return home


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def serving(home: Home, clock: Clock) -> AsyncIterator[IndexedTrees]:
    trees = make_rekor_v1(home, load_settings(home), load_material(home).rekor_v1_key, clock)
    for log in trees.logs.values():
        log.clock._pace = None  # the clock is turned by hand
    await trees.start()
    try:
        yield trees
    finally:
        await trees.stop()


async def add(trees: IndexedTrees, name: str) -> tuple[int, int]:
    """The index over all trees, and the number of the tree."""
    tree, receipt = await trees.sharded.enter(parse_proposal(json.dumps(hashedrekord(name.encode())).encode()).verify())
    return tree.before + receipt.index, trees.sharded.trees.index(tree) + 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def looked(home: Home) -> None:
    """Whoever looks for generations has done so a few times."""
    await asyncio.sleep(20 * succession.FOLLOW_S)


def key_of(tree: RekorV1) -> bytes:
    return keys.encode_public_key(tree.log.publisher.key.public_key())


async def test_the_tree_changes_when_its_window_begins_and_its_key_is_published(home: Home, clock: Clock):
    async with serving(home, clock) as trees:
        told: list[str] = []
        trees.arrivals.append(lambda shard, _log: told.append(shard.name))
        assert await add(trees, "one") == (1, 1)
        rotation.rotate_log(home, load_settings(home), "rekor-v1", clock.now)
        begun = load_generations(home)["rekor-v1"][-1].validity.start
        clock.now = begun + STEP
        await looked(home)
        assert await add(trees, "it counts, and nobody can know it") == (2, 1)
        clock.now = begun - STEP
        publish.publish(home, clock.now)
        await looked(home)
        assert await add(trees, "it is published, and does not count yet") == (3, 1)
        clock.now = begun
        await until(lambda: len(trees.sharded.trees) == 2)
        assert await add(trees, "two") == (5, 2)
        assert told == ["rekor-v1-2"]
        assert list(trees.logs) == ["rekor-v1", "rekor-v1-2"]
        assert [key_of(tree) for tree in trees.sharded.trees] == [
            one.public[0] for one in load_generations(home)["rekor-v1"]
        ]
    async with serving(home, clock) as trees:
        assert await add(trees, "three") == (6, 2)


async def test_while_nobody_knows_the_next_key_the_old_one_goes_on_and_its_end_is_moved(home: Home, clock: Clock):
    async with serving(home, clock) as trees:
        done = rotation.rotate_log(home, load_settings(home), "rekor-v1", clock.now, at_once=True)
        clock.now = done.old_until + timedelta(days=1)
        await looked(home)
        assert await add(trees, "after what was meant to be its end") == (1, 1)
        publish.publish(home, clock.now)
        await until(lambda: len(trees.sharded.trees) == 2)
        assert await add(trees, "in the next tree") == (3, 2)
        (old, _) = load_generations(home)["rekor-v1"]
        assert old.validity.end == clock.now + generations.LEAD + rotation.AT_ONCE


async def test_past_the_end_that_clients_are_told_the_old_key_signs_nothing(home: Home, clock: Clock, monkeypatch):
    async with serving(home, clock) as trees:
        monkeypatch.setattr(trees, "_make", lambda _shard: (_ for _ in ()).throw(Unavailable("its token is away")))
        done = rotation.rotate_log(home, load_settings(home), "rekor-v1", clock.now, at_once=True)
        publish.publish(home, clock.now)
        clock.now = done.old_until - STEP
        await looked(home)
        assert await add(trees, "in its window") == (1, 1)
        clock.now = done.old_until
        with pytest.raises(Unavailable, match="next tree"):
            await add(trees, "after it")


async def test_a_tree_that_has_begun_takes_entries_after_a_start_whatever_is_published(home: Home, clock: Clock):
    old = (home.tuf_repository, home.path / "kept")
    shutil.copytree(*old)
    async with serving(home, clock) as trees:
        done = rotation.rotate_log(home, load_settings(home), "rekor-v1", clock.now)
        publish.publish(home, clock.now)
        clock.now = done.since
        await until(lambda: len(trees.sharded.trees) == 2)
    shutil.rmtree(home.tuf_repository)
    shutil.copytree(*reversed(old))
    assert not succession.names_newest(home, "rekor-v1")
    async with serving(home, clock) as trees:
        assert await add(trees, "one") == (2, 2)


async def test_a_start_opens_every_tree_also_those_that_nobody_has_served(home: Home, clock: Clock):
    async with serving(home, clock) as trees:
        assert await add(trees, "one") == (1, 1)
    for _ in range(2):
        done = rotation.rotate_log(home, load_settings(home), "rekor-v1", clock.now)
        publish.publish(home, clock.now)
        clock.now = done.since + generations.LEAD
    async with serving(home, clock) as trees:
        assert await add(trees, "two") == (4, 3)
        assert list(trees.logs) == ["rekor-v1", "rekor-v1-2", "rekor-v1-3"]
