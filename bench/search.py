# SPDX-License-Identifier: Apache-2.0
"""The catalogue with a million entries: how long a search takes, of each kind that people make.

The entries are made without certificates being parsed, which is measured apart: what a search costs depends on the rows.
There are as many identities as signatures have in practice: a few machines that sign most, and many people.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.reference import Figure
from sigcore.limits import INT64_MAX
from tlog.catalog.catalog import PAGE
from tlog.catalog.facts import Facts, Kind, Term
from tlog.catalog.query import parse_query
from tlog.catalog.store import CatalogStore, Place
from tlog.storage.search_index import Position

ENTRIES = 1_000_000
BATCH = 4_096
PEOPLE, MACHINES = 50_000, 200
START_MS, STEP_MS = 1_700_000_000_000, 37_000
QUERIES = 200
GOAL_MS = 150.0


def facts(number: int, chance: random.Random) -> Facts:
    """What a keyless signature says."""
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    person = chance.random() < 0.3
    identity = f"user{chance.randrange(PEOPLE)}@example.com" if person else _machine(chance.randrange(MACHINES))
    issuer = "https://login.example" if person else "https://ci.example"
    terms = [
        Term(Kind.DIGEST, digest),
        Term(Kind.IDENTITY, identity),
        Term(Kind.ISSUER, issuer),
        Term(Kind.KEY, digest[::-1]),
        Term(Kind.SERIAL, digest[:40]),
        Term(Kind.ENTRY, digest[32:] + digest[:32]),
    ]
    if not person:
        repository = identity.partition("/.ci")[0]
        terms += [Term(Kind.REPOSITORY, repository), Term(Kind.COMMIT, digest[:40])]
    return Facts("hashedrekord 0.0.2", tuple(terms))


def _machine(number: int) -> str:
    return f"https://git.example/team{number % 17}/project{number}/.ci/build.yml@refs/heads/main"


def fill(store: CatalogStore) -> float:
    """Seconds for all entries."""
    chance, began = random.Random(1), time.monotonic()
    for first in range(0, ENTRIES, BATCH):
        end = min(first + BATCH, ENTRIES)
        rows = [(index, START_MS + index * STEP_MS, facts(index, chance)) for index in range(first, end)]
        store.add("rekor", rows, Position(end))
    return time.monotonic() - began


KINDS: dict[str, Callable[[random.Random], str]] = {
    "a person": lambda chance: f"user{chance.randrange(PEOPLE)}@example.com",
    "a machine": lambda chance: _machine(chance.randrange(MACHINES)),
    "a digest": lambda chance: f"sha256:{hashlib.sha256(b'%d' % chance.randrange(ENTRIES)).hexdigest()}",
    "64 hex digits": lambda chance: hashlib.sha256(b"%d" % chance.randrange(ENTRIES)).hexdigest(),
    "a pattern of many people": lambda chance: f"identity:user{chance.randrange(100, 500)}*",
    "part of a name": lambda chance: f"project{chance.randrange(MACHINES)}",
    "an issuer": lambda _chance: "issuer:https://ci.example",
    "an issuer and a pattern": lambda chance: (
        f"issuer:https://ci.example identity:*project{chance.randrange(MACHINES)}/*"
    ),
    "two that exclude each other": lambda chance: (
        f"issuer:https://ci.example user{chance.randrange(PEOPLE)}@example.com"
    ),
    "everything": lambda _chance: "",
    "nothing there": lambda chance: f"nobody{chance.random()}@example.com",
}


def run(rounds: int) -> list[Figure]:
    """p95 of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.db"
        store = CatalogStore(path)
        store.open(["rekor"])
        seconds = fill(store)
        found = [Figure("catalogue: 1,000,000 entries taken in", f"{ENTRIES / seconds:.0f} /s, {_megabytes(path)} MB")]
        for name, make in KINDS.items():
            found.append(_measure(store, name, make, rounds))
        store.close()
    return found


def _measure(store: CatalogStore, name: str, make: Callable[[random.Random], str], rounds: int) -> Figure:
    chance, times = random.Random(2), []
    for _ in range(QUERIES * rounds // 5):
        query = parse_query(make(chance))
        began = time.perf_counter()
        store.find(query.parts, before=Place(INT64_MAX, 0, 0), since_ms=0, limit=PAGE)
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    p95 = times[int(len(times) * 0.95)]
    value = f"p50 {times[len(times) // 2]:.2f} ms, p95 {p95:.2f} ms"
    return Figure(f"search 1,000,000 entries: {name}", value, goal=f"p95 <= {GOAL_MS:.0f} ms", met=p95 <= GOAL_MS)


def _megabytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir()) // 1_000_000
