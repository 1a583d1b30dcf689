# SPDX-License-Identifier: Apache-2.0
"""The server side of one keyless signature, warm, one client: certificate, then timestamp, then durable entry.

What the client computes in between (signature, JSON) is not in the figure; the three exchanges over loopback are.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from bench.cores import apart
from bench.keyless import CertificateRequest, configure, entry_request, prepare, timestamp_request
from bench.load import Line, encode
from bench.reference import Figure, verifies_per_second
from tests.stack_process import running_stack

GOAL_MS = 7
GOAL_VERIFIES = 100
SIGNATURES = 200
WARM_UP = 20


def sign(line: Line, request: CertificateRequest, number: int) -> list[float]:
    """Seconds for certificate, timestamp and entry."""
    issued, certificate_s = line.ask(encode("/api/v2/signingCert", request.headers, request.body))
    pem = issued.split(b'"certificates"', 1)[1].split(b'"')[1].decode().replace("\\n", "\n")
    signature, entry = entry_request(request.key, pem, number.to_bytes(8, "big"))
    query = timestamp_request(signature, number)
    _, timestamp_s = line.ask(encode("/api/v1/timestamp", {"Content-Type": "application/timestamp-query"}, query))
    _, entry_s = line.ask(encode("/api/v2/log/entries", {"Content-Type": "application/json"}, entry))
    return [certificate_s, timestamp_s, entry_s]


def measure(url: str, requests: list[CertificateRequest]) -> list[list[float]]:
    """The times of each signature after the first :data:`WARM_UP`."""
    line = Line(url)
    try:
        return [sign(line, request, number) for number, request in enumerate(requests)][WARM_UP:]
    finally:
        line.close()


def run(rounds: int) -> list[Figure]:
    """The figures over ``rounds`` times :data:`SIGNATURES` signatures."""
    times: list[list[float]] = []
    verifies: list[float] = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with (
            running_stack(folder, "--data", folder / "data", "--config", configure(folder)) as stack,
            apart(stack.process.pid),
        ):
            for number in range(rounds):
                print(f"whole signatures, {number + 1} of {rounds}", file=sys.stderr)
                verifies.append(verifies_per_second())
                times += measure(stack.url, prepare(folder, WARM_UP + SIGNATURES))
                verifies.append(verifies_per_second())
    p50 = statistics.median(map(sum, times))
    in_verifies = p50 * statistics.median(verifies)
    met = p50 * 1000 <= GOAL_MS and in_verifies <= GOAL_VERIFIES
    parts = zip(("certificate", "timestamp", "entry"), zip(*times, strict=True), strict=True)
    return [
        Figure(
            "whole keyless signature, server side, 1 client, p50",
            f"{p50 * 1000:.2f} ms",
            in_verifies,
            "verifies",
            f"<= {GOAL_MS} ms, <= {GOAL_VERIFIES} verifies",
            met,
        ),
        *(Figure(f"  of it the {what}, p50", f"{statistics.median(t) * 1000:.2f} ms") for what, t in parts),
    ]
