# SPDX-License-Identifier: Apache-2.0
"""Entries per second with two workers and a sequencer, and with one process, in turns on the same machine.

The clients of ``bench.rekor_add``, which share the cores with the server; nobody is tied to a core. The ratio is that of two
stacks whose windows follow each other.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench import windows
from bench.reference import Figure
from bench.windows import Goals, Target, Window, measure, named
from tests.stack_process import running_stack

CLIENTS = (64, 256)
MODES = {"one process": (), "two workers": ("--workers", "2")}
GOAL = Goals(rate=0.42)
TIMES = 1.5
"""How much more than one process the workers shall do, with the most clients."""


def run(rounds: int, seconds: float = 3.0) -> list[Figure]:
    """The figures of ``rounds`` pairs of stacks with fresh logs."""
    figures: list[Figure] = []
    for clients in CLIENTS:
        found: dict[str, list[Window]] = {mode: [] for mode in MODES}
        times = []
        for _ in range(rounds):
            pair = [_measure(mode, clients, seconds) for mode in MODES]
            for mode, one in zip(MODES, pair, strict=True):
                found[mode] += one
            times.append(_rate(pair[1]) / _rate(pair[0]))
        last = clients == max(CLIENTS)
        for mode in MODES:
            goals = GOAL if last and mode == "two workers" else Goals()
            figures += windows.figures(named(f"Rekor v2, add, {mode}", clients), found[mode], goals)
        ratio = statistics.median(times)
        goal = (f">= {TIMES}", ratio >= TIMES) if last else ("", None)
        figures.append(Figure(named("Rekor v2, add, two workers by one process", clients), "", ratio, "times", *goal))
    return figures


def _measure(mode: str, clients: int, seconds: float) -> list[Window]:
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        with running_stack(folder, "--data", folder / "data", *MODES[mode]) as stack:
            target = Target(stack.url, stack.process.pid)
            return measure(
                "bench.rekor_add", target, "v2", clients, seconds, rounds=1, what=f"{mode}, {clients} clients"
            )


def _rate(found: list[Window]) -> float:
    """In R: what neighbours do between the two of a pair counts less."""
    return statistics.median(window.per_second / window.r for window in found)
