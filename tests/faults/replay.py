# SPDX-License-Identifier: Apache-2.0
"""After the power cut: start what a stack starts on the directory that is left, and hold it to what was told before.

1. The directory can be prepared and every log opens. The first TUF root, whose fingerprint people were given, is there.
2. Rekor v2: the audit of ``audit.py``, with every acknowledgement before the cut.
3. Rekor v1: every entry that was told has its index, body and time, and its proof holds; nothing is there twice.
4. CT: every precertificate with a promise is there once, with the promised time; every tree head that was told is a prefix.
5. The timestamp authority remembers a time no earlier than the last one that it told.
6. What was sent without an answer can be sent again, and is there once; new entries are taken.
"""

from __future__ import annotations

import base64
import io
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from stack import bootstrap
from stack.compose import compose
from stack.config import Home
from stack.edge import Edge
from stack.live_issuers import LiveIssuers
from stack.logs import RequestLog
from stack.traffic import Traffic
from stack.trust.documents import save_documents
from tests.faults.audit import Acknowledged, AuditError, NaiveTree, audit, parse_note, read_key, split_bundle
from tests.faults.recorded_load import V1_ENTRIES, leaf_of
from tests.faults.recorder import Event
from tests.faults.test_kill_v1 import check_proof
from tests.faults.writers import Sent

TILE = 256


@dataclass
class Told:
    """What clients had sent and had been told when the power went, by role."""

    sent: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def before(cls, events: Sequence[Event]) -> Told:
        noted = cls()
        for event in events:
            noted.add(event)
        return noted

    def add(self, event: Event) -> None:
        if event.kind == "A":
            note = json.loads(event.data)
            for kind in ("sent", "told"):
                if kind in note:
                    getattr(self, kind)[note["role"]].append(note[kind])

    def acknowledged(self) -> list[Acknowledged]:
        """What Rekor v2 had answered with 201."""
        return [Acknowledged(**{**one, "proof": tuple(one["proof"])}) for one in self.told["v2"]]

    def unanswered(self) -> list[Sent]:
        """The requests to Rekor v2 that may or may not have been committed."""
        answered = {(one["digest"], one["signature"]) for one in self.told["v2"]}
        return [Sent(**one) for one in self.sent["v2"] if (one["digest"], one["signature"]) not in answered]


@asynccontextmanager
async def restarted(home: Home, oidc_key: rsa.RSAPrivateKey) -> AsyncIterator[TestClient[Any, Any]]:
    """The roles of a stack on ``home``, as ``sigbox up`` makes them, without its process and its TUF repository."""
    now = datetime.now(UTC)
    settings = bootstrap.prepare(home, url=None, default_url="http://localhost:7780", ephemeral=False, now=now)
    material = bootstrap.load_material(home)
    save_documents(home, material.public, settings)
    parts = (home, settings, material, oidc_key, LiveIssuers(), lambda: datetime.now(UTC))
    edge = Edge(Traffic(), RequestLog("json", io.StringIO()))
    async with (
        compose(*parts, control_api=False, edge=edge, checks={}) as (app, _figures),
        TestClient(TestServer(app)) as client,
    ):
        yield client


async def check(data: Path, noted: Told, oidc_key: rsa.RSAPrivateKey) -> None:
    """Everything that the module's text lists. AuditError, AssertionError or SigError names what does not hold."""
    home = Home(data)
    check_tuf_root(home, noted)  # 1
    async with restarted(home, oidc_key) as client:
        await _check_rekor_v2(client, noted, home)
        await _check_rekor_v1(client, noted, home)
        await _check_ct(client, noted)
        _check_timestamps(data, noted)
        await _check_it_goes_on(client, noted)
        await _check_rekor_v2(client, Told(), home)


# --- 1 ----------------------------------------------------------------------------------------------------
def check_tuf_root(home: Home, noted: Told) -> None:
    for fingerprint in noted.told["tuf-root"]:
        _expect(home.tuf_root.exists(), "the first TUF root is gone")
        _expect(sha256(home.tuf_root.read_bytes()).hexdigest() == fingerprint, "the first TUF root is another one")


