# SPDX-License-Identifier: Apache-2.0
"""Certificates and Rekor v2 entries per second with all keys in a PKCS#11 token (SoftHSM): beside keys in files, by turns in one run.

SoftHSM signs on the same cores, in 0.2 ms; what a device takes is its own, and comes on top of what is measured here.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

from bench import windows
from bench.cores import apart
from bench.keyless import configure
from bench.reference import Figure
from bench.windows import Goals, Target, Window, measure, named
from tests.soft_token import soft_token
from tests.stack_process import running_stack, sigbox

CLIENTS = (1, 64)
WORK = {"signingCert": ("bench.signing_cert", False), "Rekor v2, add": ("bench.rekor_add", True)}
"""What is measured: the clients' process, and whether it is told which log."""


def run(rounds: int, seconds: float = 1.5) -> list[Figure]:
    """The figures of ``rounds`` processes of clients for each kind of keys, work and number of clients."""
    if shutil.which("softhsm2-util") is None:
        return [Figure("keys in a token", "not measured: SoftHSM is not installed")]
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary, soft_token(Path(temporary) / "hsm") as token:
        folder = Path(temporary)
        made = {"files": (), "a token": tuple(token.options())}
        for keys, options in made.items():
            (folder / keys).mkdir()
            sigbox("init", "--data", folder / keys / "data", "--yes", *options).check_returncode()
        for work in WORK:
            for clients in CLIENTS:
                found += beside_files(folder, work, clients, rounds, seconds)
    return found


def beside_files(folder: Path, work: str, clients: int, rounds: int, seconds: float) -> list[Figure]:
    """Both by turns, so that what neighbours do to one they do to the other."""
    samples: dict[str, list[Window]] = {"files": [], "a token": []}
    module, logs = WORK[work]
    config = configure(folder)
    for _ in range(rounds):
        for keys in samples:
            place = folder / keys
            options = ("--data", place / "data", "--config", config)
            with running_stack(place, *options) as stack, apart(stack.process.pid):
                what, target = named(f"{work}, keys in {keys}", clients), Target(stack.url, stack.process.pid)
                told = ("v2",) if logs else (folder,)
                samples[keys] += measure(module, target, *told, clients, seconds, rounds=1, what=what)
    pairs = list(zip(samples["files"], samples["a token"], strict=True))
    slower = statistics.median(one.per_second / one.r / (other.per_second / other.r) for one, other in pairs)
    dearer = statistics.median(other.cpu_verifies / one.cpu_verifies for one, other in pairs)
    return [
        *windows.figures(named(f"{work}, keys in a token", clients), samples["a token"], Goals()),
        Figure(named(f"{work}, files / token, paired", clients), f"{slower:.2f}", slower, "x"),
        Figure(named(f"{work}, CPU, token / files, paired", clients), f"{dearer:.2f}", dearer, "x"),
    ]
