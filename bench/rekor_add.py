# SPDX-License-Identifier: Apache-2.0
"""Entries per second into a durable log: hashedrekord requests, signed before the clock starts, over loopback HTTP.

The clients are a process of their own (``python -m bench.rekor_add URL LOG CLIENTS SECONDS``), in a closed loop: each sends
the next entry when the last one was acknowledged, which means that it is on the disk.
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
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.load import Sample, load, post
from bench.reference import Figure, verifies_per_second
from tests.stack_process import ROOT, environment, running_stack

GOAL = 0.24
"""Entries per second into Rekor v2 with 64 clients, divided by R."""
GOAL_VERIFIES = 20
"""Median latency of Rekor v2 with one client, in times of one verification."""
CLIENTS = (1, 64)
PATHS = {"v2": "/api/v2/log/entries", "v1": "/api/v1/log/entries"}
MOST_PER_SECOND = 8000
"""More than one core can verify: the clients never run out of prepared requests."""


# --- the clients' process ----------------------------------------------------------------------------
def prepare(log: str, count: int) -> Iterator[bytes]:
    """Requests with distinct digests and valid signatures."""
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    make = {"v1": _proposal, "v2": _request}[log]
    for number in range(count):
        message = number.to_bytes(8, "big")
        value = make(hashlib.sha256(message).digest(), key.sign(message, algorithm), key.public_key())
        yield json.dumps(value).encode()


def _request(digest: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> dict[str, object]:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    verifier = {"publicKey": {"rawBytes": encode(spki)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    signed = {"content": encode(signature), "verifier": verifier}
    return {"hashedRekordRequestV002": {"digest": encode(digest), "signature": signed}}


def _proposal(digest: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> dict[str, object]:
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = {"content": encode(signature), "publicKey": {"content": encode(pem)}}
    hashed = {"hash": {"algorithm": "sha256", "value": digest.hex()}}
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": hashed, "signature": signed}}


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def clients_process(url: str, log: str, clients: int, seconds: float) -> Sample:
    """Prepare the requests, then send them."""
    requests = list(post(PATHS[log], prepare(log, int(seconds * MOST_PER_SECOND))))
    return asyncio.run(load(url, requests, clients, seconds, status=201))


# --- the benchmark -------------------------------------------------------------------------------------
def measure(url: str, log: str, clients: int, seconds: float) -> Sample:
    """One run of the clients as a process of their own."""
    command = [sys.executable, "-m", "bench.rekor_add", url, log, str(clients), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return Sample(**json.loads(done.stdout))


def run(rounds: int, seconds: float = 3) -> list[Figure]:
    """The figures of the median of ``rounds`` runs for each log and number of clients, into growing logs."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with running_stack(folder, "--data", folder / "data") as stack:
            for log in PATHS:
                for clients in CLIENTS:
                    samples = []
                    for number in range(rounds):
                        print(f"Rekor {log}, {clients} clients, {number + 1} of {rounds}", file=sys.stderr)
                        before = verifies_per_second()
                        sample = measure(stack.url, log, clients, seconds)
                        samples.append((sample, (before + verifies_per_second()) / 2))
                    figures += report(log, clients, samples)
    return figures


def report(log: str, clients: int, samples: list[tuple[Sample, float]]) -> list[Figure]:
    """The lines for one log and number of clients; ``samples`` come with their R. Goals are set for v2 only."""
    name = f"Rekor {log} add, {clients} client{'s' if clients > 1 else ''}"
    rate = statistics.median(sample.per_second for sample, _ in samples)
    ratio = statistics.median(sample.per_second / r for sample, r in samples)
    latency = statistics.median(sample.p50_ms for sample, _ in samples)
    verifies = statistics.median(sample.p50_ms / 1000 * r for sample, r in samples)
    rate_goal = (f">= {GOAL} R", ratio >= GOAL) if log == "v2" and clients == max(CLIENTS) else ("", None)
    latency_goal = (f"<= {GOAL_VERIFIES}", verifies <= GOAL_VERIFIES) if log == "v2" and clients == 1 else ("", None)
    return [
        Figure(name, f"{rate:.0f} /s", ratio, "R", *rate_goal),
        Figure(f"{name}, p50", f"{latency:.2f} ms", verifies, "verify times", *latency_goal),
        Figure(f"{name}, p99", f"{statistics.median(s.p99_ms for s, _ in samples):.2f} ms"),
    ]


if __name__ == "__main__":
    url_, log_, clients_, seconds_ = sys.argv[1:]
    print(json.dumps(asdict(clients_process(url_, log_, int(clients_), float(seconds_)))))
