# SPDX-License-Identifier: Apache-2.0
"""Certificates per second, each logged durably before it exists: token ES256, proof of possession, over loopback HTTP.

The clients are a process of their own (``python -m bench.signing_cert URL FOLDER CLIENTS SECONDS``), in a closed loop.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.cores import apart
from bench.keyless import configure, prepare
from bench.load import Sample, encode, load
from bench.reference import Figure, cpu_seconds, verifies_per_second
from tests.stack_process import ROOT, environment, running_stack

GOAL = 0.11
"""Certificates per second with 64 clients, divided by R."""
CLIENTS = (1, 64)
MOST_PER_SECOND = 2500


def clients_process(url: str, folder: Path, clients: int, seconds: float) -> Sample:
    """Prepare the requests, then send them."""
    prepared = prepare(folder, int(seconds * MOST_PER_SECOND))
    requests = [encode("/api/v2/signingCert", request.headers, request.body) for request in prepared]
    return asyncio.run(load(url, requests, clients, seconds, status=200))


def measure(url: str, folder: Path, clients: int, seconds: float) -> Sample:
    """One run of the clients as a process of their own."""
    command = [sys.executable, "-m", "bench.signing_cert", url, str(folder), str(clients), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return Sample(**json.loads(done.stdout))


def run(rounds: int, seconds: float = 3) -> list[Figure]:
    """The figures of the median of ``rounds`` runs for each number of clients, against one durable stack."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with (
            running_stack(folder, "--data", folder / "data", "--config", configure(folder)) as stack,
            apart(stack.process.pid),
        ):
            for clients in CLIENTS:
                samples = []
                for number in range(rounds):
                    print(f"asking for certificates, clients: {clients}, {number + 1} of {rounds}", file=sys.stderr)
                    r, cpu = verifies_per_second(), cpu_seconds(stack.process.pid)
                    sample = measure(stack.url, folder, clients, seconds)
                    cpu = (cpu_seconds(stack.process.pid) - cpu) / (sample.per_second * seconds)
                    in_verifies = cpu * verifies_per_second(clock=time.process_time)
                    samples.append((sample, (r + verifies_per_second()) / 2, cpu, in_verifies))
                figures += report(clients, samples)
    return figures


def report(clients: int, samples: list[tuple[Sample, float, float, float]]) -> list[Figure]:
    """The lines for one number of clients; ``samples``: with R, then the server's CPU per certificate in seconds and verifies."""
    many = "1 client" if clients == 1 else f"{clients} clients"
    rate = statistics.median(sample.per_second for sample, *_ in samples)
    ratio = statistics.median(sample.per_second / r for sample, r, *_ in samples)
    cpu_s, in_verifies = (statistics.median(column) for column in zip(*(rest for _, _, *rest in samples), strict=True))
    goal, met = (f">= {GOAL} R", ratio >= GOAL) if clients == max(CLIENTS) else ("", None)
    p50, p99 = (statistics.median(getattr(s, name) for s, *_ in samples) for name in ("p50_ms", "p99_ms"))
    return [
        Figure(f"signingCert ES256 with SCT, {many}", f"{rate:.0f} /s", ratio, "R", goal, met),
        Figure(f"signingCert ES256 with SCT, {many}, p50", f"{p50:.2f} ms"),
        Figure(f"signingCert ES256 with SCT, {many}, p99", f"{p99:.2f} ms"),
        Figure(
            f"signingCert ES256 with SCT, {many}, CPU of the server", f"{cpu_s * 1000:.2f} ms", in_verifies, "verifies"
        ),
    ]


if __name__ == "__main__":
    url_, folder_, clients_, seconds_ = sys.argv[1:]
    result = clients_process(url_, Path(folder_), int(clients_), float(seconds_))
    print(json.dumps({name: getattr(result, name) for name in Sample.__slots__}))
