# SPDX-License-Identifier: Apache-2.0
r"""Signed notes: a text, an empty line, and one line for each signature.

    example.com/log            \
    15                          | text, ends with a newline, may contain empty lines
    rKbDipCvhuX1GZ7g5BBe...=   /
                                  the last empty line of the note
    <em dash> example.com/log M9e0luh4jTG+...=      name, base64(key id (4 bytes) || signature)

Sources: C2SP signed-note; rekor-tiles ``pkg/note`` for the ids of ECDSA and RSA keys.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sigcore import keys, limits
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey, PublicKey
from sigcore.patterns import pattern
from sigcore.strict import encode_base64, parse_base64, shown
from sigcore.values import dataclass

KEY_HASH_SIZE: Final = 4
_DASH: Final = "\u2014 "
_CONTROL = pattern(r"[\x00-\x09\x0b-\x1f]")
_ED25519: Final = b"\n\x01"
_RSA: Final = b"\n\xffPKIX-RSA-PKCS#1v1.5"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line. ``key_hash`` is the first four bytes of the key's id."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """``text`` includes its final newline, without the empty line that separates it from the signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A key that notes are verified with. ``id`` is the whole hash (32 bytes): the log id of Rekor v2."""

    name: str
    key: PublicKey
    id: bytes


# --- bytes <-> notes ---------------------------------------------------------------------------------
def parse_note(text: str) -> Note:
    """Split a signed note. Nothing is verified: the answer must not be used before :func:`verify_note`.

    Raises:
        Malformed: too long, control characters, no empty line, or a line after it that is no signature line.
    """
    _check_text(text)
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not tail:
        raise Malformed("the note has no empty line with signature lines after it")
    if not tail.endswith("\n"):
        raise Malformed("the last line of the note does not end with a newline")
    lines = tail[:-1].split("\n")
    if len(lines) > limits.NOTE_SIGNATURES:
        raise Malformed(f"the note has {len(lines)} signatures, the limit is {limits.NOTE_SIGNATURES}")
    return Note(f"{body}\n", tuple([_parse_line(line) for line in lines]))


def encode_note(note: Note) -> str:
    """The signed note as text.

    Raises:
        Malformed: the parts do not make a note that :func:`parse_note` would read back.
    """
    lines = (f"{_DASH}{line.name} {encode_base64(line.key_hash + line.signature)}\n" for line in note.signatures)
    text = f"{note.text}\n{''.join(lines)}"
    if parse_note(text) != note:
        raise Malformed("the note's text does not end with a newline, or a signature line is ambiguous")
    return text


def _parse_line(line: str) -> NoteSignature:
    name, separator, blob = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise Malformed(f"the note has {shown(line)} where a signature line was expected")
    what = _signature_of(name)
    data = parse_base64(blob, what=what)
    if len(data) <= KEY_HASH_SIZE:
        raise Malformed(f"{what} has {len(data)} bytes, expected more than {KEY_HASH_SIZE}")
    return NoteSignature(name, data[:KEY_HASH_SIZE], data[KEY_HASH_SIZE:])


def _check_text(text: str) -> None:
    if len(text) > limits.NOTE:
        raise Malformed(f"the note is {len(text)} characters long, the limit is {limits.NOTE}")
    if text.replace("\n", "").isprintable():
        return  # found in half of the time: neither controls nor surrogates are
    if control := _CONTROL.search(text):
        raise Malformed(f"the note has the control character {shown(control[0])}, only newlines are allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Malformed(f"the note has a lone surrogate (character {error.start})") from error


@lru_cache(maxsize=64)
def _signature_of(name: str) -> str:
    """What a refusal calls a signature. Kept, like that the name is one: signers are few."""
    _check_name(name)
    return f"the note signature of {shown(name)}"


def _check_name(name: str) -> None:
    if "+" in name or name.split() != [name]:
        raise Malformed(f"the note key name is {shown(name)}, expected one without spaces and plus signs")


# --- sign and verify ---------------------------------------------------------------------------------
def note_key(name: str, key: PublicKey) -> NoteKey:
    """The key with its id, by type:

    - Ed25519: SHA-256(name || 0x0A || 0x01 || raw key)
    - ECDSA: SHA-256(SPKI), the same under every name
    - RSA: SHA-256(name || 0x0A || 0xFF || "PKIX-RSA-PKCS#1v1.5" || SPKI)

    Raises:
        Malformed: the name is empty or has spaces or a plus. Refused: ECDSA on another curve than P-256, weak RSA.
    """
    _check_name(name)
    keys.check_strength(key, what="the note key")
    if isinstance(key, ed25519.Ed25519PublicKey):
        data = name.encode() + _ED25519 + key.public_bytes_raw()
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise Refused(f"the note key is on curve {key.curve.name}", "ECDSA notes are signed on P-256 with SHA-256")
        data = keys.encode_public_key(key)
    else:
        data = name.encode() + _RSA + keys.encode_public_key(key)
    return NoteKey(name, key, hashlib.sha256(data).digest())


def sign_note(text: str, signer_name: str, key: PrivateKey) -> Note:
    """A note over ``text`` (ending with a newline) with one signature: Ed25519, or ECDSA/RSA with SHA-256."""
    signer = note_key(signer_name, key.public_key())
    signature = keys.sign(key, text.encode("utf-8"))
    return Note(text, (NoteSignature(signer_name, signer.id[:KEY_HASH_SIZE], signature),))


def verify_note(note: Note, key: NoteKey) -> NoteSignature:
    """The first signature by ``key``. Lines of other keys are ignored, as the specification demands.

    Each line with the key's name and id must be its signature: C2SP signed-note says that a note SHOULD be rejected where one is not.
    So it is where another key has the same name and the same four bytes, which takes no effort to make: whoever puts a line of that
    into a note could spoil it by any other change too. To let one good line do would take nothing from them, and let pass what
    others refuse. Nobody finds a log by these four bytes: the caller has looked up its key by the whole id.

    Raises:
        Refused: no line carries the key's name and id, or one that does is not its signature.
    """
    lines = [line for line in note.signatures if (line.name, line.key_hash) == (key.name, key.id[:KEY_HASH_SIZE])]
    if not lines:
        signers = ", ".join(f"{line.name}+{line.key_hash.hex()}" for line in note.signatures)
        raise Refused(
            f"the note is not signed by {key.name}+{key.id[:KEY_HASH_SIZE].hex()}", f"it is signed by {shown(signers)}"
        )
    for line in lines:
        keys.verify(key.key, line.signature, note.text.encode("utf-8"), what=f"the note signature of {key.name}")
    return lines[0]
