# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load for the Rekor v1 log: index, time and proof of what was acknowledged stay, and searches find all of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.chance import chosen_seed
from tests.faults.audit import read_key
from tests.stack_process import RunningStack, start_stack
from tests.unit.sigcore.v1_proposals import hashedrekord
from tests.until import until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 4
LEAST = 30
"""Answers in each of them."""
WRITERS = 12
ENTRIES = "/api/v1/log/entries"
SEARCHES_AT_ONCE = 8


@dataclass
class Writing:
    """``told`` holds the answers by digest; ``unknown`` the proposals without one, which are sent again first."""

    told: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    unknown: list[dict[str, Any]] = field(default_factory=list)
    retried: int = 0

    async def run(self, url: str, died: asyncio.Event) -> None:
        async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=WRITERS)) as session:
            await asyncio.gather(*(self._write(session, died) for _ in range(WRITERS)))

    async def _write(self, session: aiohttp.ClientSession, died: asyncio.Event) -> None:
        while not died.is_set():
            proposal = self.unknown.pop() if self.unknown else hashedrekord(secrets.token_bytes(32))
            try:
                async with session.post(ENTRIES, json=proposal) as response:
                    answer = await response.json()
                if response.status == 409:  # committed before it died, and never answered
                    async with session.get(response.headers["Location"]) as response:
                        answer = await response.json()
                    self.retried += 1
            except (aiohttp.ClientError, ConnectionError):
                self.unknown.append(proposal)
                await asyncio.sleep(0)
                continue
            ((entry_id, entry),) = answer.items()
            self.told[proposal["spec"]["data"]["hash"]["value"]] = entry_id, entry


async def load_until_killed(stack: RunningStack, writing: Writing, delay_s: float) -> None:
    died, enough = asyncio.Event(), len(writing.told) + LEAST

    async def kill() -> None:
        await until(lambda: len(writing.told) > enough)  # a busy machine may need more time for it
        await asyncio.sleep(delay_s)
        await asyncio.to_thread(stack.kill)
        died.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        group.create_task(writing.run(stack.url, died))


def root_from(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2, word by word: it shares nothing with the log."""
    fn, sn, node = index, size - 1, hashlib.sha256(b"\0" + leaf).digest()
    for sibling in proof:
        assert sn
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return node


def check_proof(entry: dict[str, Any], key: ec.EllipticCurvePublicKey) -> None:
    """Promise, proof and checkpoint of one answer."""
    promised = {name: entry[name] for name in ("body", "integratedTime", "logID", "logIndex")}
    text = json.dumps(promised, sort_keys=True, separators=(",", ":")).encode()
    verification = entry["verification"]
    key.verify(base64.b64decode(verification["signedEntryTimestamp"]), text, ec.ECDSA(hashes.SHA256()))
    proof = verification["inclusionProof"]
    path = [bytes.fromhex(one) for one in proof["hashes"]]
    root = root_from(base64.b64decode(entry["body"]), proof["logIndex"], proof["treeSize"], path)
    assert root.hex() == proof["rootHash"]
    note, _, line = proof["checkpoint"].rpartition("\n\n")
    assert note.split("\n")[1:] == [str(proof["treeSize"]), base64.b64encode(root).decode()]
    key.verify(base64.b64decode(line.split()[-1])[4:], f"{note}\n".encode(), ec.ECDSA(hashes.SHA256()))


async def check(stack: RunningStack, writing: Writing) -> int:
    """Everything that was told is still so; the answer is the size of the log."""
    key = read_key(stack.trusted_root, "PKIX_ECDSA_P256_SHA_256")
    assert isinstance(key, ec.EllipticCurvePublicKey)
    gate = asyncio.Semaphore(SEARCHES_AT_ONCE)
    async with aiohttp.ClientSession(stack.url) as session:

        async def look(digest: str, entry_id: str, told: dict[str, Any]) -> None:
            async with gate:
                async with session.post("/api/v1/index/retrieve", json={"hash": digest}) as response:
                    assert await response.json() == [entry_id]
                async with session.get(f"{ENTRIES}/{entry_id}") as response:
                    now = (await response.json())[entry_id]
            for name in ("body", "integratedTime", "logID", "logIndex"):
                assert now[name] == told[name]
            check_proof(told, key)
            check_proof(now, key)

        await asyncio.gather(*(look(digest, *answer) for digest, answer in writing.told.items()))
        async with session.get("/api/v1/log") as response:
            size: int = (await response.json())["treeSize"]
    indexes = [entry["logIndex"] for _, entry in writing.told.values()]
    assert len(set(indexes)) == len(indexes)
    assert len(indexes) < size <= len(indexes) + len(writing.unknown) + 1, "an entry is there twice, or from nowhere"
    return size


def test_kill_9_loses_neither_entries_nor_times_nor_finds(tmp_path: Path):
    seed = chosen_seed()
    moments, writing, size = random.Random(seed), Writing(), 0
    for _ in range(KILLS):
        stack = start_stack(tmp_path, "--data", tmp_path / "data")
        try:
            asyncio.run(check(stack, writing))
            asyncio.run(load_until_killed(stack, writing, moments.uniform(0, 0.8)))
        finally:
            stack.kill()
    # The index is lost too: it is made anew from the log.
    (tmp_path / "data" / "rekor-v1" / "search.db").unlink()
    stack = start_stack(tmp_path, "--data", tmp_path / "data")
    try:
        size = asyncio.run(check(stack, writing))
        stack.stop()
    finally:
        stack.kill()
    told, unknown = len(writing.told), len(writing.unknown)
    print(
        f"\nseed {seed}: {KILLS} kills, {told} told, 0 lost, {writing.retried} by retry, {unknown} unknown, {size} entries"
    )
    assert told > KILLS * LEAST
