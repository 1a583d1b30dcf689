# SPDX-License-Identifier: Apache-2.0
"""Where the processes of one stack meet: two sockets in a folder that nobody else may enter."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The folder; the sequencer binds what is in it."""

    folder: Path

    @property
    def link(self) -> str:
        """Entries and receipts: :mod:`stack.workers.frames`."""
        return str(self.folder / "link")

    @property
    def hop(self) -> str:
        """HTTP: :mod:`stack.workers.hop`."""
        return str(self.folder / "hop")

    def bind(self, path: str) -> socket.socket:
        """A socket that is bound to ``path`` and does not listen yet, in the place of one that a dead process left."""
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        bound.bind(path)
        return bound


@contextmanager
def meeting() -> Iterator[Place]:
    """A folder for the length of a block, among the temporary ones: there its name is short enough for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="sigbox-workers-"))
    try:
        yield Place(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
