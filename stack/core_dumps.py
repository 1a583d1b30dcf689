# SPDX-License-Identifier: Apache-2.0
"""A process that holds keys writes none of its memory to a file when it crashes."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

SMALLEST: Final = 1
"""Bytes. core(5): a program that takes dumps through a pipe is given them under a limit of 0 too, and not under one of 1."""


def forbid_core_dumps() -> None:
    """For this process and all that it forks, for good. A lower limit stays, as that of the units in deploy/systemd."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = SMALLEST if hard == resource.RLIM_INFINITY else min(hard, SMALLEST)
    with suppress(OSError, ValueError):  # a filter of system calls, which comes with a limit of its own
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
