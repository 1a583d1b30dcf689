# SPDX-License-Identifier: Apache-2.0
"""Rekor v2 entries per second with the logs in PostgreSQL: beside SQLite, by turns in one run, and through two hosts at once.

Database, hosts and clients share the machine, so two hosts show what a second one costs here, not what it brings elsewhere.
"""

from __future__ import annotations

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import windows
from bench.cores import apart
from bench.reference import Figure, cpu_seconds
from bench.windows import Goals, Target, Window, measure, named
from tests.hosts import Host, running_hosts
from tests.postgres_server import Server, bindir, running_server
from tests.stack_process import running_stack

CLIENTS = (1, 64)
CERTIFIED = "v2 with certificates"
"""Entries as keyless signing makes them."""
MOST_TIMES_SLOWER = 2.0
"""Than SQLite, with 64 clients."""


def run(rounds: int, seconds: float = 1.5) -> list[Figure]:
    """The figures of ``rounds`` processes of clients for each store and number of clients."""
    if bindir() is None:
        return [Figure("Rekor v2 in PostgreSQL", "not measured: PostgreSQL is not installed")]
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        for clients in CLIENTS:
            found += beside_sqlite(folder, clients, rounds, seconds)
        found += two_hosts(folder / "hosts", rounds, seconds)
    return found


def beside_sqlite(folder: Path, clients: int, rounds: int, seconds: float) -> list[Figure]:
    """Both stores by turns, so that what neighbours do to one they do to the other."""
    stores = ("SQLite", "PostgreSQL")
    samples: dict[str, list[Window]] = {store: [] for store in stores}
    with running_server() as server:
        options = {"SQLite": (), "PostgreSQL": ("--database", server.url)}
        for _ in range(rounds):
            for store in stores:
                place = folder / f"{store}-{clients}"
                place.mkdir(exist_ok=True)
                with running_stack(place, "--data", place / "data", *options[store]) as stack, apart(stack.process.pid):
                    target, what = Target(stack.url, stack.process.pid), named(f"Rekor v2 in {store}, add", clients)
                    samples[store] += measure("bench.rekor_add", target, "v2", clients, seconds, rounds=1, what=what)
    slower = statistics.median(
        one.per_second / one.r / (other.per_second / other.r)
        for one, other in zip(samples["SQLite"], samples["PostgreSQL"], strict=True)
    )
    goal = (f"<= {MOST_TIMES_SLOWER} x", slower <= MOST_TIMES_SLOWER) if clients > 1 else ("", None)
    return [
        *windows.figures(named("Rekor v2 in PostgreSQL, add", clients), samples["PostgreSQL"], Goals()),
        Figure(named("SQLite / PostgreSQL, paired", clients), f"{slower:.2f}", slower, "x", *goal),
    ]


def two_hosts(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """All clients at the host that does not write, so that what each part costs is told apart; then half of them at either."""
    folder.mkdir()
    with running_server() as server, running_hosts(folder, server.url, server.url) as hosts:
        writer = hosts.writer()
        (front,) = [host for host in hosts if host is not writer]
        found = costs(server, front, writer, rounds, seconds)
        with ThreadPoolExecutor(2) as pool:
            pairs = [
                pair
                for _ in range(rounds)
                for pair in zip(*pool.map(lambda host: _load(host, max(CLIENTS) // 2, seconds), hosts), strict=True)
            ]
    total = statistics.median(one.per_second + other.per_second for one, other in pairs)
    ratio = statistics.median((one.per_second + other.per_second) / one.r for one, other in pairs)
    p99 = statistics.median(max(one.p99_ms, other.p99_ms) for one, other in pairs)
    name = named("Rekor v2 in PostgreSQL, two hosts, add", max(CLIENTS))
    return [*found, Figure(name, f"{total:.0f} /s", ratio, "R"), Figure(f"{name}, p99", f"{p99:.2f} ms")]


def costs(server: Server, front: Host, writer: Host, rounds: int, seconds: float) -> list[Figure]:
    """Processor time of each part and bytes of the database, per entry with a certificate."""
    counts = [_log_size(server), *_disk(server)]
    before = (cpu_seconds(front.pid), cpu_seconds(writer.pid), _cpu_of(server))
    found = [window for _ in range(rounds) for window in _load(front, max(CLIENTS), seconds, CERTIFIED)]
    after = (cpu_seconds(front.pid), cpu_seconds(writer.pid), _cpu_of(server))
    entries, stored, logged = (
        now - then for now, then in zip((_log_size(server), *_disk(server)), counts, strict=True)
    )
    r = statistics.median(window.cpu_verifies / window.cpu_s for window in found)
    figures = []
    for what, now, then in zip(("the front end", "the writer", "the database"), after, before, strict=True):
        cost_s = (now - then) / entries
        figures.append(
            Figure(f"Rekor v2 in PostgreSQL, CPU of {what}", f"{cost_s * 1000:.3f} ms", cost_s * r, "verifies")
        )
    idle, size = cpu_seconds(front.pid), _log_size(server)
    _load(writer, max(CLIENTS), seconds, CERTIFIED)
    cost_s = (cpu_seconds(front.pid) - idle) / (_log_size(server) - size)
    following = "Rekor v2 in PostgreSQL, CPU of a host for an entry of another one"
    return [
        *figures,
        Figure(following, f"{cost_s * 1000:.3f} ms", cost_s * r, "verifies"),
        Figure("Rekor v2 in PostgreSQL, stored per entry", f"{stored / entries:.0f} bytes"),
        Figure("Rekor v2 in PostgreSQL, written ahead per entry", f"{logged / entries:.0f} bytes"),
    ]


def _log_size(server: Server) -> int:
    return int(server.sql("SELECT size FROM sigbox_rekor.head"))


def _disk(server: Server) -> tuple[int, int]:
    """Bytes of what stays of entries, with indexes, and of the write-ahead log since the server was made."""
    tables = "SELECT sum(pg_total_relation_size(('sigbox_rekor.' || name)::regclass)) FROM unnest('{entry,tile,seen}'::text[]) AS name"
    return int(server.sql(tables)), int(server.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))


def _cpu_of(server: Server) -> float:
    """Of the server and all its processes that run now."""
    (pid, *_) = (server.data / "postmaster.pid").read_text().split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(cpu_seconds(int(one)) for one in (pid, *children))


def _load(host: Host, clients: int, seconds: float, log: str = "v2") -> list[Window]:
    target = Target(host.url, host.pid)
    return measure("bench.rekor_add", target, log, clients, seconds, rounds=1, what=named("two hosts", clients))
