# SPDX-License-Identifier: Apache-2.0
"""The server side of one keyless signature, warm, one client: certificate, then timestamp, then durable entry.

What the client computes in between (signature, JSON) is not in the figure; the three exchanges over loopback are.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bench.keyless import CertificateRequest, configure, entry_request, prepare, timestamp_request
from bench.reference import Figure, verifies_per_second
from tests.stack_process import running_stack

GOAL_MS = 7
GOAL_VERIFIES = 100
SIGNATURES = 200
WARM_UP = 20


async def sign(session: aiohttp.ClientSession, request: CertificateRequest, number: int) -> list[float]:
    """Seconds for certificate, timestamp and entry."""
    issued, certificate_s = await exchange(session, "/api/v2/signingCert", request.body, request.headers)
    pem = issued.split(b'"certificates"', 1)[1].split(b'"')[1].decode().replace("\\n", "\n")
    signature, entry = entry_request(request.key, pem, number.to_bytes(8, "big"))
    query = timestamp_request(signature, number)
    asked = {"Content-Type": "application/timestamp-query"}
    _, timestamp_s = await exchange(session, "/api/v1/timestamp", query, asked)
    _, entry_s = await exchange(session, "/api/v2/log/entries", entry, {"Content-Type": "application/json"})
    return [certificate_s, timestamp_s, entry_s]


async def exchange(
    session: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str]
) -> tuple[bytes, float]:
    """One request; an answer without success ends the benchmark."""
    start = time.perf_counter()
    async with session.post(path, data=body, headers=headers) as response:
        answer = await response.read()
    elapsed = time.perf_counter() - start
    if not response.ok:
        raise RuntimeError(f"{path} answered {response.status}: {answer[:300]!r}")
    return answer, elapsed


async def measure(url: str, requests: list[CertificateRequest]) -> list[list[float]]:
    """The times of each signature after the first :data:`WARM_UP`."""
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=1)) as session:
        return [await sign(session, request, number) for number, request in enumerate(requests)][WARM_UP:]


def run(rounds: int) -> list[Figure]:
    """The figures over ``rounds`` times :data:`SIGNATURES` signatures."""
    times: list[list[float]] = []
    verifies: list[float] = []
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with running_stack(folder, "--data", folder / "data", "--config", configure(folder)) as stack:
            for number in range(rounds):
                print(f"whole signatures, {number + 1} of {rounds}", file=sys.stderr)
                verifies.append(verifies_per_second())
                times += asyncio.run(measure(stack.url, prepare(folder, WARM_UP + SIGNATURES)))
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
