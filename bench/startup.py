# SPDX-License-Identifier: Apache-2.0
"""From the console script's start to the ready file, and from SIGTERM to the end with 0: an ephemeral stack, N times.

As a user has it: with the byte code of every module cached. An environment that forbids writing it (PYTHONDONTWRITEBYTECODE)
would have an editable checkout compile itself at every start, so the child is started without that variable.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.reference import Figure, pass_seconds

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sigcore", "oidc_dev", "ca", "tlog", "tsa", "client", "stack")
GOAL_MS, GOAL_PASSES, GOAL_MIB = 500, 26, 80
DEADLINE_S = 60
POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class Sample:
    """One start and one end, in seconds, with the memory in between."""

    ready_s: float
    stop_s: float
    pass_s: float
    rss_mib: float


def environment() -> dict[str, str]:
    """Ours, with byte code caching as users have it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def measure(folder: Path) -> Sample:
    """Start, wait for the ready file, look, stop."""
    before, ready = passes(), folder / "ready.json"
    script = Path(sys.executable).with_name("sigbox")
    command: list[str | Path] = [script, "up", "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", ready]
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while not ready.exists():
        if process.poll() is not None or time.perf_counter() - start > DEADLINE_S:
            process.kill()
            raise RuntimeError(f"the stack did not start: {process.communicate()[1].decode()}")
        time.sleep(POLL_S)
    ready_s, rss = time.perf_counter() - start, resident_mib(process.pid)
    process.send_signal(signal.SIGTERM)
    start = time.perf_counter()
    _, errors = process.communicate(timeout=DEADLINE_S)
    if process.returncode != 0:
        raise RuntimeError(f"the stack ended with {process.returncode}: {errors.decode()}")
    return Sample(ready_s, time.perf_counter() - start, statistics.median(before + passes()), rss)


def passes() -> list[float]:
    """Three times ``python -c pass``."""
    return [pass_seconds() for _ in range(3)]


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def run(rounds: int) -> list[Figure]:
    """The figures of ``rounds`` starts."""
    folders = [str(ROOT / package) for package in PACKAGES]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], env=environment(), check=True)
    samples = []
    for number in range(rounds):
        print(f"start {number + 1} of {rounds}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as folder:
            samples.append(measure(Path(folder)))
    ready = statistics.median(s.ready_s for s in samples) * 1000
    ratio = statistics.median(s.ready_s / s.pass_s for s in samples)
    fastest = min(s.ready_s for s in samples) * 1000
    rss = statistics.median(s.rss_mib for s in samples)
    goal, met = f"<= {GOAL_MS} ms and <= {GOAL_PASSES} x pass", ready <= GOAL_MS and ratio <= GOAL_PASSES
    return [
        Figure("start to ready, median", f"{ready:.0f} ms", ratio, "x pass", goal, met),
        Figure("start to ready, fastest", f"{fastest:.0f} ms"),
        Figure("SIGTERM to the end, median", f"{statistics.median(s.stop_s for s in samples) * 1000:.0f} ms"),
        Figure("resident memory when ready", f"{rss:.0f} MiB", goal=f"<= {GOAL_MIB} MiB", met=rss <= GOAL_MIB),
        Figure("python -c pass, median", f"{statistics.median(s.pass_s for s in samples) * 1000:.1f} ms"),
    ]
