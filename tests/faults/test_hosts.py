# SPDX-License-Identifier: Apache-2.0
"""Several hosts, one database: whoever is killed, paused or cut off, nothing acknowledged is lost, nothing is there twice, and there
is one history."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.chance import chosen_seed
from tests.faults.audit import Checkpoint, Journal
from tests.faults.host_writers import HostWriters
from tests.hosts import Hosts, running_hosts
from tests.postgres_server import Server, running_server

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 10
RECOVERED_S = 5.0


@pytest.fixture
def writers(tmp_path: Path):
    journal = Journal(tmp_path / "journal")
    yield HostWriters(journal)
    journal.close()


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


class Load:
    """Writers at work for the length of a block."""

    def __init__(self, writers: HostWriters, hosts: Hosts) -> None:
        self._writers, self._hosts, self._done = writers, hosts, False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._writers.run_until(self._hosts, lambda: self._done))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._done = True
        await self._task

    async def healed_since(self, moment: float) -> float:
        """Seconds until the next acknowledgement."""
        await until(lambda: self._task.done() or self._writers.answered_after(moment) < float("inf"))
        if self._task.done():
            await self._task
        return self._writers.answered_after(moment)


async def settled(hosts: Hosts) -> None:
    """Every host serves again."""
    await until(lambda: not any(host.faults() for host in hosts))


def test_ten_kills_of_the_writer_and_the_database_lose_and_double_nothing(tmp_path, writers):
    seed = chosen_seed()
    chance = random.Random(seed)
    earlier: list[Checkpoint] = []
    healed: dict[str, list[float]] = {"writer": [], "database": []}

    async def scenario(server: Server, hosts: Hosts) -> None:
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())
            for number in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 0.6))
                what = "database" if number % 3 == 2 else "writer"
                if what == "database":
                    await asyncio.to_thread(server.stop, "immediate")
                    await asyncio.to_thread(server.start)
                    moment = time.monotonic()
                    healed[what].append(await load.healed_since(moment))
                else:
                    writer = await asyncio.to_thread(hosts.writer)
                    writer.kill()
                    moment = time.monotonic()
                    healed[what].append(await load.healed_since(moment))
                    await asyncio.to_thread(writer.start)
        await settled(hosts)

    with running_server() as server, running_hosts(tmp_path, server.url, server.url) as hosts:
        asyncio.run(scenario(server, hosts))
        size = writers.check(hosts, earlier)
        for host in hosts:
            host.stop()
    print(
        f"\nseed {seed}: {KILLS} kills, {writers.acknowledged} acknowledged, 0 lost, 0 doubled, {size} entries; recovered from the"
        f" writer's end after {max(healed['writer']):.2f} s at most, from the database's after {max(healed['database']):.2f} s"
    )
    assert max(healed["writer"] + healed["database"]) <= RECOVERED_S
