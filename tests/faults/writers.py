# SPDX-License-Identifier: Apache-2.0
"""Concurrent writers of Rekor v2 entries that journal what was acknowledged and remember what is unknown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.faults.audit import Acknowledged, Journal

KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class Sent:
    """One hashedrekord request of a digest that nobody has signed before."""

    digest: str
    signature: str

    @classmethod
    def make(cls) -> Sent:
        message = secrets.token_bytes(32)
        return cls(b64(hashlib.sha256(message).digest()), b64(KEY.sign(message, ec.ECDSA(hashes.SHA256()))))

    def request(self) -> bytes:
        """The body of POST /api/v2/log/entries."""
        verifier = {"publicKey": {"rawBytes": b64(SPKI)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
        signature = {"content": self.signature, "verifier": verifier}
        return json.dumps({"hashedRekordRequestV002": {"digest": self.digest, "signature": signature}}).encode()


@dataclass
class Writers:
    """``unknown`` holds the requests without an answer; the next round sends them again before anything new."""

    journal: Journal
    count: int = 16
    unknown: list[Sent] = field(default_factory=list)
    acknowledged: int = 0
    located: dict[int, Sent] = field(default_factory=dict)
    """Retried requests that the log had committed before it died; it said at which index."""
    patient: bool = False
    """Whether a 503 is an answer that may come, and leaves open what became of the request."""

    async def run(self, url: str, died: asyncio.Event) -> None:
        """Write to the log at ``url`` until its process is gone."""
        connector = aiohttp.TCPConnector(limit=self.count)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            await asyncio.gather(*(self._write(session, died) for _ in range(self.count)))

    async def _write(self, session: aiohttp.ClientSession, died: asyncio.Event) -> None:
        while not died.is_set():
            sent = self.unknown.pop() if self.unknown else Sent.make()
            try:
                async with session.post("/api/v2/log/entries", data=sent.request()) as response:
                    text = await response.text()
            except (aiohttp.ClientError, ConnectionError):
                self.unknown.append(sent)
                # The process may still be dying; the event says when it is dead.
                await asyncio.sleep(0.01)
                continue
            self._note(sent, response, text)

    def _note(self, sent: Sent, response: aiohttp.ClientResponse, text: str) -> None:
        if self.patient and response.status == 503:
            assert response.headers["Retry-After"] == "1"
            self.unknown.append(sent)
            return
        if response.status == 409:
            self.located[int(response.headers["x-log-index"])] = sent
            return
        assert response.status == 201, f"{response.status}: {text}"
        self.journal.add(parse_acknowledgement(sent, json.loads(text)))
        self.acknowledged += 1


def parse_acknowledgement(sent: Sent, entry: dict[str, Any]) -> Acknowledged:
    """A TransparencyLogEntry in proto-JSON (wire.md 5.3)."""
    proof = entry["inclusionProof"]
    assert proof["logIndex"] == entry["logIndex"]
    return Acknowledged(
        digest=sent.digest,
        signature=sent.signature,
        index=int(entry["logIndex"]),
        body=entry["canonicalizedBody"],
        proof=tuple(proof["hashes"]),
        size=int(proof["treeSize"]),
        root=proof["rootHash"],
        envelope=proof["checkpoint"]["envelope"],
    )
