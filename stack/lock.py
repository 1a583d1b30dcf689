# SPDX-License-Identifier: Apache-2.0
"""One process per data directory, whatever it does there."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sigcore.errors import Refused
from stack.config import FOLDERS
from stack.files import make_folder
from tlog.storage.lock import FileLock

LOCK: Final = "lock"
"""Its name in the data directory."""
WORKERS: Final = "workers.lock"
"""In the folder of a log, held while several processes serve it."""
SERVING: Final = "serving.lock"
"""The same in the folder of a role, for the process that serves it."""


@contextmanager
def serving(home: Path, *roles: str) -> Iterator[None]:
    """Be the one process that serves ``roles`` of the data directory ``home``, for the length of a block.

    Raises:
        Refused: another process serves one of them, alone or in a whole stack.
    """
    with ExitStack() as locks:
        for role in roles:
            locks.enter_context(held(home / FOLDERS.get(role, role), SERVING))
        yield


@contextmanager
def held(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold ``folder`` for the length of a block, by its file ``name``; it is made when it is not there, else left as it is.

    Raises:
        Refused: another process holds it; the message names that process.
    """
    if not folder.exists():
        make_folder(folder, durable=False)  # bootstrap knows whether it shall last
    lock = FileLock(folder / name, str(folder))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held_patiently(folder: Path, patience_s: float, name: str = LOCK) -> Iterator[None]:
    """As :func:`held`, but wait up to ``patience_s`` seconds for whoever holds it."""
    deadline = time.monotonic() + patience_s
    with ExitStack() as lock:
        while True:
            try:
                lock.enter_context(held(folder, name))
                break
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time in ``folder``, for the length of a block; the next one waits.

    Raises:
        OSError: it is not there.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
