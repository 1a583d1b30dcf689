# SPDX-License-Identifier: Apache-2.0
"""One process at a time: an advisory lock on a file that names its holder.

The kernel drops the lock with its holder, however that one ends; there is no stale lock to clean up. Where locks are not
to be trusted (network file systems, a deleted lock file), the fencing epoch inside the database still holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from sigcore.errors import Refused, Unavailable

LOOKS: Final = 50
LOOK_S: Final = 0.01


class FileLock:
    """An exclusive ``flock`` on ``path``, whose content is the holder's process id; ``what`` it guards, for messages."""

    def __init__(self, path: Path, what: str = "the log") -> None:
        self._path = path
        self._what = what
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once.

        Raises:
            Refused: another process (or another opener in this one) holds it. Unavailable: the file cannot be opened.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Unavailable(
                f"the lock file {self._path} cannot be opened: {error.strerror}",
                "this process has to be able to write there",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _owner(descriptor)
            os.close(descriptor)
            raise Refused(
                f"{self._what} is in use by process {owner}", f"stop that process; {self._path.name} is its lock file"
            ) from error
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; harmless when the lock is not held. The file stays: removing it would let two holders in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _owner(descriptor: int) -> str:
    """The id that the holder has written. It does so right after it has the lock: an empty file is looked at again for a while."""
    for _ in range(LOOKS):
        if owner := os.pread(descriptor, 20, 0).decode("ascii", "replace").strip():
            return owner
        time.sleep(LOOK_S)
    return "unknown"
