# SPDX-License-Identifier: Apache-2.0
"""``make test`` runs tests in two processes at a time; those marked ``alone`` run while no other test does.

Such a test measures times against a bound, or fills the machine itself. Each test takes a turn, which is a lock on a file:

1. At the door waits whoever wants a turn, one after the other: else those who share would never let in the one who does not.
2. Inside, the turn is shared, or is the only one for a test that is marked.
3. The door is free again as soon as the turn is taken; the turn ends when the test and what it set up have ended.

Fixtures of a module outlive the turns of their tests: a stack or a browser may be there while others are measured, but nobody
asks it for anything. In a run of one process there is nothing to wait for, and no lock.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

FOLDER = "sigbox_turns"


class Node(Protocol):
    """A process of tests, as the process that hands out the tests sees it."""

    workerinput: dict[str, object]


class Hand:
    """In the process that hands out the tests: a folder for the two locks, which every other is told of."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Node) -> None:
        node.workerinput[FOLDER] = self.folder


class Turns:
    """In a process of tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with turn(self.folder, alone=item.get_closest_marker("alone") is not None):
            return (yield)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """A turn for the length of a block; the locks are in ``folder``. A process that dies has none."""
    with (folder / "door").open("wb") as door, (folder / "inside").open("wb") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(inside, fcntl.LOCK_UN)  # a child that was forked meanwhile has the file open too


def pytest_configure(config: pytest.Config) -> None:
    """Active only where tests run in several processes."""
    theirs: dict[str, object] | None = getattr(config, "workerinput", None)
    if theirs is not None:
        config.pluginmanager.register(Turns(Path(str(theirs[FOLDER]))))
    elif config.getoption("numprocesses", default=None):
        folder = tempfile.TemporaryDirectory(prefix="sigbox-turns-")
        config.add_cleanup(folder.cleanup)
        config.pluginmanager.register(Hand(folder.name))
