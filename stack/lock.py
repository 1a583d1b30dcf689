# SPDX-License-Identifier: Apache-2.0
"""One process per data directory, whatever it does there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stack.files import make_folder
from tlog.storage.lock import FileLock

LOCK: Final = "lock"
"""Its name in the data directory."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for the length of a block; it is made when it is not there.

    Raises:
        Refused: another process holds it; the message names that process.
    """
    make_folder(folder, durable=False)  # bootstrap knows whether it shall last
    lock = FileLock(folder / LOCK, str(folder))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
