# SPDX-License-Identifier: Apache-2.0
"""Entries per second into a durable log: hashedrekord requests, signed before the clock starts, over loopback HTTP.

The clients are a process of their own (``python -m bench.rekor_add URL CLIENTS SECONDS``), in a closed loop: each sends the
next entry when the last one was acknowledged, which means that it is on the disk.
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
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.load import Sample, load, post
from bench.reference import Figure, verifies_per_second
from tests.stack_process import ROOT, environment, running_stack

GOAL = 0.24
"""Entries per second with 64 clients, divided by R."""
CLIENTS = (1, 64)
MOST_PER_SECOND = 8000
"""More than one core can verify: the clients never run out of prepared requests."""


# --- the clients' process ----------------------------------------------------------------------------
def prepare(count: int) -> Iterator[bytes]:
    """Requests with distinct digests and valid signatures."""
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    verifier = {"publicKey": {"rawBytes": encode(spki)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    for number in range(count):
        message = number.to_bytes(8, "big")
        signature = {"content": encode(key.sign(message, algorithm)), "verifier": verifier}
        request = {"digest": encode(hashlib.sha256(message).digest()), "signature": signature}
        yield json.dumps({"hashedRekordRequestV002": request}).encode()


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def clients_process(url: str, clients: int, seconds: float) -> Sample:
    """Prepare the requests, then send them."""
    requests = list(post("/api/v2/log/entries", prepare(int(seconds * MOST_PER_SECOND))))
    return asyncio.run(load(url, requests, clients, seconds, status=201))


# --- the benchmark -------------------------------------------------------------------------------------
def measure(url: str, clients: int, seconds: float) -> Sample:
    """One run of the clients as a process of their own."""
    command = [sys.executable, "-m", "bench.rekor_add", url, str(clients), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return Sample(**json.loads(done.stdout))


def run(rounds: int, seconds: float = 3) -> list[Figure]:
    """The figures of the median of ``rounds`` runs for each number of clients, into one growing log."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with running_stack(folder, "--data", folder / "data") as stack:
            for clients in CLIENTS:
                samples = []
                for number in range(rounds):
                    print(f"adding entries with {clients} clients, {number + 1} of {rounds}", file=sys.stderr)
                    before = verifies_per_second()
                    sample = measure(stack.url, clients, seconds)
                    samples.append((sample, (before + verifies_per_second()) / 2))
                figures += report(clients, samples)
    return figures


def report(clients: int, samples: list[tuple[Sample, float]]) -> list[Figure]:
    """The lines for one number of clients; ``samples`` come with their R."""
    many = "1 client" if clients == 1 else f"{clients} clients"
    rate = statistics.median(sample.per_second for sample, _ in samples)
    ratio = statistics.median(sample.per_second / r for sample, r in samples)
    goal, met = (f">= {GOAL} R", ratio >= GOAL) if clients == max(CLIENTS) else ("", None)
    return [
        Figure(f"Rekor v2 add, {many}", f"{rate:.0f} /s", ratio, "R", goal, met),
        Figure(f"Rekor v2 add, {many}, p50", f"{statistics.median(s.p50_ms for s, _ in samples):.2f} ms"),
        Figure(f"Rekor v2 add, {many}, p99", f"{statistics.median(s.p99_ms for s, _ in samples):.2f} ms"),
    ]


if __name__ == "__main__":
    url_, clients_, seconds_ = sys.argv[1:]
    print(json.dumps(asdict(clients_process(url_, int(clients_), float(seconds_)))))
