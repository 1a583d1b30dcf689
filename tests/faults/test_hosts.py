# SPDX-License-Identifier: Apache-2.0
"""Several hosts, one database: whoever is killed, paused or cut off, nothing acknowledged is lost, nothing is there twice, and there
is one history."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import pytest

from tests.chance import chosen_seed
from tests.faults.audit import Checkpoint, Journal, parse_note
from tests.faults.host_writers import HostWriters
from tests.faults.pipe import Pipe
from tests.hosts import Hosts, running_hosts
from tests.postgres_server import Server, running_server, running_standby
from tests.until import until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 10
RECOVERED_S = 5.0
ENDINGS = 25
GIVE_UP_S = 120


@contextmanager
def writing(folder: Path) -> Iterator[HostWriters]:
    journal = Journal(folder / "journal")
    yield HostWriters(journal)
    journal.close()


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[HostWriters]:
    with writing(tmp_path) as made:
        yield made


def read_checkpoint(url: str) -> Checkpoint:
    with urlopen(f"{url}/api/v2/checkpoint", timeout=60) as answer:
        return parse_note(answer.read().decode())


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


def test_kills_of_the_writer_and_the_database_lose_and_double_nothing(tmp_path, writers):
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


def test_f16_sessions_that_the_server_ends_at_random_lose_and_double_nothing(tmp_path, writers):
    ended = 0
    one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sigbox%' ORDER BY random() LIMIT 1"

    async def scenario(server: Server, hosts: Hosts) -> None:
        nonlocal ended
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())
            async with asyncio.timeout(GIVE_UP_S):
                while ended < ENDINGS:
                    ended += await asyncio.to_thread(server.sql, one) == "t"
                    await asyncio.sleep(0.3)
            await load.healed_since(time.monotonic())
        await settled(hosts)

    with running_server() as server, running_hosts(tmp_path, server.url, server.url) as hosts:
        asyncio.run(scenario(server, hosts))
        size = writers.check(hosts, [])
    print(f"\n{ended} sessions ended; {writers.acknowledged} acknowledged, {size} entries")


def test_a_paused_writer_is_replaced_and_shows_no_second_head_when_it_goes_on(tmp_path, writers):
    earlier: list[Checkpoint] = []

    async def scenario(hosts: Hosts) -> float:
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())
            paused = await asyncio.to_thread(hosts.writer)
            (other,) = [host for host in hosts if host is not paused]
            paused.signal(signal.SIGSTOP)
            moment, before = time.monotonic(), other.elections
            seconds = await load.healed_since(moment)
            await until(lambda: other.elections == before + 1)
            await asyncio.sleep(0.5)
            paused.signal(signal.SIGCONT)
            for _ in range(20):
                earlier.append(await asyncio.to_thread(read_checkpoint, paused.url))
                await asyncio.sleep(0.02)
            await load.healed_since(time.monotonic())
        await settled(hosts)
        return seconds

    with running_server() as server, running_hosts(tmp_path, server.url, server.url) as hosts:
        seconds = asyncio.run(scenario(hosts))
        size = writers.check(hosts, earlier)
    print(
        f"\nanother host wrote {seconds:.2f} s after the writer was paused; {writers.acknowledged} acknowledged, {size} entries"
    )
    assert seconds <= RECOVERED_S


@pytest.mark.parametrize("how", ["silence", "reset"])
def test_a_writer_without_a_network_is_replaced_and_stands_by_when_it_is_back(tmp_path, writers, how):
    async def scenario(hosts: Hosts, pipes: list[Pipe]) -> float:
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())
            cut = pipes[hosts.hosts.index(await asyncio.to_thread(hosts.writer))]
            getattr(cut, how)()
            seconds = await load.healed_since(time.monotonic())
            await asyncio.sleep(0.5)
            cut.heal()
            await load.healed_since(time.monotonic())
        await settled(hosts)
        return seconds

    with running_server() as server:
        pipes = [Pipe(server.port), Pipe(server.port)]
        with running_hosts(tmp_path, *(server.url_at(pipe.port) for pipe in pipes)) as hosts:
            seconds = asyncio.run(scenario(hosts, pipes))
            size = writers.check(hosts, [])
        for pipe in pipes:
            pipe.close()
    print(f"\n{how}: written again after {seconds:.2f} s; {writers.acknowledged} acknowledged, {size} entries")
    assert seconds <= RECOVERED_S


# --- failover of the database -----------------------------------------------------------------------------
def either(primary: Server, standby: Server) -> str:
    """The URL of whichever of both is the primary."""
    return (
        f"postgresql://sigbox@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres?target_session_attrs=primary"
    )


def test_a_failover_to_a_synchronous_replica_loses_nothing_under_load(tmp_path, writers):
    async def scenario(primary: Server, standby: Server, hosts: Hosts) -> float:
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(primary.stop, "immediate")
            await asyncio.to_thread(standby.promote)
            seconds = await load.healed_since(time.monotonic())
        await settled(hosts)
        return seconds

    with running_server() as primary, running_standby(primary) as standby:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        standby.sql("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
        url = either(primary, standby)
        with running_hosts(tmp_path, url, url) as hosts:
            seconds = asyncio.run(scenario(primary, standby, hosts))
            size = writers.check(hosts, [])
    print(f"\nwritten again {seconds:.2f} s after the promotion; {writers.acknowledged} acknowledged, {size} entries")
    assert seconds <= RECOVERED_S


@pytest.mark.at_once("no times", threads=3)
def test_a_failover_to_a_lagging_replica_is_refused_until_the_newer_database_is_back(tmp_path):
    """Also by a host that has seen nothing of what is missing: it waits for the others' word."""
    earlier: list[Checkpoint] = []

    async def write(hosts: Hosts) -> None:
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())
            await asyncio.sleep(0.3)

    async def refused(hosts: Hosts) -> None:
        ahead, unaware = hosts
        await until(lambda: any("but a checkpoint of" in fault for fault in ahead.faults()))
        await until(
            lambda: any("not every host has said" in fault and str(ahead.data) in fault for fault in unaware.faults())
        )
        acknowledged = writers.acknowledged
        async with Load(writers, hosts):
            await asyncio.sleep(2)
        assert writers.acknowledged == acknowledged

    with writing(tmp_path) as writers, running_server() as primary, running_standby(primary) as standby:
        url = either(primary, standby)
        with running_hosts(tmp_path, url, url) as hosts:
            asyncio.run(write(hosts))
            hosts[1].kill()  # it sees nothing of what follows
            standby.stop()
            asyncio.run(write(Hosts([hosts[0]])))
            size = writers.check(Hosts([hosts[0]]), earlier)
            primary.stop("immediate")
            standby.start()
            standby.promote()
            hosts[1].start()
            asyncio.run(refused(hosts))
            standby.stop()
            primary.start()
            asyncio.run(settled(hosts))
            asyncio.run(write(hosts))
            assert writers.check(hosts, earlier) > size
            for host in hosts:
                host.stop()


