# SPDX-License-Identifier: Apache-2.0
"""``make test`` keeps what tests write in memory, where there is enough of it: a stack asks its disk to be durable some hundred
times before it serves, and the tests start a thousand.

Nothing that is proven depends on a real disk: what a power cut leaves is replayed from recorded calls (``faults/disk.py``). A run
of one process writes where it always did, and what it wrote is there afterwards.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory chooses the name
ROOM = 6 * 2**30
"""What a whole run needs at most is a third of it; what it fills is taken from the memory of its processes."""


def has_room(folder: Path, room: int = ROOM) -> bool:
    """Whether it is there, may be written, has so many bytes, and lets programs run, which some tests build."""
    if not os.access(folder, os.W_OK):
        return False
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize >= room and not state.f_flag & os.ST_NOEXEC


def available() -> int:
    """Bytes of memory that nobody uses; 0 where the kernel does not say."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return 0


def pytest_configure(config: pytest.Config) -> None:
    """Active in the process that hands tests out to others, unless a place was given; theirs are below its own."""
    if config.option.basetemp or not config.getoption("numprocesses", default=None) or hasattr(config, "workerinput"):
        return
    if available() < ROOM or not has_room(MEMORY):
        return
    folder = tempfile.TemporaryDirectory(prefix="sb-", dir=MEMORY, ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    Path(folder.name).chmod(0o1777)  # as of every such folder: a database server is another user than root
    config.option.basetemp = f"{folder.name}/t"  # short: paths of sockets are bounded
    os.environ["TMPDIR"] = folder.name
    tempfile.tempdir = None  # it is looked for again
