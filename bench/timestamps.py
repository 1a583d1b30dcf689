# SPDX-License-Identifier: Apache-2.0
"""Timestamps per second from a durable stack over loopback HTTP, in the two forms that clients ask in.

DER is what cosign and sigstore-python send (with nonce and certificates as the latter), JSON what sigstore-js sends. The
clients are a process of their own (``python -m bench.timestamps URL FORM CLIENTS SECONDS``), in a closed loop.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench.cores import apart
from bench.load import Sample, encode, load, post, sampled
from bench.reference import Figure
from sigcore.algorithms import HashAlgorithm
from sigcore.timestamp import TimestampRequest, encode_request
from tests.stack_process import ROOT, environment, running_stack

GOAL = 0.33
"""Timestamps per second with 64 clients, divided by R."""
CLIENTS = (1, 64)
FORMS = ("DER", "JSON")
PATH = "/api/v1/timestamp"
MOST_PER_SECOND = 12000


# --- the clients' process ----------------------------------------------------------------------------
def prepare(form: str, count: int) -> Iterator[bytes]:
    """Whole HTTP requests, each for another digest."""
    digests = (hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(count))
    if form == "JSON":
        members = ({"artifactHash": base64.b64encode(one).decode(), "hashAlgorithm": "sha256"} for one in digests)
        yield from post(PATH, (json.dumps(one).encode() for one in members))
        return
    headers = {"Content-Type": "application/timestamp-query"}
    for number, digest in enumerate(digests, 2**62):
        body = encode_request(TimestampRequest(HashAlgorithm.SHA2_256, digest, nonce=number, certificates=True))
        yield encode(PATH, headers, body)


# --- the benchmark -------------------------------------------------------------------------------------
def measure(url: str, form: str, clients: int, seconds: float) -> Sample:
    """One run of the clients as a process of their own."""
    command = [sys.executable, "-m", "bench.timestamps", url, form, str(clients), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return Sample(**json.loads(done.stdout))


def run(rounds: int, seconds: float = 2) -> list[Figure]:
    """The figures of the median of ``rounds`` runs for each form and number of clients, against one durable stack."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with running_stack(folder, "--data", folder / "data") as stack, apart(stack.process.pid):
            for form in FORMS:
                for clients in CLIENTS:
                    once = partial(measure, stack.url, form, clients, seconds)
                    figures += report(form, clients, sampled(rounds, f"timestamps, {form}, {clients} clients", once))
    return figures


def report(form: str, clients: int, samples: list[tuple[Sample, float]]) -> list[Figure]:
    """The lines for one form and number of clients; ``samples`` come with their R."""
    name = f"timestamps, {form}, {clients} client{'s' if clients > 1 else ''}"
    rate = statistics.median(sample.per_second for sample, _ in samples)
    ratio = statistics.median(sample.per_second / r for sample, r in samples)
    goal, met = (f">= {GOAL} R", ratio >= GOAL) if clients == max(CLIENTS) else ("", None)
    return [
        Figure(name, f"{rate:.0f} /s", ratio, "R", goal, met),
        Figure(f"{name}, p50", f"{statistics.median(s.p50_ms for s, _ in samples):.2f} ms"),
        Figure(f"{name}, p99", f"{statistics.median(s.p99_ms for s, _ in samples):.2f} ms"),
    ]


if __name__ == "__main__":
    url_, form_, clients_, seconds_ = sys.argv[1:]
    requests_ = list(prepare(form_, int(float(seconds_) * MOST_PER_SECOND)))
    result = asyncio.run(load(url_, requests_, int(clients_), float(seconds_), status=200))
    print(json.dumps(asdict(result)))
