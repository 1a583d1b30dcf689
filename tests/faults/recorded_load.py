# SPDX-License-Identifier: Apache-2.0
"""Clients of a recorded stack: one kind for each role that promises something durable.

What they send and what they are told goes into the trace as notes ``{"role", "sent"}`` and ``{"role", "told"}``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from rfc3161_client import decode_timestamp_response

from sigcore import certify, extensions, keys
from sigcore.x509 import parse_certificate_pem
from tests.faults.recorder import Trace
from tests.faults.writers import Sent, b64, parse_acknowledgement
from tests.unit.sigcore.v1_proposals import hashedrekord

V1_ENTRIES = "/api/v1/log/entries"


class PrecertificateMaker:
    """What the CA of a data directory would ask the CT log to take."""

    def __init__(self, data: Path) -> None:
        folder = data / "ca"
        self._issuer = parse_certificate_pem((folder / "intermediate.pem").read_bytes())
        self._root = parse_certificate_pem((folder / "root.pem").read_bytes())
        self._key = keys.parse_private_key((folder / "intermediate.key").read_bytes(), ours=True)
        self._spki = keys.encode_public_key(keys.generate_p256().public_key())

    def chain(self) -> list[bytes]:
        now = datetime.now(UTC).replace(microsecond=0)
        tbs = certify.encode_tbs(
            serial=certify.random_serial(),
            issuer=self._issuer.subject,
            not_before=now,
            not_after=now + timedelta(minutes=10),
            subject=certify.name("leaf", "leaf"),
            spki=self._spki,
            extensions=(extensions.key_usage("digitalSignature"), extensions.poison()),
        )
        return [certify.sign_tbs(tbs, self._key), self._issuer.der, self._root.der]


class Load:
    """Everybody at once, until each role has told ``entries`` (Rekor v2) or a part of that (the others)."""

    def __init__(self, trace: Trace, session: aiohttp.ClientSession, precertificates: PrecertificateMaker) -> None:
        self._trace = trace
        self._session = session
        self._precertificates = precertificates

    async def run(self, entries: int) -> None:
        writers = [(self._rekor_v2, entries // 3)] * 3 + [(self._rekor_v1, entries // 12)] * 2
        writers += [(self._certificate, entries // 12), (self._timestamp, entries // 30)]
        await asyncio.gather(*(_times(write, count) for write, count in writers))

    async def _rekor_v2(self) -> None:
        sent = Sent.make()
        self._trace.note({"role": "v2", "sent": asdict(sent)})
        entry = await self._post("/api/v2/log/entries", data=sent.request())
        self._trace.note({"role": "v2", "told": asdict(parse_acknowledgement(sent, entry))})

    async def _rekor_v1(self) -> None:
        proposal = hashedrekord(secrets.token_bytes(32))
        self._trace.note({"role": "v1", "sent": proposal})
        self._trace.note({"role": "v1", "told": await self._post(V1_ENTRIES, json=proposal)})

    async def _certificate(self) -> None:
        request = {"chain": [b64(one) for one in self._precertificates.chain()]}
        self._trace.note({"role": "ct", "sent": request})
        sct = await self._post("/ct/v1/add-pre-chain", json=request)
        self._trace.note({"role": "ct", "told": {"precertificate": request["chain"][0], "sct": sct}})
        async with self._session.get("/ct/v1/get-sth") as response:
            self._trace.note({"role": "sth", "told": await response.json()})

    async def _timestamp(self) -> None:
        asked = {"artifactHash": b64(hashlib.sha256(secrets.token_bytes(8)).digest()), "hashAlgorithm": "sha256"}
        async with self._session.post("/api/v1/timestamp", json=asked) as response:
            reply = decode_timestamp_response(await response.read())
        self._trace.note({"role": "tsa", "told": reply.tst_info.gen_time.isoformat()})

    async def _post(self, path: str, **body: Any) -> Any:
        async with self._session.post(path, **body) as response:
            text = await response.text()
        assert response.status in (200, 201), f"{path}: {response.status}: {text}"
        return json.loads(text)


async def _times(write: Callable[[], Awaitable[None]], count: int) -> None:
    for _ in range(count):
        await write()


def leaf_of(entry: dict[str, str]) -> bytes:
    """The MerkleTreeLeaf of one element of a get-entries answer."""
    return base64.b64decode(entry["leaf_input"])
