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
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.load import Sample, load, post, sampled
from bench.reference import Figure
from tests.stack_process import ROOT, environment, running_stack

GOAL = 0.24
"""Entries per second into Rekor v2 with 64 clients, divided by R."""
GOAL_VERIFIES = 20
"""Median latency of Rekor v2 with one client, in times of one verification."""
CLIENTS = {"v2": (1, 64), "v2 with certificates": (64,), "v1": (1, 64)}
"""Logs, and how many clients each is measured with."""
CERTIFICATES = 200
"""Keys and certificates that take turns; a signer without keys of his own has new ones each time."""
MOST_PER_SECOND = 8000
"""More than one core can verify: the clients never run out of prepared requests."""


# --- the clients' process ----------------------------------------------------------------------------
def prepare(log: str, count: int) -> Iterator[bytes]:
    """Requests with distinct digests and valid signatures; with certificates there are many keys, otherwise one."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(CERTIFICATES if "certificates" in log else 1)]
    make = _proposal if log == "v1" else _request
    verifiers = [certificate(key) if "certificates" in log else public_key(key) for key in keys]
    for number in range(count):
        message, turn = number.to_bytes(8, "big"), number % len(keys)
        signature = keys[turn].sign(message, ec.ECDSA(hashes.SHA256()))
        yield json.dumps(make(hashlib.sha256(message).digest(), signature, verifiers[turn])).encode()


Verifier: TypeAlias = tuple[str, bytes]
"""Member name and DER."""


def public_key(key: ec.EllipticCurvePrivateKey) -> Verifier:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return "publicKey", key.public_key().public_bytes(serialization.Encoding.DER, form)


def certificate(key: ec.EllipticCurvePrivateKey) -> Verifier:
    """About as long as one of the stack's own."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(minutes=10))
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), bytes(420))
    signed = builder.add_extension(filler, critical=False).sign(key, hashes.SHA256())
    return "x509Certificate", signed.public_bytes(serialization.Encoding.DER)


def _request(digest: bytes, signature: bytes, verifier: Verifier) -> dict[str, object]:
    member, der = verifier
    named = {member: {"rawBytes": encode(der)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    signed = {"content": encode(signature), "verifier": named}
    return {"hashedRekordRequestV002": {"digest": encode(digest), "signature": signed}}


def _proposal(digest: bytes, signature: bytes, verifier: Verifier) -> dict[str, object]:
    pem = b"-----BEGIN PUBLIC KEY-----\n%b-----END PUBLIC KEY-----\n" % base64.encodebytes(verifier[1])
    signed = {"content": encode(signature), "publicKey": {"content": encode(pem)}}
    hashed = {"hash": {"algorithm": "sha256", "value": digest.hex()}}
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": hashed, "signature": signed}}


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def clients_process(url: str, log: str, clients: int, seconds: float) -> Sample:
    """Prepare the requests, then send them."""
    requests = list(post(f"/api/{log[:2]}/log/entries", prepare(log, int(seconds * MOST_PER_SECOND))))
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
        # Not apart: the thread that writes is part of the server, and the kernel keeps it near the event loop.
        with running_stack(folder, "--data", folder / "data") as stack:
            for log, numbers in CLIENTS.items():
                for clients in numbers:
                    once = partial(measure, stack.url, log, clients, seconds)
                    figures += report(log, clients, sampled(rounds, f"Rekor {log}, {clients} clients", once))
    return figures


def report(log: str, clients: int, samples: list[tuple[Sample, float]]) -> list[Figure]:
    """The lines for one log and number of clients; ``samples`` come with their R. Goals are set for v2 with keys."""
    name = f"Rekor {log}, add, {clients} client{'s' if clients > 1 else ''}"
    rate = statistics.median(sample.per_second for sample, _ in samples)
    ratio = statistics.median(sample.per_second / r for sample, r in samples)
    latency = statistics.median(sample.p50_ms for sample, _ in samples)
    verifies = statistics.median(sample.p50_ms / 1000 * r for sample, r in samples)
    rate_goal = (f">= {GOAL} R", ratio >= GOAL) if log == "v2" and clients == max(CLIENTS[log]) else ("", None)
    latency_goal = (f"<= {GOAL_VERIFIES}", verifies <= GOAL_VERIFIES) if log == "v2" and clients == 1 else ("", None)
    return [
        Figure(name, f"{rate:.0f} /s", ratio, "R", *rate_goal),
        Figure(f"{name}, p50", f"{latency:.2f} ms", verifies, "verify times", *latency_goal),
        Figure(f"{name}, p99", f"{statistics.median(s.p99_ms for s, _ in samples):.2f} ms"),
    ]


if __name__ == "__main__":
    url_, log_, clients_, seconds_ = sys.argv[1:]
    print(json.dumps(asdict(clients_process(url_, log_, int(clients_), float(seconds_)))))
