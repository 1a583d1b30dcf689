# SPDX-License-Identifier: Apache-2.0
"""One process per data directory: an advisory lock that the kernel releases however its owner ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sigcore.errors import Refused
from stack.files import make_folder


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path``; it names its owner's process id.

    Raises:
        Refused: another process holds it; the message names that process.
    """
    make_folder(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(handle, 32).decode("ascii", "replace").strip()
            message = f"{path.parent} is in use by process {owner}"
            raise Refused(message, "stop that process, or give another --data") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
