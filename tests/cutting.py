# SPDX-License-Identifier: Apache-2.0
"""A process that ends at its n-th call that changes the disk, and a disk that forgets what was not synchronised: both in the process of
the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CALLS = (
    "mkdir",
    "rename",
    "replace",
    "rmdir",
    "unlink",
    "remove",
    "link",
    "symlink",
    "fsync",
    "sync",
    "chmod",
    "fchmod",
    "open",
)


class Cut(BaseException):
    """The process ends here: nothing catches this."""


@contextmanager
def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[str]]:
    """The calls before ``number`` are made and listed, that one and all after it are not. What is open then is closed, as the kernel does."""
    done: list[str] = []
    opened: dict[int, os.stat_result] = {}
    close = os.close

    def cutting(name: str):
        real = getattr(os, name)

        def call(*arguments, **options):
            if len(done) >= number:
                raise Cut
            done.append(name)
            result = real(*arguments, **options)
            if name == "open":
                opened[result] = os.fstat(result)
            return result

        return call

    def closing(descriptor: int) -> None:
        opened.pop(descriptor, None)
        close(descriptor)

    try:
        with monkeypatch.context() as patch, suppress(Cut):
            patch.setattr(os, "close", closing)
            for name in CALLS:
                patch.setattr(os, name, cutting(name))
            yield done
    finally:
        for descriptor, state in opened.items():
            with suppress(OSError):  # closed by a file object
                if os.path.samestat(os.fstat(descriptor), state):
                    close(descriptor)


class Durable:
    """What is on the disk: a file that was synchronised, a name whose folder was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
        self._names: set[Path] = set()
        self._files: set[int] = set()
        self.missing: list[object] = []
        """Files that got a name before they were synchronised, and names that were in memory when one got the name ``last``."""
        fsync, sync, mkdir, replace = os.fsync, os.sync, os.mkdir, os.replace

        def fsynced(descriptor: int) -> None:
            fsync(descriptor)
            place = Path(f"/proc/self/fd/{descriptor}").readlink()
            self._files.add(os.fstat(descriptor).st_ino)
            self._names = {name for name in self._names if name.parent != place}

        def synced() -> None:
            sync()
            self._names.clear()

        def made(path: str | Path, *rest: int) -> None:
            mkdir(path, *rest)
            self._names.add(Path(path))

        def replaced(source: str | Path, target: str | Path) -> None:
            if Path(source).stat().st_ino not in self._files:
                self.missing.append(target)
            if Path(target).name == last:
                self.missing += self.in_memory(Path(target).parent)
            replace(source, target)
            self._names.add(Path(target))

        for name, call in {"fsync": fsynced, "sync": synced, "mkdir": made, "replace": replaced}.items():
            monkeypatch.setattr(os, name, call)

    def in_memory(self, folder: Path) -> set[Path]:
        """The names below ``folder`` that a power cut takes away."""
        return {name for name in self._names if name.is_relative_to(folder) and name.exists()}
