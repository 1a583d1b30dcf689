# SPDX-License-Identifier: Apache-2.0
"""A process that ends at its n-th call that changes the disk, in the process of the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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
