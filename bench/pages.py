# SPDX-License-Identifier: Apache-2.0
"""Pages of the console over a log of a million entries: how long the server takes for each, from the request to the answer's bytes.

The entries are signatures with certificates, as people make them. The catalogue of the search does not follow the log meanwhile: it
takes its own time on the same cores, and is measured in :mod:`bench.search`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bench.log_scale import ENTRIES, Place, fill
from bench.reference import Figure
from sigcore import entries, keys, merkle
from sigcore.entries import HashedRekord
from stack.config import Settings
from stack.web.console import entry, logs
from stack.web.console.pages import Pages
from stack.web.console.shelf import Shelf
from tests.unit.tlog.catalog.conftest import KEY, certificate
from tlog.catalog.catalog import SOURCES, Catalog
from tlog.submission import Submission

REQUESTS = 100
GOAL_MS = 150.0
PAGES = {
    "an entry": "/entries/rekor/{index}",
    "its proof, for the browser": "/entries/rekor/{index}.json",
    "the tree and two sizes": "/logs/rekor?leaf={index}&first={first}",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def signatures(first: int, end: int) -> Iterator[Submission]:
    """Of one certificate, each for another file."""
    verifier = entries.certificate_verifier(certificate("alice@example.com").der)
    for number in range(first, end):
        digest = hashlib.sha256(b"file %d" % number).digest()
        leaf = entries.encode_body(HashedRekord(digest, digest * 2, verifier))
        yield Submission(leaf, merkle.hash_leaf(leaf))


async def measure_pages(folder: Path, rounds: int) -> list[Figure]:
    """p50 and p95 of each page, for entries all over the log."""
    place = Place(folder / "log")
    print(f"filling a log with {ENTRIES:,} signatures", file=sys.stderr)
    await fill(*place.parts(), ENTRIES, signatures)
    log = place.log()
    await log.start()
    times: list[float] = []

    @web.middleware
    async def stopwatch(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        response = await handler(request)
        times.append((time.perf_counter() - began) * 1000)
        return response

    settings = Settings("http://localhost:7780", datetime.now(UTC), ephemeral=True, url_follows_listen=False)
    shelves = {"rekor": Shelf("rekor", "Signatures", log, keys.encode_public_key(KEY.public_key()))}
    catalog, pages = Catalog(None, {"rekor": SOURCES["rekor"](log)}), Pages(settings)
    app = web.Application(middlewares=[stopwatch])
    routes = entry.make_routes(catalog, shelves, lambda: pages), logs.make_routes(shelves, lambda: pages, None)
    app.add_routes([route for some in routes for route in some])
    figures, chance = [], random.Random(1)
    async with TestClient(TestServer(app)) as client:
        for name, path in PAGES.items():
            times.clear()
            for _ in range(REQUESTS * rounds):
                address = path.format(index=chance.randrange(ENTRIES), first=chance.randrange(1, ENTRIES))
                async with client.get(address) as response:
                    assert response.status == 200, await response.text()
            figures.append(_figure(name, sorted(times)))
    await log.stop()
    return figures


def _figure(name: str, times: list[float]) -> Figure:
    p50, p95 = times[len(times) // 2], times[len(times) * 95 // 100]
    value = f"p50 {p50:.2f} ms, p95 {p95:.2f} ms"
    return Figure(f"page over 1,000,000 entries: {name}", value, goal=f"p95 <= {GOAL_MS:.0f} ms", met=p95 <= GOAL_MS)


def run(rounds: int) -> list[Figure]:
    """All pages; takes about two minutes and 2 GB in the folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as folder:
        return asyncio.run(measure_pages(Path(folder), rounds))
