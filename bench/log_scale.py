# SPDX-License-Identifier: Apache-2.0
"""A log of a million entries: what it takes on disk, whether it became slow, and how long a restart takes.

The entries are as long as that of a keyless signature. They are put into the store in large commits, without HTTP; what is
measured then goes through the engine as a service uses it (:class:`tlog.log.Log`), and through a whole stack for the restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.reference import Figure, verifies_per_second
from bench.windows import Target, measure
from sigcore import keys, merkle
from tests.stack_process import running_stack
from tlog.anchor import Anchored
from tlog.anchor_file import FileAnchor
from tlog.log import Log
from tlog.publish import CheckpointPublisher
from tlog.recent import SWEEP_KEYS
from tlog.recovery import read_tree
from tlog.storage.base import Batch, Head, Key, prefix_of
from tlog.storage.sqlite import SqliteStore
from tlog.submission import Submission
from tlog.tree import grow

ENTRIES = 1_000_000
RESTART_ENTRIES = 100_000
BODY_BYTES = 1_355
"""A hashedrekord 0.0.2 with the certificate of an e-mail address."""
COMMIT_ENTRIES = 4_096
CALLERS = 64
SAMPLE_ENTRIES = SWEEP_KEYS
"""So that each sample moves as many keys into the index of hashes as it adds, in the empty log too."""
PROOFS = 2_000
ADDING_S = 1.5

GOAL_BYTES, GOAL_RATE, GOAL_RESTART_S, GOAL_PROOF_MS = 1.15, 0.9, 2.0, 5.0


def submissions(first: int, end: int, mark: bytes) -> Iterator[Submission]:
    """Entries that are different from all others with another number or mark."""
    for number in range(first, end):
        head = hashlib.sha256(b"%b %d" % (mark, number)).digest()
        leaf = head + bytes(BODY_BYTES - len(head))
        yield Submission(leaf, merkle.hash_leaf(leaf))


FILLING = partial(submissions, mark=b"fill")


# --- fill ------------------------------------------------------------------------------------------------
async def fill(
    store: SqliteStore,
    anchor: FileAnchor,
    publisher: CheckpointPublisher,
    end: int,
    make: Callable[[int, int], Iterator[Submission]] = FILLING,
) -> None:
    """Grow a log to ``end`` entries. The index of hashes lags behind, as after a crash at the worst moment."""
    await store.open()
    await anchor.open()
    head = await store.head()
    tree = await read_tree(store, head.size if head else 0)
    anchored = Anchored(head.size, head.root, head.checkpoint) if head else None
    gathered: list[Key] = []
    while tree.size < end:
        first, entries = tree.size, tuple(make(tree.size, min(tree.size + COMMIT_ENTRIES, end)))
        growth = grow(tree, [entry.identity for entry in entries])
        tree, root = growth.tree, growth.tree.frontier.root()
        head = Head(tree.size, root, 1, publisher.sign(tree.size, root, 1).verified())
        await store.commit(Batch(first, entries, growth.tiles, head))
        gathered += [Key(prefix_of(entry.identity), index) for index, entry in enumerate(entries, first)]
        if len(gathered) >= 2 * SWEEP_KEYS:
            await store.remember(sorted(gathered[:SWEEP_KEYS], key=lambda key: key.prefix), gathered[SWEEP_KEYS].index)
            del gathered[:SWEEP_KEYS]
    if head is not None:
        await anchor.advance(anchored, Anchored(head.size, head.root, head.checkpoint))
    await anchor.close()
    await store.close()


# --- measure ---------------------------------------------------------------------------------------------
async def rate(log: Log, number: int) -> float:
    """Entries per second through the engine, divided by R of the same moment."""
    waiting = submissions(number * SAMPLE_ENTRIES, (number + 1) * SAMPLE_ENTRIES, b"rate")

    async def caller() -> None:
        for submission in waiting:
            await log.submit(submission)

    before, start = verifies_per_second(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    elapsed = time.perf_counter() - start
    return SAMPLE_ENTRIES / elapsed / ((before + verifies_per_second()) / 2)


async def proof_ms(log: Log, clock: Callable[[], float]) -> list[float]:
    """Milliseconds for the receipts of entries all over the log: look-up, proof, check. Least first."""
    found = []
    for _ in range(PROOFS):
        start = clock()
        await log.receipt(random.randrange(log.size))
        found.append((clock() - start) * 1000)
    return sorted(found)


class Place:
    """A log on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / "log.db"
        self.anchor = folder / "anchor.checkpoint"
        self.publisher = CheckpointPublisher("bench.example", keys.generate_p256())

    def parts(self) -> tuple[SqliteStore, FileAnchor, CheckpointPublisher]:
        return SqliteStore(self.path), FileAnchor(self.anchor), self.publisher

    def log(self) -> Log:
        return Log(*self.parts(), lambda: datetime.now(UTC))


