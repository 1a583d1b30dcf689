# SPDX-License-Identifier: Apache-2.0
"""Both generations of Rekor in memory, for the tests of the client."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import canonical, checkpoint, keys, merkle, note
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.strict import encode_base64

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@lru_cache
def _equal_leaves(level: int) -> bytes:
    """The root of a complete tree of that height whose leaves are all the same."""
    if level == 0:
        return merkle.hash_leaf(b"seed")
    return merkle.hash_node(_equal_leaves(level - 1), _equal_leaves(level - 1))


@dataclass
class MiniLog:
    """A Merkle log that keeps its leaves, but for ``before`` equal ones in front of them, and proves from the whole tree."""

    origin: str
    key: keys.PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    leaves: list[bytes] = field(default_factory=lambda: [b"seed"])
    before: int = 0

    @property
    def size(self) -> int:
        return self.before + len(self.leaves)

    @property
    def id(self) -> bytes:
        return note.note_key(self.origin, self.key.public_key()).id

    def node(self, level: int, index: int) -> bytes:
        if (index + 1) << level <= self.before:
            return _equal_leaves(level)
        if level == 0:
            return merkle.hash_leaf(self.leaves[index - self.before])
        return merkle.hash_node(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def grow(self, body: bytes, origin: str) -> InclusionProof:
        self.leaves.append(body)
        index, size = self.size - 1, self.size
        root = merkle.root_of(size, self.node)
        text = checkpoint.encode_checkpoint(checkpoint.Checkpoint(origin, size, root))
        signed = note.encode_note(note.sign_note(text, self.origin, self.key))
        return InclusionProof(index, size, root, merkle.inclusion_proof(index, size, self.node), signed)

    def append(self, body: bytes, kind: str = "hashedrekord") -> LogEntry:
        return LogEntry(self.size, self.id, kind, "0.0.2", 0, body, self.grow(body, self.origin))


@dataclass
class MiniLogV1(MiniLog):
    """The older generation: an entry counts over all trees of the log, and comes with a promise."""

    key: keys.PrivateKey = field(default_factory=keys.generate_p256)
    older: int = 1000
    """Entries in older trees."""

    @property
    def id(self) -> bytes:
        return keys.key_id(keys.encode_public_key(self.key.public_key()))

    def enter(self, body: bytes, *, at: datetime = NOW) -> LogEntry:
        document = json.loads(body)
        index = self.older + self.size
        proof = self.grow(body, f"{self.origin} - 4242")
        entry = LogEntry(index, self.id, document["kind"], document["apiVersion"], int(at.timestamp()), body, proof)
        return self.promise(entry)

    def promise(self, entry: LogEntry) -> LogEntry:
        """``entry`` with a promise for what it says now."""
        signed = {
            "body": encode_base64(entry.body),
            "integratedTime": entry.integrated_time,
            "logID": entry.log_id.hex(),
            "logIndex": entry.index,
        }
        return replace(entry, promise=keys.sign(self.key, canonical.encode(signed)))


def answer_v1(entry: LogEntry) -> dict[str, object]:
    """As Rekor v1 answers: hexadecimal, and numbers as numbers."""
    proof = {
        "checkpoint": entry.proof.checkpoint,
        "hashes": [node.hex() for node in entry.proof.hashes],
        "logIndex": entry.proof.index,
        "rootHash": entry.proof.root.hex(),
        "treeSize": entry.proof.size,
    }
    return {
        "0" * 80: {
            "body": encode_base64(entry.body),
            "integratedTime": entry.integrated_time,
            "logID": entry.log_id.hex(),
            "logIndex": entry.index,
            "verification": {
                "inclusionProof": proof,
                "signedEntryTimestamp": encode_base64(entry.promise),
            },
        }
    }
