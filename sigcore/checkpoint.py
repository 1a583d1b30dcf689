# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the head of a log as a signed note.

The text of the note, each line ending with a newline:

    example.com/log                                 origin: which log
    15                                              tree size, decimal
    rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=    root hash, base64
    ...                                             extension lines, opaque, none empty

Source: C2SP tlog-checkpoint.
"""

from __future__ import annotations

from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey
from sigcore.merkle import HASH_SIZE
from sigcore.note import NoteKey, encode_note, parse_note, sign_note, verify_note
from sigcore.strict import encode_base64, parse_base64, parse_decimal, shown
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of ``origin`` with ``size`` leaves has this ``root`` (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def parse_checkpoint(text: str) -> Checkpoint:
    """The text of a checkpoint note.

    Raises:
        Malformed: fewer than three lines, an empty line, a size or root in another spelling.
    """
    if not text.endswith("\n"):
        raise Malformed("the checkpoint does not end with a newline")
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise Malformed(f"the checkpoint has {len(lines)} lines, expected at least 3 and none empty")
    origin, size, root, *extensions = lines
    if len(origin) > limits.ORIGIN:
        raise Malformed(f"the checkpoint origin is {len(origin)} characters long, the limit is {limits.ORIGIN}")
    root_hash = parse_base64(root, what="the checkpoint root")
    if len(root_hash) != HASH_SIZE:
        raise Malformed(f"the checkpoint root has {len(root_hash)} bytes, expected {HASH_SIZE}")
    return Checkpoint(origin, parse_decimal(size, what="the checkpoint size"), root_hash, tuple(extensions))


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """The text of the note.

    Raises:
        Malformed: the parts do not make a checkpoint that :func:`parse_checkpoint` would read back.
    """
    lines = (checkpoint.origin, str(checkpoint.size), encode_base64(checkpoint.root), *checkpoint.extensions)
    text = "".join(f"{line}\n" for line in lines)
    if parse_checkpoint(text) != checkpoint:
        raise Malformed("the checkpoint's origin or an extension contains a newline")
    return text


def sign_checkpoint(checkpoint: Checkpoint, key: PrivateKey) -> str:
    """The whole signed note; the signer's name is the origin, as the specification recommends."""
    return encode_note(sign_note(encode_checkpoint(checkpoint), checkpoint.origin, key))


def verify_checkpoint(envelope: str, key: NoteKey, *, allow_origin: str | None = None) -> Checkpoint:
    """The checkpoint in a signed note, once its signature holds.

    1. Parse the note and verify the signature of ``key``; other signatures are ignored.
    2. Parse the text.
    3. The origin must be the key's name, or ``allow_origin`` where the log signs under another name (Rekor v1).

    What the caller must still do: compare size and root with a proof, and keep the largest checkpoint it has seen.

    Raises:
        Malformed: not a note, or not a checkpoint. Refused: not signed by ``key``, or of another log.
    """
    note = parse_note(envelope)
    verify_note(note, key)
    checkpoint = parse_checkpoint(note.text)
    expected = key.name if allow_origin is None else allow_origin
    if checkpoint.origin != expected:
        raise Refused(f"the checkpoint is of the log {shown(checkpoint.origin)}, expected {shown(expected)}")
    return checkpoint
