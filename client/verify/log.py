# SPDX-License-Identifier: Apache-2.0
"""A transparency log of the trusted root: found by its id, and what it has signed of its tree.

The two generations of Rekor name themselves differently in a checkpoint:

- v2: origin and key name are the host name of the log's URL; the log's id is the id of that note key.
- v1: the key's name is the host name, with the port where the log was told so; the origin is that name, " - " and the number
  of the tree; the log's id is SHA-256 of the key.

Sources: rekor-tiles ``CLIENTS.md``; rekor ``pkg/util/checkpoint.go``, ``pkg/util/signed_note.go``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from sigcore import keys, limits
from sigcore.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from sigcore.errors import Refused, SigError
from sigcore.log_entry import InclusionProof
from sigcore.merkle import HASH_SIZE
from sigcore.note import KEY_HASH_SIZE, Note, NoteKey, note_key, parse_note, verify_note
from sigcore.strict import encode_time, parse_base64, parse_decimal, shown
from sigcore.trustroot import LogInstance
from sigcore.values import dataclass

BY_KEY: Final = "$SIGSTORE_REKOR_PUBLIC_KEY"
"""In place of its URL, for a log of v1 of which the key alone is known: whatever name that key has signed under is its name."""
_URL: Final = re.compile(r"https?://((\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+)(?::[0-9]{1,5})?)(?:[/?#]|\Z)")
"""Host with port, and host. ``urllib.parse`` would do it too; its import takes a fifth of Python's start."""
_LINES: Final = 6
"""Origin, size, root, an empty one, the signature, and what follows the last line end."""
_FORMS: Final = 4
_TREE: Final = re.compile(r" - [0-9]{1,20}\Z", re.ASCII)


def find_log(log_id: bytes, logs: Sequence[LogInstance], times: Sequence[datetime]) -> LogInstance:
    """The log with the full id whose window covers every one of ``times``.

    Raises:
        Refused: there is none.
    """
    for log in logs:
        if log.log_id == log_id and all(map(log.validity.covers, times)):
            return log
    known = [log for log in logs if log.log_id == log_id]
    if not known:
        raise Refused(
            f"the log entry is of a log that is not trusted, id {log_id.hex()}",
            "is the trusted root the right one and up to date?",
        )
    moments = ", ".join(map(encode_time, times))
    raise Refused(
        f"the signature is of {moments}, the log {known[0].base_url} is trusted from {known[0].validity}",
        "is the trusted root up to date?",
    )


def verify_head(proof: InclusionProof, log: LogInstance, *, generation: int) -> None:
    """That the log has signed the head which ``proof`` leads to. ``generation`` is 1 or 2.

    Raises:
        Refused: not signed by the log, of another log, or for another size or root. Malformed: no checkpoint.
    """
    checkpoint = read_head(proof.checkpoint, log, generation)
    if (proof.size, proof.root) != (checkpoint.size, checkpoint.root):
        raise Refused(
            f"the proof is for a tree of size {proof.size} with root {proof.root.hex()[:16]}..., "
            f"the log signed size {checkpoint.size} with root {checkpoint.root.hex()[:16]}...",
        )


@lru_cache(maxsize=128)
def read_head(envelope: str, log: LogInstance, generation: int) -> Checkpoint:
    """The head in ``envelope``, if the log has signed it. Kept where it holds: entries of one batch have the same head."""
    key, usual = _head_key(log, generation), _usual_forms(log, generation)
    for form in usual:
        if (head := _read_usual(envelope, form)) is not None:
            return head
    head = verify_checkpoint(envelope, key) if generation == 2 else _checkpoint_v1(envelope, log, key)
    lines = envelope.split("\n")
    if len(lines) == _LINES and not head.extensions:
        usual.insert(0, _Usual(head.origin, lines[4][: lines[4].rindex(" ") + 1], key))
        del usual[_FORMS:]
    return head


# --- heads that say nothing but size and root, signed by the log alone ----------------------------------
@dataclass(frozen=True, slots=True)
class _Usual:
    """What all of them have in common. The key is that of the signature, whatever name it was found under."""

    origin: str
    signer: str
    """What stands before the signature in its line."""
    key: NoteKey


@lru_cache(maxsize=64)
def _usual_forms(log: LogInstance, generation: int) -> list[_Usual]:  # noqa: ARG001 - the key of the cache
    """Those that have been seen, the newest first, up to ``_FORMS``: a log of Rekor v1 counts on in another tree now and then."""
    return []


def _read_usual(envelope: str, form: _Usual) -> Checkpoint | None:
    """The head, if the note has this form and is signed; None for every other, which is read closely."""
    lines = envelope.split("\n")
    if len(lines) != _LINES or (lines[0], lines[3], lines[5]) != (form.origin, "", ""):
        return None
    line = lines[4]
    if not line.startswith(form.signer) or len(envelope) > limits.NOTE:
        return None
    try:
        size = parse_decimal(lines[1], what="the size")
        root = parse_base64(lines[2], what="the root")
        signed = parse_base64(line[len(form.signer) :], what="the signature")
        if len(root) != HASH_SIZE or signed[:KEY_HASH_SIZE] != form.key.id[:KEY_HASH_SIZE]:
            return None
        text = f"{form.origin}\n{lines[1]}\n{lines[2]}\n".encode()
        keys.verify(form.key.key, signed[KEY_HASH_SIZE:], text, what="the head")
    except SigError:
        return None
    return Checkpoint(form.origin, size, root)


@lru_cache(maxsize=64)
def _head_key(log: LogInstance, generation: int) -> NoteKey:
    """The key of the log's checkpoints under the name of its host."""
    key = log.public_key()
    host = "" if (log.base_url, generation) == (BY_KEY, 1) else _hosts(log)[1]
    found = NoteKey(host, key, keys.key_id(log.key)) if generation == 1 else note_key(host, key)
    if found.id != log.log_id:
        raise _foreign_id(log, found.id)
    return found


def _checkpoint_v1(envelope: str, log: LogInstance, key: NoteKey) -> Checkpoint:
    note = parse_note(envelope)
    name = _name_by_key(note, key) if log.base_url == BY_KEY else _name_by_host(note, log)
    verify_note(note, NoteKey(name, key.key, key.id))
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != name and not (
        checkpoint.origin.startswith(name) and _TREE.fullmatch(checkpoint.origin[len(name) :])
    ):
        raise Refused(f"the checkpoint is of the log {shown(checkpoint.origin)}, expected {shown(name)} and its tree")
    return checkpoint


def _name_by_host(note: Note, log: LogInstance) -> str:
    with_port, host = _hosts(log)
    return with_port if with_port in [line.name for line in note.signatures] else host


def _name_by_key(note: Note, key: NoteKey) -> str:
    """The name that whoever has the key has signed under."""
    return next((line.name for line in note.signatures if line.key_hash == key.id[:KEY_HASH_SIZE]), "")


@lru_cache(maxsize=64)
def _hosts(log: LogInstance) -> tuple[str, str]:
    """The host of the log's URL with its port, and without."""
    match = _URL.match(log.base_url)
    if match is None:
        raise Refused(
            f"the trusted root gives the log {log.log_id.hex()} the URL {shown(log.base_url)}, which has no host name",
            "the host name is the log's origin; correct the trusted root",
        )
    with_port, host = match.groups()
    return with_port, host.strip("[]").lower()


def _foreign_id(log: LogInstance, key_id: bytes) -> Refused:
    return Refused(
        f"the trusted root gives the log {log.base_url} an id that does not belong to its key and host name",
        f"the id of this key is {key_id.hex()}; correct the trusted root",
    )
