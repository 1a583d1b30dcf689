# SPDX-License-Identifier: Apache-2.0
"""What a certificate costs before a line of ours has run: its parts, each by itself, with libraries alone.

1. Five verifications and three signatures of ``cryptography``.
2. PyJWT reading one token, without the verification that is counted in (1).
3. One exchange of the same sizes with aiohttp on uvloop, 64 clients, and a handler that does nothing.
4. One entry's share of a commit with ``sqlite3`` and of one synchronised page beside it, as many to a commit as the log had.

Each is repeated by itself, with everything it needs in the processor's caches; together they are what no server can be faster
than while it does these things. Processor time throughout. The server of (3) is a process of its own
(``python -m bench.certificate_parts BYTES``).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.utils import base64url_decode, raw_to_der_signature

from bench.cores import apart
from bench.keyless import ALGORITHM, prepare
from bench.load import encode, load
from bench.reference import Figure, cpu_seconds, verifies
from tests.stack_process import ROOT, environment

VERIFICATIONS: Final = 5
OWN_WORK: Final = 3
"""Of these, what the log and the authority verify of what the two have made: precertificate, SCT, certificate."""
SIGNATURES: Final = 3
"""Precertificate, SCT, certificate."""
PATH: Final = "/api/v2/signingCert"
CLIENTS: Final = 64
TOKENS: Final = 256
COMMITS: Final = 64
EXCHANGE_S: Final = 1.0
_PAGE: Final = bytes(4096)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the stack did: bytes of an answer's body, of a leaf and of what lies beside it; entries of a commit."""

    answer: int
    leaf: int
    extra: int
    batch: float


def figures(folder: Path, sample: Sample, whole: float, rounds: int) -> list[Figure]:
    """The parts and their sum. ``folder`` has the issuer's key, ``whole`` is the stack's processor time in verifications."""
    before = verifies()
    signing = _median(rounds, _sign)
    reading = _median(rounds, lambda: _read(folder))
    committing = _median(rounds, lambda: _commit(sample))
    exchanging = _median(rounds, lambda: _exchange(folder, sample))
    r = (before[1] + verifies()[1]) / 2
    costs = {
        f"{VERIFICATIONS} verifications and {SIGNATURES} signatures": VERIFICATIONS / r + SIGNATURES * signing,
        "PyJWT beside its verification": reading,
        f"one exchange with aiohttp, {CLIENTS} clients": exchanging,
        f"share of a durable commit, {sample.batch:.0f} at once": committing,
    }
    together = sum(costs.values())
    name = "signingCert, by libraries alone"
    return [
        *(Figure(f"  {name}: {what}", _us(cost), cost * r, "verifies") for what, cost in costs.items()),
        Figure(f"{name}: together", _us(together), together * r, "verifies"),
        Figure("signingCert, the bound: nothing is faster", f"{1 / together:.0f} /s", 1 / together / r, "R"),
        Figure(
            "signingCert, above the bound: ours, and cold caches",
            _us(whole / r - together),
            whole - together * r,
            "verifies",
        ),
        Figure(f"signingCert, {OWN_WORK} checks of our own work", _us(OWN_WORK / r), OWN_WORK, "verifies"),
    ]


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us"


def _median(rounds: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(rounds))


def _seconds(work: Callable[[], object], count: int) -> float:
    """Processor time of ``work`` for each of the ``count`` things that it does."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / count


# --- the parts ---------------------------------------------------------------------------------------
def _sign(count: int = 1000) -> float:
    key = ec.generate_private_key(ec.SECP256R1())
    return _seconds(lambda: [key.sign(b"reference", ALGORITHM) for _ in range(count)], count)


def _read(folder: Path) -> float:
    """PyJWT's own part for one of many tokens: the whole of it less the verification, of the same bytes."""
    tokens = [request.headers["Authorization"].partition(" ")[2] for request in prepare(folder, TOKENS)]
    private = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).prepare_key(
        (folder / "issuer.key").read_bytes()
    )
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("the issuer's key is not a private one")
    key, reader = private.public_key(), jwt.PyJWS(algorithms=["ES256"])
    parts = [token.encode().rpartition(b".") for token in tokens]
    signed = [(raw_to_der_signature(base64url_decode(raw), key.curve), text) for text, _, raw in parts]
    whole = _seconds(lambda: [reader.decode(token, key, algorithms=["ES256"]) for token in tokens], TOKENS)
    return whole - _seconds(lambda: [key.verify(signature, text, ALGORITHM) for signature, text in signed], TOKENS)


def _commit(sample: Sample) -> float:
    """One row's share of a transaction that is synchronised, and of a page of another file that is, too."""
    rows = [(os.urandom(sample.leaf), os.urandom(sample.extra)) for _ in range(max(1, round(sample.batch)))]
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as folder:
        page = os.open(Path(folder) / "page", os.O_RDWR | os.O_CREAT)
        try:
            with closing(sqlite3.connect(Path(folder) / "log.db", isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB, extra BLOB)")
                return _seconds(lambda: _fill(database, page, rows), COMMITS * len(rows))
        finally:
            os.close(page)


def _fill(database: sqlite3.Connection, page: int, rows: Sequence[tuple[bytes, bytes]]) -> None:
    for _ in range(COMMITS):
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO entry (leaf, extra) VALUES (?, ?)", rows)
        database.execute("COMMIT")
        os.pwrite(page, _PAGE, 0)
        os.fdatasync(page)


def _exchange(folder: Path, sample: Sample) -> float:
    """The server's processor time for one exchange, with a request that would have been a certificate's."""
    (request,) = prepare(folder, 1)
    requests = [encode(PATH, request.headers, request.body)] * 50_000
    with _server(sample.answer) as (process, port), apart(process):
        url = f"http://127.0.0.1:{port}"
        uvloop.run(load(url, requests, CLIENTS, EXCHANGE_S / 4, status=200))
        before = cpu_seconds(process)
        done = uvloop.run(load(url, requests, CLIENTS, EXCHANGE_S, status=200))
        return (cpu_seconds(process) - before) / (done.per_second * EXCHANGE_S)


@contextmanager
def _server(answer: int) -> Iterator[tuple[int, int]]:
    """(process id, port) of a bare server whose answers have so many bytes."""
    command = [sys.executable, "-m", "bench.certificate_parts", str(answer)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.pid, int(server.stdout.readline() if server.stdout else "")
        finally:
            server.kill()


async def _serve(answer: int) -> None:
    body = bytes(answer)

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post(PATH, handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
