# SPDX-License-Identifier: Apache-2.0
r"""Cosignatures: a witness says when it has seen a log grow consistently up to a checkpoint. And verifier keys, as people hand them on.

    <em dash> witness.example/w1 jWbPPwAAAABkGFDL...=        a line of the note: name, base64(key id || time || signature)

    key id      SHA-256(name || 0x0A || 0x04 || raw Ed25519 key)[:4]
    time        Unix seconds, 8 bytes, big-endian
    signature   Ed25519 over "cosignature/v1\ntime <time>\n" and the whole text of the note

    verifier key    name+HASH+base64(type || key)       HASH: the key id in hexadecimal
    type            0x01 Ed25519, 0x02 ECDSA (SPKI): logs; 0x04 cosignature/v1 with Ed25519: witnesses

Sources: C2SP tlog-cosignature, signed-note ("verifier keys"); transparency-dev formats for type 0x02. Not done: ML-DSA-44 (0x06).
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sigcore import keys, limits
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from sigcore.note import KEY_HASH_SIZE, Note, NoteKey, NoteSignature, note_key
from sigcore.strict import encode_base64, parse_base64, parse_hex, shown
from sigcore.values import dataclass

_ED25519: Final = 0x01
_ECDSA: Final = 0x02
_COSIGNATURE: Final = 0x04
_TIME: Final = 8
_SIZE: Final = _TIME + 64
_EXPECTED: Final = "expected NAME+HASH+KEY, as sigbox witness show prints it"


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """What the cosignatures of one witness are verified with; ``hash`` is its key id, four bytes."""

    name: str
    key: ed25519.Ed25519PublicKey
    hash: bytes


@dataclass(frozen=True, slots=True)
class Cosignature:
    """That ``signer`` had seen the log up to a checkpoint, at ``time_s`` (Unix seconds); ``line`` is what stands in the note."""

    signer: CosignerKey
    time_s: int
    line: NoteSignature


def cosigner_key(name: str, key: ed25519.Ed25519PublicKey) -> CosignerKey:
    """The key with its id. Malformed: the name is empty, or has spaces or a plus."""
    note_key(name, key)  # checks the name
    return CosignerKey(name, key, _hash(name, bytes((_COSIGNATURE,)) + key.public_bytes_raw()))


def cosign(text: str, name: str, key: ed25519.Ed25519PrivateKey, time_s: int) -> Cosignature:
    """The cosignature of the checkpoint ``text`` (the note without its signatures, ending with a newline).

    What the caller must do before: remember the checkpoint durably, as the largest one of its log, after a proof of consistency.

    Raises:
        Refused: the signature does not verify: a fault in the machine.
    """
    signer = cosigner_key(name, key.public_key())
    signature = time_s.to_bytes(_TIME, "big") + keys.sign(key, cosigned_bytes(text, time_s))
    return verify_cosignature(Note(text, (NoteSignature(name, signer.hash, signature),)), signer)


def verify_cosignature(note: Note, signer: CosignerKey) -> Cosignature:
    """The first cosignature by ``signer``; lines of others are ignored.

    Raises:
        Refused: there is none, or a line with the signer's name and id is not one.
    """
    lines = [line for line in note.signatures if (line.name, line.key_hash) == (signer.name, signer.hash)]
    if not lines:
        raise Refused(f"the checkpoint is not cosigned by {signer.name}+{signer.hash.hex()}")
    times = []
    for line in lines:
        if len(line.signature) != _SIZE:
            raise Refused(f"the cosignature of {signer.name} has {len(line.signature)} bytes, expected {_SIZE}")
        time_s = int.from_bytes(line.signature[:_TIME], "big")
        if time_s > limits.INT64_MAX:
            raise Refused(f"the cosignature of {signer.name} has a time beyond 2^63 - 1")
        what = f"the cosignature of {signer.name}"
        keys.verify(signer.key, line.signature[_TIME:], cosigned_bytes(note.text, time_s), what=what)
        times.append(time_s)
    return Cosignature(signer, times[0], lines[0])


def cosigned_bytes(text: str, time_s: int) -> bytes:
    """What a cosignature of the checkpoint ``text`` at ``time_s`` signs."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _hash(name: str, typed: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + typed).digest()[:KEY_HASH_SIZE]


