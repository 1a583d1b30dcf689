# SPDX-License-Identifier: Apache-2.0
"""L10, L11: readers beside writers. Every answer fits itself, and nobody ever sees a log that is smaller than before."""

from __future__ import annotations

import asyncio
import random
import secrets
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.faults.audit import Checkpoint, NaiveTree, parse_note, read_key, read_log
from tests.faults.test_kill_v1 import ENTRIES, check_proof
from tests.faults.writers import Sent, b64
from tests.stack_process import running_stack
from tests.unit.sigcore.v1_proposals import hashedrekord

pytestmark = [pytest.mark.faults, pytest.mark.slow]

READERS = 12
WRITTEN = 100


class Race:
    def __init__(self, session: aiohttp.ClientSession, key: ec.EllipticCurvePublicKey) -> None:
        self._session = session
        self._key = key
        self._done = asyncio.Event()
        self._written = 0
        self.proved = 0
        self.checkpoints: set[Checkpoint] = set()

    async def run(self) -> None:
        writers = [self._write() for _ in range(2)]
        readers = [read() for _ in range(READERS // 2) for read in (self._read_v1, self._read_v2)]
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader)
            await asyncio.gather(*writers)
            self._done.set()

    async def _write(self) -> None:
        for _ in range(WRITTEN // 2):
            await self._post(ENTRIES, json=hashedrekord(secrets.token_bytes(8)))
            await self._post("/api/v2/log/entries", data=Sent.make().request())
            self._written += 1

    async def _post(self, path: str, **body: Any) -> None:
        async with self._session.post(path, **body) as response:
            assert response.status == 201, await response.text()

    async def _read_v1(self) -> None:
        seen = 0
        while not self._done.is_set():
            index = random.randint(0, max(0, self._written - 2))
            async with self._session.get(ENTRIES, params={"logIndex": index}) as response:
                assert response.status == 200, await response.text()
                ((_, entry),) = (await response.json()).items()
            assert entry["logIndex"] == index
            check_proof(entry, self._key)
            size = entry["verification"]["inclusionProof"]["treeSize"]
            assert size >= seen, f"the log went back from {seen} to {size}"
            seen, self.proved = size, self.proved + 1

    async def _read_v2(self) -> None:
        seen = 0
        while not self._done.is_set():
            async with self._session.get("/api/v2/checkpoint") as response:
                checkpoint = parse_note(await response.text())
            assert checkpoint.size >= seen, f"the log went back from {seen} to {checkpoint.size}"
            seen = checkpoint.size
            self.checkpoints.add(checkpoint)


def test_l10_l11_readers_see_one_growing_log(tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        key = read_key(stack.trusted_root, "PKIX_ECDSA_P256_SHA_256")
        assert isinstance(key, ec.EllipticCurvePublicKey)

        async def run() -> Race:
            async with aiohttp.ClientSession(stack.url) as session:
                race = Race(session, key)
                await race.run()
                return race

        race = asyncio.run(run())
        _, entries = read_log(stack.url)
    tree = NaiveTree(entries)
    for checkpoint in race.checkpoints:
        assert checkpoint.root == b64(tree.root(checkpoint.size))
    print(f"\n{race.proved} answers proved beside {WRITTEN} writes, {len(race.checkpoints)} checkpoints of one tree")
    assert race.proved > WRITTEN
    assert len(race.checkpoints) > 10
