# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that takes the tests as they are collected and asks of each mutant whether one of them notices.

1. Every test runs once, as the code is. Which lines of the targets it runs is kept, and how long it takes.
2. For each mutant a child process is forked: it grafts the mutant and runs the tests that reach its line, the quickest first,
   until one fails. The mutant is killed then; also when it hangs, or takes the process down.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.graft import forget, graft
from tests.mutation.mutants import Mutant, mutants

HANG_S = 5
"""Beside it each mutant has as long as its tests took while they were traced, which is some five times as long as otherwise."""
KILLED, SURVIVED = 0, 3


@dataclass
class Hunt:
    """The mutants of ``targets`` (dotted names): of each whether it was killed."""

    targets: tuple[str, ...]
    sample: int = 0
    seed: int = 1
    workers: int = 1
    survivors: list[str] = field(default_factory=list)
    total: int = 0
    reached: dict[tuple[str, int], list[pytest.Item]] = field(default_factory=dict)
    took: dict[pytest.Item, float] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the tests: the hunt."""
        for item in session.items:
            self._trace(item)
        chosen = list(self._mutants())
        if self.sample:
            chosen = random.Random(self.seed).sample(chosen, self.sample)
        self.total = len(chosen)
        if self.total:
            self._run_all(chosen)
        return True

    def _mutants(self) -> Iterator[tuple[str, Mutant]]:
        for name in self.targets:
            path = str(import_module(name).__file__)
            yield from ((name, mutant) for mutant in mutants(Path(path).read_text("utf-8"), path))

    # --- as the code is
    def _trace(self, item: pytest.Item) -> None:
        files = {str(import_module(name).__file__) for name in self.targets}
        lines: set[tuple[str, int]] = set()

        def local(frame: FrameType, event: str, _arg: Any) -> Any:
            lines.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        def trace(frame: FrameType, _event: str, _arg: Any) -> Any:
            return local(frame, "", None) if frame.f_code.co_filename in files else None

        forget()
        began = time.monotonic()
        sys.settrace(trace)
        try:
            reports = _run(item)
        finally:
            sys.settrace(None)
        assert not any(report.failed for report in reports), f"{item.nodeid} fails without any mutant"
        self.took[item] = time.monotonic() - began
        for place in lines:
            self.reached.setdefault(place, []).append(item)

    # --- with a mutant
    def _run_all(self, chosen: list[tuple[str, Mutant]]) -> None:
        running: dict[int, tuple[str, Mutant]] = {}
        waiting = list(reversed(chosen))
        while waiting or running:
            while waiting and len(running) < self.workers:
                one = waiting.pop()
                running[self._start(*one)] = one
            pid, status = os.wait()
            name, mutant = running.pop(pid)
            done = self.total - len(waiting) - len(running)
            if os.waitstatus_to_exitcode(status) == SURVIVED:
                self.survivors.append(f"{name.replace('.', '/')}.py:{mutant}")
                print(f"[{done}/{self.total}] survived {self.survivors[-1]}", file=sys.stderr, flush=True)
            elif done % 50 == 0:
                print(f"[{done}/{self.total}]", file=sys.stderr, flush=True)

    def _tests(self, name: str, mutant: Mutant) -> list[pytest.Item]:
        """Those that reach the line; what runs at import is reached by all."""
        found = self.reached.get((str(import_module(name).__file__), mutant.line), list(self.took))
        return sorted(found, key=self.took.__getitem__)

    def _start(self, name: str, mutant: Mutant) -> int:
        tests = self._tests(name, mutant)
        pid = os.fork()
        if pid:
            return pid
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HANG_S + int(sum(map(self.took.__getitem__, tests))))
        try:
            graft(mutant.code, import_module(name))
        except Exception:  # noqa: BLE001 - a module that cannot be imported is noticed by everybody
            os._exit(KILLED)
        os._exit(SURVIVED if all(map(_passes, tests)) else KILLED)


def _passes(item: pytest.Item) -> bool:
    try:
        return not any(report.failed for report in _run(item))
    except BaseException:  # noqa: BLE001 - also what the test runner itself does not survive
        return False


def _run(item: pytest.Item) -> list[pytest.TestReport]:
    """Alone, in any order; fixtures of the whole session stay."""
    return runtestprotocol(item, log=False, nextitem=_Next(item.session))  # type: ignore[arg-type]  # all that is asked


@dataclass
class _Next:
    """Whatever comes next: it shares nothing but the session."""

    session: pytest.Session

    def listchain(self) -> list[Any]:
        return [self.session]
