# SPDX-License-Identifier: Apache-2.0
"""A process that holds keys writes none of its memory to a file when it crashes, and shows it to nobody but root."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress
from typing import Final

SMALLEST: Final = 1
"""Bytes. core(5): a program that takes dumps through a pipe is given them under a limit of 0 too, and not under one of 1."""
_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """For this process and all that it forks, for good. A lower limit stays, as that of the units in deploy/systemd."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = SMALLEST if hard == resource.RLIM_INFINITY else min(hard, SMALLEST)
    with suppress(OSError, ValueError):  # a filter of system calls, which comes with a limit of its own
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def forbid_attaching() -> None:
    """For this process and all that it forks: other programs of the same user get no debugger onto it, and no file of it in /proc
    that tells of its memory (prctl(2), PR_SET_DUMPABLE). Root does, and py-spy as root. A program that it starts is as any other.
    """
    with suppress(AttributeError, OSError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
