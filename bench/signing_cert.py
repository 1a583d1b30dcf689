# SPDX-License-Identifier: Apache-2.0
"""Certificates per second, each logged durably before it exists: token ES256, proof of possession, over loopback HTTP.

The clients are a process of their own (``python -m bench.signing_cert URL PID FOLDER CLIENTS SECONDS``), in a closed loop.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import windows
from bench.cores import apart
from bench.keyless import configure, prepare
from bench.load import encode
from bench.reference import Figure
from bench.windows import Goals, Target, measure, named
from tests.stack_process import running_stack

GOAL = 0.11
"""Certificates per second with 64 clients, divided by R."""
CLIENTS = (1, 64)
MOST_PER_SECOND = 2500


def run(rounds: int, seconds: float = 1.5) -> list[Figure]:
    """The figures of ``rounds`` processes for each number of clients, against one durable stack."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as temporary:
        folder = Path(temporary)
        with (
            running_stack(folder, "--data", folder / "data", "--config", configure(folder)) as stack,
            apart(stack.process.pid),
        ):
            target = Target(stack.url, stack.process.pid)
            for clients in CLIENTS:
                name = named("signingCert ES256 with SCT", clients)
                found = measure("bench.signing_cert", target, folder, clients, seconds, rounds=rounds, what=name)
                figures += windows.figures(name, found, Goals(GOAL if clients == max(CLIENTS) else None))
    return figures


if __name__ == "__main__":
    url_, pid_, folder_, clients_, seconds_ = sys.argv[1:]
    prepared = prepare(Path(folder_), windows.enough(float(seconds_), MOST_PER_SECOND))
    requests_ = [encode("/api/v2/signingCert", request.headers, request.body) for request in prepared]
    target_ = Target(url_, int(pid_))
    print(windows.clients_process(target_, requests_, int(clients_), float(seconds_), status=200))
