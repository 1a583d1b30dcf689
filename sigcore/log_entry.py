# SPDX-License-Identifier: Apache-2.0
"""The entry of a transparency log as bundles carry it and as Rekor v2 answers it: ``TransparencyLogEntry`` in proto-JSON.

What a bundle must hold of it depends on the bundle's version; here a proof, its checkpoint and a promise may each be missing.

Source: sigstore protobuf-specs ``sigstore_rekor.proto``.
"""

from __future__ import annotations

from sigcore import limits, plain
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, encode_base64, parse_base64
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a leaf is in a tree of ``size`` leaves with ``root``; ``checkpoint`` is the signed note that says so, or empty.

    ``index`` counts within the tree.
    """

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A ``TransparencyLogEntry``. ``index`` is what the log answered: in Rekor v2 the proof's, in v1 counted over all trees.

    ``integrated_time`` (Unix seconds) means nothing without a ``promise`` (SET) that signs it; Rekor v2 leaves it 0.
    """

    index: int
    log_id: bytes
    kind: str
    version: str
    integrated_time: int
    body: bytes
    proof: InclusionProof | None
    promise: bytes | None = None


def parse_log_entry(fields: Fields) -> LogEntry:
    """A ``TransparencyLogEntry``; ``fields`` must have been made with ``proto=True``.

    An absent number is 0 and an absent list is empty: Go's writers leave the zero values out.

    Raises:
        Malformed: a member is missing or wrong.
    """
    fields.only(
        "logIndex", "logId", "kindVersion", "integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody"
    )
    log_id, kind = fields.object("logId"), fields.object("kindVersion")
    log_id.only("keyId")
    kind.only("kind", "version")
    return LogEntry(
        index=_number(fields, "logIndex"),
        log_id=sized(log_id, "keyId", 32),
        kind=kind.text("kind"),
        version=kind.text("version"),
        integrated_time=_number(fields, "integratedTime"),
        body=fields.base64("canonicalizedBody", limit=limits.ENTRY),
        proof=_proof(fields.optional_object("inclusionProof")),
        promise=_promise(fields.optional_object("inclusionPromise")),
    )


def read_plain_entry(members: plain.Members) -> tuple[LogEntry, int]:
    """:func:`parse_log_entry` for :func:`sigcore.plain.read_plain`: an entry with a proof, and the number of its strings."""
    log_id, kind, proof = members["logId"], members["kindVersion"], members["inclusionProof"]
    timed, promised, promise = (
        "integratedTime" in members,
        "inclusionPromise" in members,
        members.get("inclusionPromise"),
    )
    plain.only(members, 5 + timed + promised)
    plain.only(log_id, 1)
    plain.only(kind, 2)
    if promise is not None:
        plain.only(promise, 1)
    entry = LogEntry(
        index=plain.number(members["logIndex"]),
        log_id=plain.sized(log_id["keyId"], 32),
        kind=plain.text(kind["kind"], limits.TEXT),
        version=plain.text(kind["version"], limits.TEXT),
        integrated_time=plain.number(members["integratedTime"]) if timed else 0,
        body=plain.base64(members["canonicalizedBody"], limits.ENTRY),
        proof=_read_plain_proof(proof),
        promise=None if promise is None else plain.base64(promise["signedEntryTimestamp"], limits.SIGNATURE),
    )
    return entry, 23 + len(proof["hashes"]) + 2 * timed + promised + 2 * (promise is not None)


def _read_plain_proof(proof: plain.Members) -> InclusionProof:
    plain.only(proof, 5)
    plain.only(proof["checkpoint"], 1)
    return InclusionProof(
        index=plain.number(proof["logIndex"]),
        size=plain.number(proof["treeSize"]),
        root=plain.sized(proof["rootHash"], 32),
        hashes=tuple([plain.sized(node, 32) for node in plain.items(proof["hashes"], limits.PROOF_HASHES)]),
        checkpoint=plain.text(proof["checkpoint"]["envelope"], limits.NOTE),
    )


def sized(fields: Fields, name: str, size: int) -> bytes:
    """The member ``name``: base64 of exactly ``size`` bytes; Malformed otherwise."""
    data = fields.base64(name, limit=2 * size)
    if len(data) != size:
        raise Malformed(f"{fields.path}.{name} has {len(data)} bytes, expected {size}")
    return data


def _number(fields: Fields, name: str) -> int:
    return fields.int64(name) if name in fields else 0


def _promise(fields: Fields | None) -> bytes | None:
    if fields is None:
        return None
    fields.only("signedEntryTimestamp")
    return fields.base64("signedEntryTimestamp", limit=limits.SIGNATURE)


def _proof(fields: Fields | None) -> InclusionProof | None:
    if fields is None:
        return None
    fields.only("logIndex", "rootHash", "treeSize", "hashes", "checkpoint")
    checkpoint = fields.optional_object("checkpoint")
    if checkpoint is not None:
        checkpoint.only("envelope")
    hashes = tuple(
        parse_base64(text, what=f"{fields.path}.hashes[{position}]")
        for position, text in enumerate(fields.texts("hashes", limit=limits.PROOF_HASHES))
    )
    if any(len(node) != 32 for node in hashes):
        raise Malformed(f"{fields.path}.hashes has an element that is not 32 bytes long")
    return InclusionProof(
        index=_number(fields, "logIndex"),
        size=fields.int64("treeSize"),
        root=sized(fields, "rootHash", 32),
        hashes=hashes,
        checkpoint=checkpoint.text("envelope", limit=limits.NOTE) if checkpoint is not None else "",
    )


def encode_log_entry(entry: LogEntry) -> dict[str, JSON]:
    """The ``TransparencyLogEntry`` as Rekor answers it: zero values present, 64-bit numbers as text, null for what is not there."""
    promise: JSON = {"signedEntryTimestamp": encode_base64(entry.promise)} if entry.promise is not None else None
    return {
        "logIndex": str(entry.index),
        "logId": {"keyId": encode_base64(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
        "integratedTime": str(entry.integrated_time),
        "inclusionPromise": promise,
        "inclusionProof": _proof_json(entry.proof),
        "canonicalizedBody": encode_base64(entry.body),
    }


def _proof_json(proof: InclusionProof | None) -> JSON:
    if proof is None:
        return None
    return {
        "logIndex": str(proof.index),
        "rootHash": encode_base64(proof.root),
        "treeSize": str(proof.size),
        "hashes": [encode_base64(node) for node in proof.hashes],
        "checkpoint": {"envelope": proof.checkpoint} if proof.checkpoint else None,
    }