async def measure_scale(folder: Path, rounds: int) -> list[Figure]:
    """An empty log beside a large one, in turns, so that what else the machine does falls on both."""
    small, large = Place(folder / "small"), Place(folder / "large")
    print(f"filling a log with {ENTRIES:,} entries", file=sys.stderr)
    start = time.perf_counter()
    await fill(*large.parts(), ENTRIES)
    filled_s = time.perf_counter() - start
    ratio = large.path.stat().st_size / (ENTRIES * BODY_BYTES)
    logs = small.log(), large.log()
    start = time.perf_counter()
    await logs[1].start()
    opened_s = time.perf_counter() - start
    await logs[0].start()
    pairs = []
    for number in range(rounds):
        print(f"adding to both, {number + 1} of {rounds}", file=sys.stderr)
        pairs.append([await rate(log, number) for log in logs])
    proofs, computing = await proof_ms(logs[1], time.perf_counter), await proof_ms(logs[1], time.thread_time)
    for log in logs:
        await log.stop()
    kept = statistics.median(large_rate / small_rate for small_rate, large_rate in pairs)
    p99 = proofs[PROOFS * 99 // 100]
    return [
        Figure("log of 1,000,000: database bytes / body bytes", f"{ratio:.3f}", goal=f"<= {GOAL_BYTES}", met=ratio <= GOAL_BYTES),
        Figure("log of 1,000,000: entries/s of the engine alone / those of an empty log", f"{kept:.2f}"),
        Figure("engine alone, 64 callers", "", statistics.median(one for one, _ in pairs), "R"),
        Figure("log of 1,000,000: proof, p50", f"{proofs[PROOFS // 2]:.2f} ms"),
        Figure("log of 1,000,000: proof, p99", f"{p99:.2f} ms", goal=f"<= {GOAL_PROOF_MS:g} ms", met=p99 <= GOAL_PROOF_MS),
        Figure("log of 1,000,000: proof, p99 of the time on a core", f"{computing[PROOFS * 99 // 100]:.2f} ms"),
        Figure("log of 1,000,000: filled", f"{filled_s:.0f} s"),
        Figure("log of 1,000,000: opened and checked", f"{opened_s:.2f} s"),
    ]  # fmt: skip


def make_stack(folder: Path, entries: int) -> Path:
    """The data directory of a stack whose Rekor v2 log has so many entries."""
    folder.mkdir()
    data = folder / "data"
    with running_stack(folder, "--data", data):
        pass
    if entries:
        key = keys.parse_private_key((data / "rekor" / "log.key").read_bytes(), what="the log's key", ours=True)
        publisher = CheckpointPublisher("localhost", key)
        parts = SqliteStore(data / "rekor" / "log.db"), FileAnchor(data / "anchor" / "rekor.checkpoint"), publisher
        print(f"filling the log of a stack with {entries:,} entries", file=sys.stderr)
        asyncio.run(fill(*parts, entries))
    return data


def measure_restart(folder: Path) -> Figure:
    """From the command to the ready file."""
    data = make_stack(folder, RESTART_ENTRIES)
    start = time.perf_counter()
    with running_stack(folder, "--data", data):
        elapsed = time.perf_counter() - start
    name = f"restart to ready, {RESTART_ENTRIES:,} entries in Rekor v2"
    return Figure(name, f"{elapsed:.2f} s", goal=f"<= {GOAL_RESTART_S:g} s", met=elapsed <= GOAL_RESTART_S)


def measure_adds(folder: Path, rounds: int) -> Figure:
    """Adding over HTTP, as in :mod:`bench.rekor_add`, to a large log and to an empty one in turns."""
    folder.mkdir()
    places = [
        (folder / name, make_stack(folder / name, entries)) for name, entries in (("small", 0), ("large", ENTRIES))
    ]
    rates: list[list[float]] = [[], []]
    for number in range(rounds):
        for (place, data), found in zip(places, rates, strict=True):
            what = f"adding over HTTP to {place.name}, {number + 1} of {rounds}"
            with running_stack(place, "--data", data) as stack:
                target = Target(stack.url, stack.process.pid)
                sampled = measure("bench.rekor_add", target, "v2", CALLERS, ADDING_S, rounds=1, what=what)
                found += [window.per_second / window.r for window in sampled]
    kept = statistics.median(rates[1]) / statistics.median(rates[0])
    name = "log of 1,000,000: entries/s over HTTP / those of an empty log"
    return Figure(name, f"{kept:.2f}", goal=f">= {GOAL_RATE}", met=kept >= GOAL_RATE)


def run(rounds: int) -> list[Figure]:
    """All figures; takes about three minutes and 3.2 GB in the folder for temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="sigbox-bench-"))
    try:
        figures = asyncio.run(measure_scale(folder, min(rounds, 3)))
        return [*figures, measure_adds(folder / "adds", min(rounds, 3)), measure_restart(folder / "restart")]
    finally:
        shutil.rmtree(folder)