@pytest.mark.at_once("no times", threads=3)
@pytest.mark.parametrize("left_behind", ["follower", "writer"])
def test_a_host_whose_sessions_still_lead_to_the_former_primary_joins_the_new_one(tmp_path, left_behind):
    """The address moves, the former primary lives on, and nobody ends the connections to it: the others wait for this host's word."""

    async def write(hosts: Hosts) -> None:
        async with Load(writers, hosts) as load:
            await load.healed_since(time.monotonic())

    with writing(tmp_path) as writers, running_server() as primary, running_standby(primary) as standby:
        pipes = [Pipe(primary.port), Pipe(primary.port)]
        with running_hosts(tmp_path, *(primary.url_at(pipe.port) for pipe in pipes)) as hosts:
            asyncio.run(write(hosts))
            asyncio.run(settled(hosts))
            written = primary.sql("SELECT pg_current_wal_lsn()")
            asyncio.run(until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == "t"))
            writer = hosts.hosts.index(hosts.writer())
            standby.promote()
            for pipe in pipes:
                pipe.lead_to(standby.port)
            moment = time.monotonic()
            pipes[writer if left_behind == "follower" else 1 - writer].reset()
            before = primary.sql("SELECT lineage FROM sigbox_rekor.head")
            here = f"SELECT count(*) = 2 FROM sigbox_rekor.host JOIN sigbox_rekor.head USING (lineage) WHERE lineage <> '{before}'"
            asyncio.run(until(lambda: standby.sql(here) == "t"))
            asyncio.run(settled(hosts))
            print(f"\nboth hosts serve from the new primary {time.monotonic() - moment:.2f} s after the address moved")
            asyncio.run(write(hosts))
            size = writers.check(hosts, [])
            assert (
                int(standby.sql("SELECT size FROM sigbox_rekor.head"))
                >= size
                > int(primary.sql("SELECT size FROM sigbox_rekor.head"))
            )
            for host in hosts:
                host.stop()
        for pipe in pipes:
            pipe.close()
