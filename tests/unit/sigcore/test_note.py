# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from sigcore import keys, limits, note
from sigcore.errors import Malformed, Refused, SigError
from sigcore.note import Note, NoteSignature

ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ECDSA = ec.derive_private_key(7, ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
NAME = "log.example/2026"
TEXT = "If you think cryptography is the answer to your problem,\n\nthen you do not know what your problem is.\n"
ANY_KEY = pytest.mark.parametrize("key", [ED25519, ECDSA, RSA], ids=["ed25519", "ecdsa", "rsa"])


def lines(*rows):
    return f"{TEXT}\n{''.join(rows)}"


# The 5 smallest bytes that make a signature line: a key hash and one byte.
LINE = "— example AAAAAAA=\n"


# --- keys -------------------------------------------------------------------------------------------------
def test_the_key_of_the_go_packages_documentation():
    spelled = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    name, key_hash, blob = spelled.split("+", 2)
    raw = note.parse_base64(blob, what="key")
    assert raw[0] == 1
    key = note.note_key(name, ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]))
    assert key.id[:4].hex() == key_hash
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert note.verify_note(note.parse_note(f"{text}\n{line}"), key).signature[:2] == bytes.fromhex("f649")


def test_key_ids_by_type():
    def sha(*parts):
        return hashlib.sha256(b"".join(parts)).digest()

    def key_id(key, name=NAME):
        return note.note_key(name, key.public_key()).id

    spki = keys.encode_public_key(RSA.public_key())
    assert key_id(ED25519) == sha(NAME.encode(), b"\x0a\x01", ED25519.public_key().public_bytes_raw())
    assert key_id(RSA) == sha(NAME.encode(), b"\x0a\xffPKIX-RSA-PKCS#1v1.5", spki)
    assert key_id(ECDSA) == key_id(ECDSA, "other") == sha(keys.encode_public_key(ECDSA.public_key()))
    assert key_id(ED25519) != key_id(ED25519, "other")


def test_ecdsa_keys_of_other_curves_are_refused():
    with pytest.raises(Refused, match="secp384r1"):
        note.note_key(NAME, ec.derive_private_key(7, ec.SECP384R1()).public_key())


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003", "\u0085"])
def test_key_names_with_spaces_or_plus_are_malformed(name):
    with pytest.raises(Malformed, match="note key name"):
        note.note_key(name, ED25519.public_key())
    with pytest.raises(Malformed):
        note.parse_note(lines(f"— {name} AAAAAAA=\n"))


# --- sign and verify --------------------------------------------------------------------------------------
@ANY_KEY
def test_sign_then_verify(key):
    signed = note.sign_note(TEXT, NAME, key)
    parsed = note.parse_note(note.encode_note(signed))
    assert parsed == signed
    assert note.verify_note(parsed, note.note_key(NAME, key.public_key())) == signed.signatures[0]


@ANY_KEY
def test_another_text_does_not_verify(key):
    signed = note.sign_note(TEXT, NAME, key)
    for text in (TEXT + "\n", TEXT[:-2] + "\n", TEXT.replace("problem", "Problem")):
        with pytest.raises(Refused, match=f"{NAME} does not verify"):
            note.verify_note(Note(text, signed.signatures), note.note_key(NAME, key.public_key()))


@ANY_KEY
def test_a_flipped_bit_in_the_signature_does_not_verify(key):
    signed = note.sign_note(TEXT, NAME, key)
    [line] = signed.signatures
    for position in range(0, len(line.signature), 7):
        blob = bytearray(line.signature)
        blob[position] ^= 1
        changed = Note(TEXT, (NoteSignature(NAME, line.key_hash, bytes(blob)),))
        with pytest.raises(Refused):
            note.verify_note(changed, note.note_key(NAME, key.public_key()))


def test_lines_of_unknown_keys_are_ignored():
    signed = note.sign_note(TEXT, NAME, ED25519)
    [line] = signed.signatures
    others = (
        NoteSignature("witness", b"\x00\x01\x02\x03", b"\x04" * 72),
        NoteSignature(NAME, b"\x00\x01\x02\x03", b"same name"),
        NoteSignature("other", line.key_hash, b"same id"),
    )
    key = note.note_key(NAME, ED25519.public_key())
    parsed = note.parse_note(note.encode_note(Note(TEXT, (*others, line, *others))))
    assert note.verify_note(parsed, key) == line
    with pytest.raises(
        Refused, match=rf"not signed by {NAME}\+{key.id[:4].hex()} \(it is signed by 'witness\+00010203"
    ):
        note.verify_note(Note(TEXT, others), key)


def test_one_bad_line_of_a_known_key_spoils_the_note():
    signed = note.sign_note(TEXT, NAME, ED25519)
    [line] = signed.signatures
    key = note.note_key(NAME, ED25519.public_key())
    bad = NoteSignature(NAME, line.key_hash, bytes(64))
    assert note.verify_note(Note(TEXT, (line, line)), key) == line
    for order in ((line, bad), (bad, line)):
        with pytest.raises(Refused, match="does not verify"):
            note.verify_note(Note(TEXT, order), key)


