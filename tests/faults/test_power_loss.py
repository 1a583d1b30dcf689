# SPDX-License-Identifier: Apache-2.0
"""F03: the power goes at hundreds of moments, and the disk keeps what it was told to keep and a random part of the rest.

kill -9 does not show that an acknowledgement was durable, because the page cache survives the process. Here every write of a
stack is recorded, and replayed on a disk that is as bad as POSIX allows (``disk.py``). The negative controls take the
synchronisation away, and must lose.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sigcore.errors import SigError
from stack import bootstrap
from stack.config import Home
from tests.chance import chosen_seed
from tests.faults.audit import audit, read_key, read_log
from tests.faults.disk import Disk
from tests.faults.recorded_load import Load, PrecertificateMaker
from tests.faults.recorder import Event, Trace, build_recorder
from tests.faults.replay import Told, check, check_tuf_root
from tests.missing import missing
from tests.stack_process import ROOT, environment, running_stack, start_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ENTRIES = 180
"""Rekor v2 entries of each of the two lives of the recorded stack: together more than a tile."""
CUTS = 240
CONTROL_CUTS = 40
WHOLE_CUTS = 4
OIDC_KEY = rsa.generate_private_key(65537, 2048)


def record(folder: Path) -> list[Event]:
    """Two lives of a stack under load: the first ends in order, the second by kill -9.

    In between its anchors become what an earlier version left: the second life begins with carrying them over.
    """
    trace = Trace(folder / "trace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(build_recorder(folder)))
        patch.setenv("RECORDER_ROOT", str(folder / "data"))
        patch.setenv("RECORDER_TRACE", str(trace.path))
        for orderly in (True, False):
            stack = start_stack(folder, "--data", folder / "data")
            try:
                trace.note({"role": "tuf-root", "told": sha256(stack.tuf_root.read_bytes()).hexdigest()})
                asyncio.run(_load(stack.url, trace, stack.data))
                if orderly:
                    stack.stop()
                    turn_back = [sys.executable, "-m", "tests.faults.former_anchors", str(folder / "data")]
                    subprocess.run(turn_back, cwd=ROOT, env=environment(), check=True)
            finally:
                stack.kill()
    trace.close()
    return trace.read()


async def _load(url: str, trace: Trace, data: Path) -> None:
    async with aiohttp.ClientSession(url) as session:
        await Load(trace, session, PrecertificateMaker(data)).run(ENTRIES)


def choose_cuts(events: Sequence[Event], count: int, chance: Random) -> list[int]:
    """Half of them right after somebody was told something, a fifth in the first start, the rest anywhere."""
    told = [number for number, event in enumerate(events, 1) if event.kind == "A" and b'"told"' in event.data]
    first, anywhere = count // 5, count - count // 5 - count // 2
    return sorted(
        [chance.choice(told) for _ in range(count // 2)]
        + [chance.randint(1, told[0] - 1) for _ in range(first)]
        + [chance.randint(1, len(events)) for _ in range(anywhere)]
    )


def replay(events: Sequence[Event], count: int, folder: Path, chance: Random) -> list[str]:
    """What broke at each of ``count`` cuts; empty when every promise was kept."""
    disk, noted, broken, done, left = Disk(), Told(), [], 0, folder / "left"

    async def run() -> None:
        nonlocal done
        for cut in choose_cuts(events, count, chance):
            for event in events[done:cut]:
                disk.apply(event)
                noted.add(event)
            done = cut
            disk.cut_power(left, chance)
            try:
                await check(left, noted, OIDC_KEY)
            except (SigError, AssertionError, OSError) as error:
                broken.append(f"cut after event {cut} of {len(events)}: {type(error).__name__}: {error}")
            shutil.rmtree(left)

    asyncio.run(run())
    return broken


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> list[Event]:
    if shutil.which("gcc") is None:
        missing("gcc is missing: what a stack writes cannot be recorded")
    return record(tmp_path_factory.mktemp("recorded"))


def test_f03_a_power_cut_loses_nothing_that_was_told(events, memory: Path):
    seed, start = chosen_seed(), time.monotonic()
    chance = Random(seed)
    broken = replay(events, CUTS, memory, chance)
    kinds = Counter(event.kind for event in events)
    told = Told.before(events).told
    carried = [
        event
        for event in events
        if event.kind == "U" and event.path.startswith("anchor/") and event.path.endswith(".db")
    ]
    assert len(carried) == 3
    print(
        f"\nseed {seed}: {CUTS} power cuts in {time.monotonic() - start:.0f} s, {len(broken)} broken;"
        f" recorded {kinds['W']} writes, {kinds['S']} file and {kinds['D']} folder synchronisations, {kinds['R']} renames;"
        f" told: { {role: len(notes) for role, notes in told.items()} }"
    )
    assert not broken, "\n".join(broken[:20])


def test_f03_a_first_start_that_was_cut_at_any_moment_can_be_started_again(events, memory: Path):
    first = next(place for place, event in enumerate(events, 1) if event.kind == "A")
    disk, left = Disk(), memory / "left"
    for number, event in enumerate(events[:first]):
        disk.apply(event)
        disk.cut_power(left, Random(number))
        home = Home(left)
        bootstrap.prepare(home, url=None, default_url="http://localhost:7780", ephemeral=False, now=datetime.now(UTC))
        bootstrap.load_material(home)
        shutil.rmtree(left)


@pytest.mark.parametrize("number", range(WHOLE_CUTS))
def test_f03_a_whole_stack_starts_after_a_power_cut_while_it_published(events, tmp_path: Path, number: int):
    """The process itself, the trust root and the TUF repository included, cut while those are written or just told."""
    chance, noted, disk = Random(number), Told(), Disk()
    end = next(place for place, event in enumerate(events, 1) if event.kind == "A") + 10 * number
    published = [place for place, event in enumerate(events[:end], 1) if event.path.startswith("public/tuf")]
    cut = end if number % 2 else chance.choice(published)
    for event in events[:cut]:
        disk.apply(event)
        noted.add(event)
    disk.cut_power(tmp_path / "left", chance)
    check_tuf_root(Home(tmp_path / "left"), noted)
    with running_stack(tmp_path, "--data", tmp_path / "left") as stack:
        check_tuf_root(Home(stack.data), noted)
        now, entries = read_log(stack.url)
        audit(entries, now, noted.acknowledged(), [], read_key(stack.trusted_root))


def tell_early(events: Sequence[Event]) -> list[Event]:
    """A log that answers before it commits: what Rekor v2 told is told as soon as it was sent."""
    notes = [json.loads(event.data) if event.kind == "A" else {} for event in events]
    told = {note["told"]["digest"]: event for event, note in zip(events, notes, strict=True) if is_v2(note, "told")}
    early = []
    for event, note in zip(events, notes, strict=True):
        if not is_v2(note, "told"):
            early.append(event)
        if is_v2(note, "sent") and note["sent"]["digest"] in told:
            early.append(told[note["sent"]["digest"]])
    return early


def is_v2(note: dict[str, Any], kind: str) -> bool:
    return note.get("role") == "v2" and kind in note


CONTROLS: dict[str, Callable[[Sequence[Event]], list[Event]]] = {
    "no synchronisation at all, as synchronous=OFF": lambda events: [e for e in events if e.kind not in "SD"],
    "no synchronisation of write-ahead logs, as synchronous=NORMAL": lambda events: [
        e for e in events if not (e.kind == "S" and e.path.endswith("-wal"))
    ],
    "no synchronisation of folders": lambda events: [e for e in events if e.kind != "D"],
    "acknowledged before committed": tell_early,
}


@pytest.mark.parametrize("control", CONTROLS)
def test_f03_control_a_stack_that_promises_too_much_loses(events, memory: Path, control: str):
    broken = replay(CONTROLS[control](events), CONTROL_CUTS, memory, Random(1))
    print(f"\n{control}: {len(broken)} of {CONTROL_CUTS} power cuts lost something, such as\n  {broken[:1]}")
    assert len(broken) >= CONTROL_CUTS // 20
