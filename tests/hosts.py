# SPDX-License-Identifier: Apache-2.0
"""Several hosts that serve one log from one database: each a process with a data directory of its own, made of one ``init``."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from tests.ports import free_port
from tests.stack_process import READY_S, STOP_S, Process, sigbox, spawn

ELECTED = "this host writes the log localhost from now on"
"""Of the Rekor v2 log; its origin is the stack's host name."""


@dataclass
class Host:
    """``sigbox serve log`` in ``folder``, with its logs at ``database``."""

    folder: Path
    database: str
    options: tuple[str, ...] = ()
    process: Process | None = None
    url: str = ""
    port: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def start(self) -> None:
        """Start it, and wait until it answers; after the first time at the same address."""
        self.launch()
        self.wait_answering()

    def launch(self) -> None:
        """Start it."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        where = ("--data", self.data, "--database", self.database, "--listen", f"127.0.0.1:{self.port}")
        words = ("serve", "log", *where, "--ready-file", ready, *self.options)
        self.process = spawn(*words, folder=self.folder, log=self.log)

    def wait_answering(self) -> None:
        ready, deadline = self.folder / "ready.json", time.monotonic() + READY_S
        while not ready.exists():
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.01)
        listen = json.loads(ready.read_bytes())["listen"]
        self.url, self.port = f"http://{listen}", int(listen.rpartition(":")[2])

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_S)

    def stop(self) -> None:
        """In order, with 0."""
        self.signal(signal.SIGTERM)
        assert self.process is not None
        assert self.process.wait(STOP_S) == 0, self.output()

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def elections(self) -> int:
        """How often it became the writer of the Rekor v2 log."""
        return self.output().count(ELECTED)

    @property
    def elected_at(self) -> str:
        """When it became the writer last, as its log says it, to be compared; it was elected once at least."""
        times: list[str] = [json.loads(line)["time"] for line in self.output().splitlines() if ELECTED in line]
        return max(times)

    def faults(self) -> list[str]:
        """What its readiness says."""
        opener = build_opener(ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/readyz", timeout=60) as answer:
                found: list[str] = json.load(answer)["faults"]
        except HTTPError as error:
            found = json.loads(error.read())["faults"]
        return found


@dataclass
class Hosts:
    """All of them; the last one that was elected writes."""

    hosts: list[Host]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts)

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number]

    def writer(self, seconds: float = 60) -> Host:
        """Who was elected last."""
        deadline = time.monotonic() + seconds
        while True:
            elected = [host for host in self.hosts if host.elections]
            if elected:
                return max(elected, key=lambda host: host.elected_at)
            assert time.monotonic() < deadline, "nobody was elected"
            time.sleep(0.02)


def make_hosts(folder: Path, *databases: str) -> Hosts:
    """A host for each of ``databases``, which may be one database by several ways; none is started."""
    made = sigbox("init", "--data", folder / "made", "--yes", "--url", "http://localhost:7780")
    assert made.returncode == 0, made.stderr
    hosts = []
    for number, database in enumerate(databases):
        place = folder / f"host-{number}"
        place.mkdir()
        shutil.copytree(folder / "made", place / "data")
        hosts.append(Host(place, database, port=free_port()))
    return Hosts(hosts)


@contextmanager
def running_hosts(folder: Path, *databases: str) -> Iterator[Hosts]:
    """The same, serving for the length of a block."""
    hosts = make_hosts(folder, *databases)
    try:
        for host in hosts:
            host.start()
        yield hosts
    except BaseException as error:
        for host in hosts:
            if host.log.exists():
                error.add_note(f"{host.folder.name} printed:\n{host.output()[-3000:]}")
        raise
    finally:
        for host in hosts:
            if host.process is not None and host.process.poll() is None:
                host.signal(signal.SIGCONT)
                host.kill()
