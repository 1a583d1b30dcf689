# SPDX-License-Identifier: Apache-2.0
"""What the machine can do right now: the two references that every figure is divided by.

R is the number of P-256 verifications per second of ``cryptography`` on one core; ``pass`` is the wall time of
``python -c pass``. Other load on the machine moves both, and with them the figures; the ratios stay.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report; the ratio is what a goal is set for."""

    name: str
    value: str
    ratio: float | None = None
    unit: str = ""
    goal: str = ""
    met: bool | None = None


def verifies_per_second(seconds: float = 0.3) -> float:
    """R, from ``seconds`` of verifying one signature again and again."""
    return verifies(seconds)[0]


def verifies(seconds: float = 0.15) -> tuple[float, float]:
    """R, and the same per second of processor time."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, message, algorithm = key.public_key(), b"reference", ec.ECDSA(hashes.SHA256())
    signature = key.sign(message, algorithm)
    count, start, began = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(100):
            public.verify(signature, message, algorithm)
        count += 100
    return count / elapsed, count / (time.process_time() - began)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its children have used, all threads together: what neighbours on the machine move least."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, map(int, children)))


def pass_seconds() -> float:
    """Wall time of one ``python -c pass``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - start
