# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults.injections FOLDER [careless]``, with the recorder preloaded: every call that changes the disk, failing once.

For each kind of failure and each number, until the run has fewer calls than that:

1. A copy of a log of ``BASE`` entries. A forked process arms the failure, opens the log, adds entries one by one, and says
   which were acknowledged. Where it is still alive, the failure is over then, and it must be able to add the rest, unless the
   log would not open.
2. Here, without failures: the log opens, the full audit passes, what was acknowledged is at its index, and adding the same
   entries again adds none twice.

Prints one JSON document: runs, and what broke. ``careless`` is the negative control: a store that takes a failed commit for
done.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore.errors import SigError, Unavailable
from tlog import sequencer
from tlog.anchor_file import FileAnchor
from tlog.log import Log, Submission
from tlog.publish import CheckpointPublisher
from tlog.storage.base import Batch
from tlog.storage.sqlite import SqliteStore

BASE, ADDED = 254, 6
"""The entries that are added complete a tile."""
KINDS = {
    "killed": (0, 1),
    "EIO": (errno.EIO, 1),
    "ENOSPC": (errno.ENOSPC, 1),
    "EIO twice": (errno.EIO, 2),
    "ENOSPC twice": (errno.ENOSPC, 2),
    "EIO for 25 calls": (errno.EIO, 25),
}
WAIT_S = 5.0
"""A log that was read back takes entries long before."""
PUBLISHER = CheckpointPublisher("log.example", ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
NEVER = 1 << 30
Store = SqliteStore


def recorder() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ["LD_PRELOAD"])


def submission(number: int) -> Submission:
    leaf = b"entry %d" % number
    return Submission(leaf, hashlib.sha256(leaf).digest(), b"extra %d" % number)


def stopped_clock() -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC)


def make_log(folder: Path) -> Log:
    return Log(Store(folder / "log.db"), FileAnchor(folder / "anchor.checkpoint"), PUBLISHER, stopped_clock)


async def fill(folder: Path) -> None:
    log = make_log(folder)
    await log.start()
    await asyncio.gather(*(log.submit(submission(number)) for number in range(BASE)))
    await log.stop()


# --- 1 ----------------------------------------------------------------------------------------------------
async def add(folder: Path, error: int, count: int, after: int, told: int) -> None:
    """The run with the failure; a line ``number index`` on ``told`` is an acknowledgement."""
    recorder().recorder_arm(after, error, count)
    log = make_log(folder)
    try:
        await log.start()
    except SigError:
        recorder().recorder_arm(NEVER, 0, 0)
        return
    for number in range(BASE, BASE + ADDED):
        try:
            receipt = await log.submit(submission(number))
        except Unavailable:
            continue
        os.write(told, f"{number} {receipt.index}\n".encode())
    reached = recorder().recorder_calls()
    recorder().recorder_arm(NEVER, 0, 0)
    for number in range(BASE, BASE + ADDED):
        receipt = await _persist(log, number)
        os.write(told, f"{number} {receipt}\n".encode())
    await log.stop()
    os.write(told, f"end {reached}\n".encode())


async def _persist(log: Log, number: int) -> int:
    """Add an entry to a log that was read back, or will be."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return (await log.submit(submission(number))).index
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.002)


def forked(folder: Path, error: int, count: int, after: int) -> tuple[str, dict[int, set[int]], int | None]:
    """(how it ended, indexes by acknowledged entry, number of calls when nothing failed any more)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(add(folder, error, count, after, writing))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as lines:
        rows = [line.split() for line in lines]
    _, status = os.waitpid(child, 0)
    told: dict[int, set[int]] = {}
    for number, index in rows:
        if number != "end":
            told.setdefault(int(number), set()).add(int(index))
    calls = next((int(value) for number, value in rows if number == "end"), None)
    return ("killed" if os.WIFSIGNALED(status) else str(os.waitstatus_to_exitcode(status))), told, calls


# --- 2 ----------------------------------------------------------------------------------------------------
async def check(folder: Path, told: dict[int, set[int]]) -> None:
    log = make_log(folder)
    await log.start()
    try:
        await log.audit()
        for number, indexes in told.items():
            assert len(indexes) == 1, f"entry {number} was given the indexes {indexes}"
            (found,) = await log.entries(min(indexes), min(indexes) + 1)
            assert found == submission(number), f"index {indexes} holds another entry"
        for number in range(BASE + ADDED):
            await log.submit(submission(number))
        assert log.size == BASE + ADDED, f"{log.size} entries of {BASE + ADDED}"
        await log.audit()
    finally:
        await log.stop()


def runs(folder: Path, kinds: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """(which failure, what broke) for each run."""
    base, work = folder / "base", folder / "work"
    base.mkdir()
    asyncio.run(fill(base))
    for kind, (error, count) in kinds.items():
        after, calls = 1, None
        while calls is None or after <= calls:
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(base, work)
            ended, told, calls = forked(work, error, count, after)
            broken = "" if ended == ("killed" if error == 0 and calls is None else "0") else f"it ended with {ended}"
            try:
                asyncio.run(check(work, told))
            except (SigError, AssertionError) as problem:
                broken += f" {type(problem).__name__}: {problem}"
            yield f"{kind} at call {after}", broken
            after += 1


class CarelessStore(SqliteStore):
    def _commit(self, batch: Batch, checked: Callable[[], bool]) -> None:
        with contextlib.suppress(Unavailable):
            super()._commit(batch, checked)


def main() -> None:
    global Store, WAIT_S
    sequencer.RETRY_S = 0.01
    kinds = KINDS
    if "careless" in sys.argv:
        Store, WAIT_S, kinds = CarelessStore, 0.05, {"EIO": KINDS["EIO"]}
    found = list(runs(Path(sys.argv[1]), kinds))
    broken = [f"{which}: {what}" for which, what in found if what]
    print(json.dumps({"runs": len(found), "broken": broken}))


if __name__ == "__main__":
    main()