COLLIDING = [
    [ed25519.Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32)) for seed in (39041, 228153)],
    [ec.derive_private_key(scalar, ec.SECP256R1()) for scalar in (111185, 112152)],
]
"""Two keys with one name and one short id, found among 230,000 and 110,000."""


@pytest.mark.parametrize("pair", COLLIDING, ids=["ed25519", "ecdsa"])
def test_v18_of_two_keys_with_one_short_id_each_verifies_what_it_has_signed(pair):
    one, other = (note.note_key(NAME, key.public_key()) for key in pair)
    assert one.id[:4] == other.id[:4]
    assert one.id != other.id
    signed, foreign = (note.sign_note(TEXT, NAME, key) for key in pair)
    assert note.verify_note(signed, one) == signed.signatures[0]
    assert note.verify_note(foreign, other) == foreign.signatures[0]
    for by_another, key in ((signed, other), (foreign, one)):
        with pytest.raises(Refused, match="does not verify"):
            note.verify_note(by_another, key)
    both = (*signed.signatures, *foreign.signatures)
    for order in (both, both[::-1]):
        for key in (one, other):
            with pytest.raises(Refused, match="does not verify"):
                note.verify_note(Note(TEXT, order), key)


# --- form -------------------------------------------------------------------------------------------------
def test_the_last_empty_line_separates():
    assert note.parse_note(lines(LINE)).text == TEXT
    assert note.parse_note(f"\n\n\n{LINE}").text == "\n\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no empty line"),
        (TEXT, "where a signature line was expected"),
        ("text\n" + LINE, "no empty line"),
        (f"text\n\n{LINE}\n", "no empty line"),
        ("text\n\n", "no empty line"),
        (lines(LINE[:-1]), "does not end with a newline"),
        (lines(LINE, "\n"), "no empty line"),
        (lines(LINE.replace("\n", "\r\n")), r"control character '\\r'"),
        (lines(LINE).replace("\n", "\r\n"), r"control character '\\r'"),
        (lines(LINE).replace(" ", "\t", 1), r"control character '\\t'"),
        ("\x00" + lines(LINE), r"control character '\\x00'"),
        ("\ud800" + lines(LINE), "lone surrogate"),
        (lines(LINE.replace("—", "-")), "signature line was expected"),
        (lines(LINE.replace("— ", "—")), "signature line was expected"),
        (lines("—  example AAAAAAA=\n"), "key name is ''"),
        (lines(" " + LINE), "signature line was expected"),
        (lines("— example\n"), "signature line was expected"),
        (lines("— example AAAAAAA= \n"), "not base64|not canonical"),
        (lines("— example  AAAAAAA=\n"), "not base64|not canonical"),
        (lines("— example AAAAAAA\n"), "not base64"),
        (lines("— example AAAAAAB=\n"), "not canonical base64"),
        (lines("— example AAAA_AA=\n"), "not base64"),
        (lines("— example AAAA\n"), "has 3 bytes, expected more than 4"),
        (lines("— example AAAAAA==\n"), "has 4 bytes, expected more than 4"),
        (lines("— example \n"), "has 0 bytes"),
        (lines(*[LINE] * (limits.NOTE_SIGNATURES + 1)), "has 65 signatures, the limit is 64"),
        ("x" * limits.NOTE + lines(LINE), "the limit is 65536"),
    ],
)
def test_malformed_notes(text, message):
    with pytest.raises(Malformed, match=message):
        note.parse_note(text)


def test_the_largest_notes_that_are_read():
    assert len(note.parse_note(lines(*[LINE] * limits.NOTE_SIGNATURES)).signatures) == 64
    room = limits.NOTE - len(lines(LINE))
    assert len(note.parse_note("x" * room + lines(LINE)).text) == room + len(TEXT)
    with pytest.raises(Malformed, match="65537 characters"):
        note.parse_note("x" * (room + 1) + lines(LINE))


@pytest.mark.parametrize(
    "bad",
    [
        Note("no newline", (NoteSignature("a", b"1234", b"5"),)),
        Note("", (NoteSignature("a", b"1234", b"5"),)),
        Note("text\n", ()),
        Note("text\n", (NoteSignature("a", b"123", b"45"),)),
        Note("text\n", (NoteSignature("a b", b"1234", b"5"),)),
        Note("text\n", (NoteSignature("a\n", b"1234", b"5"),)),
        Note("text\r\n", (NoteSignature("a", b"1234", b"5"),)),
    ],
)
def test_what_could_not_be_read_back_is_not_written(bad):
    with pytest.raises(Malformed):
        note.encode_note(bad)


@given(
    st.text() | st.text("\n— aA=+", max_size=60) | st.text("\n aA=", max_size=30).map(lambda text: lines(LINE) + text)
)
def test_a_note_that_parses_is_its_own_encoding(text):
    try:
        parsed = note.parse_note(text)
    except SigError:
        return
    assert note.encode_note(parsed) == text
