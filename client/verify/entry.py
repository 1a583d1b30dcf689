# SPDX-License-Identifier: Apache-2.0
"""That *this* signature is in the transparency log.

The bug that keeps coming back in every client is a genuine entry of something else. So the entry's body is not read for what
it says: it is built anew from the bundle and compared byte for byte, and the proof is computed over those bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from sigcore import entries, merkle
from sigcore.bundle import LogEntry
from sigcore.checkpoint import verify_checkpoint
from sigcore.entries import HashedRekord
from sigcore.errors import Refused, SigError
from sigcore.note import note_key
from sigcore.strict import encode_time, shown
from sigcore.trustroot import LogInstance

KIND: Final = ("hashedrekord", "0.0.2")
"""What is verified now: the only kind that Rekor v2 writes today."""


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """The log at ``log`` holds the signature as leaf ``index`` of a tree of ``size`` leaves with ``root``."""

    log: str
    index: int
    size: int
    root: bytes


def verify_log_entry(
    entry: LogEntry, expected: HashedRekord, logs: Sequence[LogInstance], times: Sequence[datetime]
) -> VerifiedEntry:
    """That ``entry`` is the entry for ``expected`` in a trusted log.

    1. The kind is one that we know; a Rekor v2 entry carries nothing that only a signature of v1 would cover.
    2. Find the log by its full id; its window must cover every verified time.
    3. The body is, byte for byte, the one built from ``expected``.
    4. The checkpoint is signed by the log; its origin is the host name of the log's URL.
    5. The proof is for the checkpoint's size and root, and for the index that the entry names.
    6. The body's leaf hash is in that tree.

    Raises:
        Refused: one of these does not hold. Malformed: the checkpoint or the proof is not well-formed.
    """
    check_kind(entry)
    log = _find(entry.log_id, logs, times)
    _check_body(entry.body, expected)
    _check_tree(entry, log)
    merkle.verify_inclusion(
        leaf_hash=merkle.hash_leaf(entry.body),
        index=entry.proof.index,
        size=entry.proof.size,
        proof=entry.proof.hashes,
        root=entry.proof.root,
    )
    return VerifiedEntry(log.base_url, entry.index, entry.proof.size, entry.proof.root)


def check_kind(entry: LogEntry) -> None:
    """Step 1.

    Raises:
        Refused: another kind or version, or members that only Rekor v1 signs.
    """
    if (entry.kind, entry.version) != KIND:
        raise Refused(
            f"the log entry is of kind {shown(entry.kind)} version {shown(entry.version)}, which is not supported yet",
            f"entries of Rekor v2 are: {' '.join(KIND)}",
        )
    if entry.promise is not None or entry.integrated_time:
        raise Refused(
            "the log entry carries a promise or an integrated time, which Rekor v2 never signs",
            "someone has added it; get the bundle again from where it was made",
        )


def _find(log_id: bytes, logs: Sequence[LogInstance], times: Sequence[datetime]) -> LogInstance:
    known = [log for log in logs if log.log_id == log_id]
    if not known:
        raise Refused(
            f"the log entry is of a log that is not trusted, id {log_id.hex()}",
            "is the trusted root the right one and up to date?",
        )
    for log in known:
        if all(log.validity.covers(time) for time in times):
            return log
    moments = ", ".join(map(encode_time, times))
    raise Refused(
        f"the signature is of {moments}, the log {known[0].base_url} is trusted from {known[0].validity}",
        "is the trusted root up to date?",
    )


def _check_body(body: bytes, expected: HashedRekord) -> None:
    if body == entries.encode_body(expected):
        return
    try:
        logged = entries.parse_body(body)
    except SigError as error:
        raise Refused("the log entry is not about this signature: its body is no hashedrekord", str(error)) from error
    parts = ("digest", "signature", "verifier")
    differing = [part for part in parts if getattr(logged, part) != getattr(expected, part)]
    raise Refused(
        f"the log entry is not about this signature: {' and '.join(differing) or 'its canonical form'} differs",
        "the entry may be genuine, and belong to another bundle",
    )


def _check_tree(entry: LogEntry, log: LogInstance) -> None:
    origin = urlsplit(log.base_url).hostname
    if not origin:
        raise Refused(
            f"the trusted root gives the log {entry.log_id.hex()} the URL {shown(log.base_url)}, which has no host name",
            "the host name is the log's origin; correct the trusted root",
        )
    key = note_key(origin, log.public_key())
    if key.id != log.log_id:
        raise Refused(
            f"the trusted root gives the log {log.base_url} an id that does not belong to its key and host name",
            f"the id of this key is {key.id.hex()}; correct the trusted root",
        )
    checkpoint = verify_checkpoint(entry.proof.checkpoint, key)
    proof = entry.proof
    if (proof.size, proof.root) != (checkpoint.size, checkpoint.root):
        raise Refused(
            f"the proof is for a tree of size {proof.size} with root {proof.root.hex()[:16]}..., "
            f"the log signed size {checkpoint.size} with root {checkpoint.root.hex()[:16]}...",
        )
    if entry.index != proof.index:
        raise Refused(f"the log entry says index {entry.index}, its proof is for index {proof.index}")
