# SPDX-License-Identifier: Apache-2.0
"""F03: the power goes at hundreds of moments, and the disk keeps what it was told to keep and a random part of the rest.

kill -9 does not show that an acknowledgement was durable, because the page cache survives the process. Here every write of a
stack is recorded, and replayed on a disk that is as bad as POSIX allows (``disk.py``). The negative controls take the
synchronisation away, and must lose.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sigcore.errors import SigError
from tests.faults.disk import Disk
from tests.faults.recorded_load import Load, PrecertificateMaker
from tests.faults.recorder import Event, Trace, build_recorder
from tests.faults.replay import Told, check
from tests.stack_process import start_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ENTRIES = 180
"""Rekor v2 entries of each of the two lives of the recorded stack: together more than a tile."""
CUTS = 300
CONTROL_CUTS = 60
OIDC_KEY = rsa.generate_private_key(65537, 2048)
NOT_OURS = ("oidc/", "tuf/")
"""Secret keys that a cut may leave half-made before the stack was ready are made again; see bootstrap."""


def record(folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[Event]:
    """Two lives of a stack under load: the first ends in order, the second by kill -9."""
    trace = Trace(folder / "trace")
    settings = {"LD_PRELOAD": build_recorder(folder), "RECORDER_ROOT": folder / "data", "RECORDER_TRACE": trace.path}
    with monkeypatch.context() as patch:
        for name, value in (settings | environment).items():
            patch.setenv(name, str(value))
        for orderly in (True, False):
            stack = start_stack(folder, "--data", folder / "data")
            try:
                trace.note({"role": "stack", "told": "ready"})
                asyncio.run(_load(stack.url, trace, stack.data))
                if orderly:
                    stack.stop()
            finally:
                stack.kill()
    trace.close()
    return trace.read()


async def _load(url: str, trace: Trace, data: Path) -> None:
    async with aiohttp.ClientSession(url) as session:
        await Load(trace, session, PrecertificateMaker(data)).run(ENTRIES)


def choose_cuts(events: Sequence[Event], count: int, chance: Random) -> list[int]:
    """Half of them right after somebody was told something, half anywhere."""
    told = [number for number, event in enumerate(events, 1) if event.kind == "A" and b'"told"' in event.data]
    return sorted(
        [chance.choice(told) for _ in range(count // 2)]
        + [chance.randint(1, len(events)) for _ in range(count - count // 2)]
    )


def replay(
    events: Sequence[Event], cuts: Sequence[int], folder: Path, chance: Random, obeys: Callable[[Event], bool] | None = None
) -> list[str]:
    """What broke at each of ``cuts``; empty when every promise was kept."""
    disk, noted, broken, done = Disk(obeys or (lambda _event: True)), Told(), [], 0

    async def run() -> None:
        nonlocal done
        for cut in cuts:
            for event in events[done:cut]:
                disk.apply(event)
                noted.add(event)
            done = cut
            left = folder / "left"
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
    with pytest.MonkeyPatch.context() as patch:
        return record(tmp_path_factory.mktemp("recorded"), patch)


def test_f03_a_power_cut_loses_nothing_that_was_told(events, tmp_path: Path):
    seed, start = time.time_ns(), time.monotonic()
    chance = Random(seed)
    broken = replay(events, choose_cuts(events, CUTS, chance), tmp_path, chance)
    kinds = Counter(event.kind for event in events)
    told = Told.before(events).told
    print(
        f"\nseed {seed}: {CUTS} power cuts in {time.monotonic() - start:.0f} s, {len(broken)} broken;"
        f" recorded {kinds['W']} writes, {kinds['S']} file and {kinds['D']} folder synchronisations, {kinds['R']} renames;"
        f" told: { {role: len(notes) for role, notes in told.items()} }"
    )
    assert not broken, "\n".join(broken[:20])


CONTROLS: dict[str, Callable[[Event], bool]] = {
    "no synchronisation at all": lambda _event: False,
    "no synchronisation of the write-ahead logs, as synchronous=NORMAL": lambda event: not event.path.endswith("-wal"),
    "no synchronisation of folders": lambda event: event.kind != "D",
}


@pytest.mark.parametrize("control", CONTROLS)
def test_f03_control_a_disk_that_does_not_synchronise_loses(events, tmp_path: Path, control: str):
    chance = Random(1)
    broken = replay(events, choose_cuts(events, CONTROL_CUTS, chance), tmp_path, chance, CONTROLS[control])
    print(f"\n{control}: {len(broken)} of {CONTROL_CUTS} power cuts lost something, such as\n  {broken[:1]}")
    assert len(broken) >= CONTROL_CUTS // 20