# --- 2 ----------------------------------------------------------------------------------------------------
async def _check_rekor_v2(client: TestClient[Any, Any], noted: Told, home: Home) -> None:
    now = parse_note(await _text(client, "/api/v2/checkpoint"))
    entries: list[bytes] = []
    while len(entries) < now.size:
        width = min(TILE, now.size - len(entries))
        path = f"/api/v2/tile/entries/{len(entries) // TILE:03}" + (f".p/{width}" if width < TILE else "")
        async with client.get(path) as response:
            _expect(response.status == 200, f"{path} is {response.status}")
            entries += split_bundle(await response.read())
    audit(entries, now, noted.acknowledged(), [], read_key(home.trusted_root))


# --- 3 ----------------------------------------------------------------------------------------------------
async def _check_rekor_v1(client: TestClient[Any, Any], noted: Told, home: Home) -> None:
    size = (await _json(client, "/api/v1/log"))["treeSize"]
    indexes = set()
    for answer in noted.told["v1"]:
        ((entry_id, entry),) = answer.items()
        now = (await _json(client, f"{V1_ENTRIES}/{entry_id}"))[entry_id]
        for name in ("body", "integratedTime", "logID", "logIndex"):
            _expect(now[name] == entry[name], f"{name} of the v1 entry {entry['logIndex']} is another one")
        indexes.add(entry["logIndex"])
    told, sent = len(noted.told["v1"]), len(noted.sent["v1"])
    _expect(len(indexes) == told, "an index of v1 was given to two entries")
    _expect(told < size <= sent + 1, f"the v1 log has {size} entries of {sent} that were sent, and the first one")
    if told:
        key = read_key(home.trusted_root, "PKIX_ECDSA_P256_SHA_256")
        assert isinstance(key, ec.EllipticCurvePublicKey)
        check_proof(entry, key)
        check_proof(now, key)


# --- 4 ----------------------------------------------------------------------------------------------------
async def _check_ct(client: TestClient[Any, Any], noted: Told) -> None:
    head = await _json(client, "/ct/v1/get-sth")
    found = await _json(client, f"/ct/v1/get-entries?start=0&end={head['tree_size'] - 1}")
    tree = NaiveTree([leaf_of(entry) for entry in found["entries"]])
    for told in (*noted.told["sth"], head):
        _expect(told["tree_size"] <= head["tree_size"], "the CT log went back")
        root = base64.b64encode(tree.root(told["tree_size"])).decode()
        _expect(root == told["sha256_root_hash"], f"the CT root at {told['tree_size']} is another one")
    times = [int.from_bytes(leaf_of(entry)[2:10], "big") for entry in found["entries"]]
    kept = [_precertificate(entry) for entry in found["entries"]]
    for told in noted.told["ct"]:
        precertificate = base64.b64decode(told["precertificate"])
        _expect(kept.count(precertificate) == 1, f"a promised certificate is {kept.count(precertificate)} times in CT")
        _expect(times[kept.index(precertificate)] == told["sct"]["timestamp"], "the promised time is another one")


def _precertificate(entry: dict[str, str]) -> bytes:
    """The first ASN.1Cert of a PrecertChainEntry (RFC 6962 section 3.1)."""
    data = base64.b64decode(entry["extra_data"])
    return data[3 : 3 + int.from_bytes(data[:3], "big")]


# --- 5 ----------------------------------------------------------------------------------------------------
def _check_timestamps(data: Path, noted: Told) -> None:
    if noted.told["tsa"]:
        last = max(datetime.fromisoformat(text) for text in noted.told["tsa"])
        kept = datetime.fromisoformat((data / "anchor" / "tsa.time").read_text().strip())
        _expect(kept >= last, f"a timestamp of {last} was told, {kept} is remembered")


# --- 6 ----------------------------------------------------------------------------------------------------
async def _check_it_goes_on(client: TestClient[Any, Any], noted: Told) -> None:
    for sent in (*noted.unanswered(), Sent.make()):
        async with client.post("/api/v2/log/entries", data=sent.request()) as response:
            _expect(response.status in (201, 409), f"sent again: {response.status}: {await response.text()}")


def _expect(held: bool, broken: str) -> None:  # noqa: FBT001 - reads as the sentence it is
    if not held:
        raise AuditError(broken)


async def _text(client: TestClient[Any, Any], path: str) -> str:
    async with client.get(path) as response:
        text = await response.text()
        _expect(response.status == 200, f"{path} is {response.status}: {text}")
        return text


async def _json(client: TestClient[Any, Any], path: str) -> Any:
    return json.loads(await _text(client, path))
