# SPDX-License-Identifier: Apache-2.0
"""Faults of the signature logs, in the answers of both Rekor APIs that hold entries.

A v2 answer is a TransparencyLogEntry; a v1 answer is one entry under its id, or an array of such. What the two call alike is
spelt in Base64 by one and in hexadecimal digits by the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import orjson

from sigcore.note import encode_note, parse_note
from sigcore.strict import encode_base64, parse_base64, parse_hex
from stack.bootstrap import load_ecdsa
from stack.faults.answers import altered, at_once, changing, document_of
from stack.faults.fault import Lie
from stack.faults.means import Means
from stack.faults.parameters import Parameters
from stack.shards import Shard
from tlog.log import Log
from tlog.rekor_v2 import Front
from tlog.signature_log import FrontV1

ENTRIES: Final = re.compile(r"(?:(?:/log/[0-9]+)?/api/v2/log/entries|/api/v1/log/entries(?:/.*)?)\Z")
Members: TypeAlias = dict[str, Any]
_EMPTY_HASH: Final = bytes(32)


# --- pure: bytes of an answer in, bytes of an answer out ----------------------------------------------------
def wrong_proof(answer: bytes) -> bytes:
    """The first hash of the inclusion proof is another one; where the proof is empty, it has one hash too many."""

    def change(entry: Members) -> None:
        proof = _proof(entry)
        first, *others = proof["hashes"] or [_spelt(entry, _EMPTY_HASH)]
        proof["hashes"] = [_turned(entry, first), *others]

    return _in_each(answer, change)


def wrong_root(answer: bytes) -> bytes:
    """The root hash beside the inclusion proof is another one than the checkpoint's."""

    def change(entry: Members) -> None:
        proof = _proof(entry)
        proof["rootHash"] = _turned(entry, proof["rootHash"])

    return _in_each(answer, change)


def wrong_checkpoint(answer: bytes) -> bytes:
    """The log's signature of the checkpoint does not verify."""

    def change(entry: Members) -> None:
        proof = _proof(entry)
        envelope = proof["checkpoint"]
        if _is_v1(entry):
            proof["checkpoint"] = _unsigned(envelope)
        else:
            envelope["envelope"] = _unsigned(envelope["envelope"])

    return _in_each(answer, change)


def wrong_set(answer: bytes) -> bytes:
    """The signed entry timestamp (SET) of a v1 entry does not verify; v2 has none."""

    def change(entry: Members) -> None:
        if _is_v1(entry):
            verification = entry["verification"]
            promise = parse_base64(verification["signedEntryTimestamp"], what="the SET")
            verification["signedEntryTimestamp"] = encode_base64(altered(promise))

    return _in_each(answer, change)


def _in_each(answer: bytes, change: Callable[[Members], None]) -> bytes:
    document = document_of(answer)
    for entry in _entries(document):
        change(entry)
    return orjson.dumps(document)


def _entries(document: Any) -> Iterator[Members]:
    if isinstance(document, list):
        for one in document:
            yield from _entries(one)
    elif "inclusionProof" in document:
        yield document
    else:
        yield from document.values()


def _is_v1(entry: Mapping[str, Any]) -> bool:
    return "verification" in entry


def _proof(entry: Members) -> Members:
    proof: Members = (entry["verification"] if _is_v1(entry) else entry)["inclusionProof"]
    return proof


def _spelt(entry: Members, hash_: bytes) -> str:
    return hash_.hex() if _is_v1(entry) else encode_base64(hash_)


def _turned(entry: Members, text: str) -> str:
    """Another first byte: messages show hashes cut off."""
    hash_ = parse_hex(text, what="a hash") if _is_v1(entry) else parse_base64(text, what="a hash")
    return _spelt(entry, bytes((hash_[0] ^ 1,)) + hash_[1:])


def _unsigned(envelope: str) -> str:
    note = parse_note(envelope)
    first, *others = note.signatures
    return encode_note(replace(note, signatures=(replace(first, signature=altered(first.signature)), *others)))


# --- what the table names -------------------------------------------------------------------------------------
def proof(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`wrong_proof`."""
    return changing(ENTRIES, at_once(wrong_proof))


def root(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`wrong_root`."""
    return changing(ENTRIES, at_once(wrong_root))


def checkpoint(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`wrong_checkpoint`."""
    return changing(ENTRIES, at_once(wrong_checkpoint))


def promise(_means: Means, _parameters: Parameters) -> Lie:
    """See :func:`wrong_set`."""
    return changing(ENTRIES, at_once(wrong_set))


def other_entry(means: Means, _parameters: Parameters) -> Lie:
    """The first entry of the log, with everything that proves it, whichever was asked for or added."""

    async def change(answer: bytes) -> bytes:
        document = document_of(answer)
        first = next(_entries(document), None)
        if first is None:
            return answer
        other = await (_first_v1(means) if _is_v1(first) else _first_v2(means, first))
        if isinstance(document, list):
            return b"[" + b",".join([other] * len(document)) + b"]"
        return other

    return changing(ENTRIES, change)


async def _first_v1(means: Means) -> bytes:
    log = means.logs["rekor-v1"]  # of the oldest tree, whose first entry has index 0
    front = FrontV1(log, load_ecdsa(means.home, Shard("rekor-v1", 1).key_file))
    return orjson.dumps(await front.answer(await log.receipt(0), attestation=False))


async def _first_v2(means: Means, entry: Members) -> bytes:
    log = _log_of(means, entry["inclusionProof"]["checkpoint"]["envelope"])
    front = Front(log, parse_base64(entry["logId"]["keyId"], what="the log id"))
    return front.encode_answer(await log.receipt(0))


def _log_of(means: Means, envelope: str) -> Log:
    """The log that the checkpoint names in its first line."""
    origin = envelope.partition("\n")[0]
    return next(
        log for name, log in means.logs.items() if Shard.of(name).log != "rekor-v1" and log.publisher.origin == origin
    )
