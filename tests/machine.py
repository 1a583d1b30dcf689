# SPDX-License-Identifier: Apache-2.0
"""How slow the machine is at this moment."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

EMPTY_S = 0.02
"""What a Python process that does nothing takes on such a machine."""


def empty_process() -> float:
    """Seconds of one, now."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-I", "-c", "pass"], check=True, timeout=60)
    return time.monotonic() - began


def slowness() -> float:
    """How many times as long as there everything takes now; at least 1."""
    return max(1.0, statistics.median(empty_process() for _ in range(5)) / EMPTY_S)
