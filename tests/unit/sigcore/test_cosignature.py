# SPDX-License-Identifier: Apache-2.0
"""Cosignatures and verifier keys, against the text of C2SP tlog-cosignature computed word by word."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sigcore import keys
from sigcore.cosignature import (
    cosign,
    cosigner_key,
    encode_log_verifier,
    encode_witness_verifier,
    parse_log_verifier,
    parse_witness_verifier,
    verify_cosignature,
)
from sigcore.errors import Malformed, Refused, SigError
from sigcore.note import Note, NoteSignature, encode_note, note_key, parse_note

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
NAME = "witness.example.com/w1"
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
TIME = 1_679_315_147


def test_a_cosignature_is_what_the_specification_says():
    line = encode_note(Note(TEXT, (cosign(TEXT, NAME, KEY, TIME).line,))).removeprefix(f"{TEXT}\n")
    dash, name, blob = line.rstrip("\n").split(" ")
    data = base64.b64decode(blob)
    raw = KEY.public_key().public_bytes_raw()
    assert (dash, name) == ("—", NAME)
    assert data[:4] == hashlib.sha256(NAME.encode() + b"\n\x04" + raw).digest()[:4]
    assert int.from_bytes(data[4:12], "big") == TIME
    KEY.public_key().verify(data[12:], b"cosignature/v1\ntime 1679315147\n" + TEXT.encode())
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(data[12:], b"cosignature/v1\ntime 1679315148\n" + TEXT.encode())


def test_one_among_other_lines_verifies_and_says_its_time():
    ours, other = cosign(TEXT, NAME, KEY, TIME).line, cosign(TEXT, NAME, OTHER, TIME).line
    found = verify_cosignature(Note(TEXT, (other, ours)), cosigner_key(NAME, KEY.public_key()))
    assert (found.time_s, found.line) == (TIME, ours)


def changed(line: NoteSignature, at: int) -> NoteSignature:
    data = bytearray(line.signature)
    data[at] ^= 1
    return NoteSignature(line.name, line.key_hash, bytes(data))


def test_whatever_is_changed_is_refused():
    line, signer = cosign(TEXT, NAME, KEY, TIME).line, cosigner_key(NAME, KEY.public_key())
    text = TEXT.replace("20852163", "20852164")
    short = NoteSignature(line.name, line.key_hash, line.signature[:-1])
    late = NoteSignature(line.name, line.key_hash, b"\xff" * 8 + line.signature[8:])
    renamed = NoteSignature("another.example", line.key_hash, line.signature)
    for note in (
        Note(text, (line,)),
        *(Note(TEXT, (changed(line, at),)) for at in range(len(line.signature))),
        Note(TEXT, (short,)),
        Note(TEXT, (late,)),
        Note(TEXT, (renamed,)),
        Note(TEXT, (line, changed(line, 20))),
    ):
        with pytest.raises(Refused):
            verify_cosignature(note, signer)


def test_the_log_key_of_another_witness_key_is_none():
    """The same bytes are another key where the type differs: a log's signature is no cosignature."""
    assert cosigner_key(NAME, KEY.public_key()).hash != note_key(NAME, KEY.public_key()).id[:4]


# --- verifier keys ---------------------------------------------------------------------------------------
def test_verifier_keys_come_back():
    for key in (KEY, ec.derive_private_key(7, ec.SECP256R1())):
        log = note_key("log.example", key.public_key())
        assert encode_log_verifier(parse_log_verifier(encode_log_verifier(log))) == encode_log_verifier(log)
    witness = cosigner_key(NAME, KEY.public_key())
    assert parse_witness_verifier(encode_witness_verifier(witness)) == witness


def test_the_verifier_key_of_gos_documentation():
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert encode_log_verifier(parse_log_verifier(text)) == text


def test_what_is_no_verifier_key_says_why():
    log = encode_log_verifier(note_key("log.example", KEY.public_key()))
    witness = encode_witness_verifier(cosigner_key(NAME, KEY.public_key()))
    name, hash_, blob = log.split("+", 2)
    ed25519_as_ecdsa = base64.b64encode(b"\x02" + keys.encode_public_key(KEY.public_key())).decode()
    for text, said in (
        ("", "expected NAME"),
        ("log.example", "expected NAME"),
        (f"a b+{hash_}+{blob}", "expected NAME"),
        (f"other.example+{hash_}+{blob}", "has the hash"),
        (f"{name}+00000000+{blob}", "has the hash"),
        (f"{name}+{hash_.upper()}+{blob}", "hexadecimal" if hash_ != hash_.upper() else ""),
        (f"{name}+{hash_}+", "holds no key"),
        (f"{name}+{hash_}+AQ==", "holds no key"),
        (f"{name}+{hash_}+{blob[:-4]}", "expected 32"),
        (f"{name}+{hash_}+{'A' * 40_000}", "holds no key"),
        (f"{name}+{hash_}+{ed25519_as_ecdsa}", "says ECDSA"),
        (witness, "that of a log"),
    ):
        with pytest.raises(SigError) as refused:
            parse_log_verifier(text)
        assert said in str(refused.value), text
    with pytest.raises(Malformed, match="that of a witness"):
        parse_witness_verifier(log)


def test_lines_of_witnesses_are_passed_over_where_a_log_is_verified():
    from sigcore.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint  # noqa: PLC0415 - of this test alone

    checkpoint = Checkpoint("log.example", 5, bytes(32))
    note = parse_note(sign_checkpoint(checkpoint, KEY))
    line = cosign(note.text, NAME, OTHER, TIME).line
    both = encode_note(Note(note.text, (*note.signatures, line)))
    assert verify_checkpoint(both, note_key("log.example", KEY.public_key())) == checkpoint
    with pytest.raises(Refused, match="is not signed by"):
        verify_checkpoint(encode_note(Note(note.text, (line,))), note_key("log.example", KEY.public_key()))