# --- verifier keys -----------------------------------------------------------------------------------
def parse_log_verifier(text: str) -> NoteKey:
    """The verifier key of a log; its name is the origin of the log's checkpoints.

    Raises:
        Malformed: it is none, or its hash is not that of name and key. Refused: a weak key.
    """
    name, hash_, kind, data = _parse(text)
    if kind == _ED25519:
        key: PublicKey = _ed25519(data)
    elif kind == _ECDSA:
        key = keys.parse_public_key(data, what="the verifier key")
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Malformed(f"the verifier key of {name} says ECDSA and holds another key")
    else:
        hint = "that of a witness is for [log] witnesses" if kind == _COSIGNATURE else ""
        raise Malformed(
            f"the verifier key of {name} is of type {kind:#04x}, expected that of a log: 0x01 or 0x02", hint
        )
    found = note_key(name, key)
    _check_hash(name, hash_, found.id[:KEY_HASH_SIZE])
    return found


def parse_witness_verifier(text: str) -> CosignerKey:
    """The verifier key of a witness. Errors as :func:`parse_log_verifier`."""
    name, hash_, kind, data = _parse(text)
    if kind != _COSIGNATURE:
        raise Malformed(f"the verifier key of {name} is of type {kind:#04x}, expected that of a witness: 0x04")
    found = cosigner_key(name, _ed25519(data))
    _check_hash(name, hash_, found.hash)
    return found


def encode_log_verifier(key: NoteKey) -> str:
    """What :func:`parse_log_verifier` reads. Malformed: a key of another type than Ed25519 and ECDSA."""
    if isinstance(key.key, ed25519.Ed25519PublicKey):
        return _encode(key.name, key.id[:KEY_HASH_SIZE], bytes((_ED25519,)) + key.key.public_bytes_raw())
    if not isinstance(key.key, ec.EllipticCurvePublicKey):
        raise Malformed(f"the key of {key.name} has no form as a verifier key")
    return _encode(key.name, key.id[:KEY_HASH_SIZE], bytes((_ECDSA,)) + keys.encode_public_key(key.key))


def encode_witness_verifier(key: CosignerKey) -> str:
    """What :func:`parse_witness_verifier` reads."""
    return _encode(key.name, key.hash, bytes((_COSIGNATURE,)) + key.key.public_bytes_raw())


def _encode(name: str, hash_: bytes, typed: bytes) -> str:
    return f"{name}+{hash_.hex()}+{encode_base64(typed)}"


def _parse(text: str) -> tuple[str, bytes, int, bytes]:
    name, plus, rest = text.partition("+")
    hash_, second, blob = rest.partition("+")
    if not plus or not second or name.split() != [name] or not name.isprintable() or len(name) > limits.ORIGIN:
        raise Malformed(f"the verifier key is {shown(text)}", _EXPECTED)
    data = parse_base64(blob, what=f"the verifier key of {name}") if len(blob) <= limits.TEXT else b""
    if len(data) < 2:
        raise Malformed(f"the verifier key of {name} holds no key", _EXPECTED)
    return name, parse_hex(hash_, what=f"the hash of {name}", size=KEY_HASH_SIZE), data[0], data[1:]


def _ed25519(data: bytes) -> ed25519.Ed25519PublicKey:
    if len(data) != 32:
        raise Malformed(f"the verifier key has {len(data)} bytes, expected 32 of Ed25519")
    return ed25519.Ed25519PublicKey.from_public_bytes(data)


def _check_hash(name: str, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise Malformed(
            f"the verifier key of {name} has the hash {found.hex()}, its name and key have {expected.hex()}",
            "it was changed on its way: get it again",
        )
