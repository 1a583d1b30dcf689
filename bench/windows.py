# SPDX-License-Identifier: Apache-2.0
"""Load in short windows, each with the references of its own moment.

1. The clients' process prepares its requests, then takes turns: the references, a window of load, the references, and so on.
2. Beside its rate each window has what R was around it, what processor time the server took per request, and how many cores
   all other processes used meanwhile.
3. Figures are medians over the quieter half of the windows, chosen by the third of these and not by what came out.

The third step is there because R does not stand for all that neighbours take. A verification runs in the nearest cache and loses
the time that others get; a request runs through a megabyte of code and data, and finds less of it in the caches as well.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench.load import load
from bench.reference import Figure, cpu_seconds, verifies
from tests.stack_process import ROOT, environment

WINDOWS: Final = 3
"""Of one process of clients, which is what takes long to start."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one window measured; times per request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    r: float
    """Verifications per second: the mean of just before and just after."""
    cpu_s: float
    """Processor time of the server."""
    cpu_verifies: float
    """The same in verifications, these too by their processor time."""
    others: float
    """Cores that neither the server nor the clients used, and that were not idle."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and where its process can be looked at."""

    url: str
    pid: int


# --- the clients' process ----------------------------------------------------------------------------
def clients_process(target: Target, requests: list[bytes], clients: int, seconds: float, *, status: int) -> str:
    """Send ``requests`` in windows of ``seconds`` each; the answer is what :func:`measure` reads."""
    found, before = [], verifies()
    for _ in range(WINDOWS):
        used, server = _used(), cpu_seconds(target.pid)
        own = _own_seconds()
        sample = uvloop.run(load(target.url, requests, clients, seconds, status=status))
        server, own, used = cpu_seconds(target.pid) - server, _own_seconds() - own, _used() - used
        after = verifies()
        r, r_cpu = ((one + other) / 2 for one, other in zip(before, after, strict=True))
        cpu = server / (sample.per_second * seconds)
        others = max(0.0, used - server - own) / seconds
        found.append(Window(sample.per_second, sample.p50_ms, sample.p99_ms, r, cpu, cpu * r_cpu, others))
        before = after
    return json.dumps([asdict(window) for window in found])


def _own_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _used() -> float:
    """Seconds for which the cores were not idle, all of them together, since the machine was started."""
    line = Path("/proc/stat").read_text("ascii").partition("\n")[0]
    user, nice, system, _, _, *rest = map(int, line.split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


# --- the benchmark -------------------------------------------------------------------------------------
def measure(module: str, target: Target, *arguments: str | Path | float, rounds: int, what: str) -> list[Window]:
    """The windows of ``rounds`` processes ``python -m module URL PID ARGUMENTS``."""
    command = [sys.executable, "-m", module, target.url, str(target.pid), *map(str, arguments)]
    found = []
    for number in range(rounds):
        print(f"{what}, {number + 1} of {rounds}", file=sys.stderr)
        done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
        found += [Window(**one) for one in json.loads(done.stdout)]
    return found


@dataclass(frozen=True, slots=True)
class Goals:
    """For the rate in R, and for the median latency in verifications; None where none is set."""

    rate: float | None = None
    p50: float | None = None


def figures(name: str, windows: list[Window], goals: Goals) -> list[Figure]:
    """The lines for one number of clients."""
    quiet = sorted(windows, key=lambda window: window.others)[: (len(windows) + 1) // 2]

    def median(value: Callable[[Window], float]) -> float:
        return statistics.median(map(value, quiet))

    ratio, p50 = median(lambda w: w.per_second / w.r), median(lambda w: w.p50_ms / 1000 * w.r)
    rate_goal = ("", None) if goals.rate is None else (f">= {goals.rate} R", ratio >= goals.rate)
    p50_goal = ("", None) if goals.p50 is None else (f"<= {goals.p50}", p50 <= goals.p50)
    cpu_ms = median(lambda w: w.cpu_s * 1000)
    return [
        Figure(name, f"{median(lambda w: w.per_second):.0f} /s", ratio, "R", *rate_goal),
        Figure(f"{name}, p50", f"{median(lambda w: w.p50_ms):.2f} ms", p50, "verifies", *p50_goal),
        Figure(f"{name}, p99", f"{median(lambda w: w.p99_ms):.2f} ms"),
        Figure(f"{name}, CPU of the server", f"{cpu_ms:.2f} ms", median(lambda w: w.cpu_verifies), "verifies"),
        Figure(f"{name}, cores used by others", f"{median(lambda w: w.others):.2f}"),
    ]


def named(name: str, clients: int) -> str:
    """The name of a figure."""
    return f"{name}, {clients} client{'s' if clients > 1 else ''}"


def enough(seconds: float, most_per_second: float) -> int:
    """Requests for all windows, whatever the server does."""
    return int(WINDOWS * seconds * most_per_second)
