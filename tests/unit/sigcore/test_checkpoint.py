# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from sigcore import checkpoint, merkle, note, tiles
from sigcore.checkpoint import Checkpoint
from sigcore.errors import Malformed, Refused, SigError

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOTE_KEY = note.note_key("log.example", KEY.public_key())
ROOT = merkle.hash_leaf(b"")
HEAD = Checkpoint("log.example", 1234, ROOT)
TEXT = f"log.example\n1234\n{base64.b64encode(ROOT).decode()}\n"


def test_text_form():
    assert checkpoint.encode_checkpoint(HEAD) == TEXT
    assert checkpoint.parse_checkpoint(TEXT) == HEAD
    assert len(checkpoint.parse_checkpoint("o" * 244 + TEXT).origin) == 255
    extended = Checkpoint("log.example", 1234, ROOT, ("Timestamp: 1", "a b"))
    assert checkpoint.encode_checkpoint(extended) == f"{TEXT}Timestamp: 1\na b\n"
    assert checkpoint.parse_checkpoint(f"{TEXT}Timestamp: 1\na b\n") == extended


@pytest.mark.parametrize(
    "size", ["007", "+1", "1_0", " 1", "1 ", "-1", "0x1", "1.0", "1e3", "٣", "", str(2**63), "9" * 5000]
)
def test_sizes_in_another_spelling_are_malformed(size):
    with pytest.raises(Malformed):
        checkpoint.parse_checkpoint(TEXT.replace("1234", size))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "", "does not end with a newline"),
        (lambda text: text[:-1], "does not end with a newline"),
        (lambda _: "\n", "1 lines"),
        (lambda _: "log.example\n1234\n", "has 2 lines"),
        (lambda text: "\n" + text, "none empty"),
        (lambda text: text + "\n", "none empty"),
        (lambda text: text + "\nextension\n", "none empty"),
        (lambda text: text.replace("=\n", "\n"), "not base64"),
        (lambda text: text.replace("=\n", "= \n"), "not base64|not canonical"),
        (lambda text: text.replace("=\n", "==\n"), "not base64|not canonical"),
        (lambda text: text.replace("0=", "1="), "not canonical base64"),
        (lambda text: text[:-5] + "\n", "root has 30 bytes, expected 32"),
        (lambda text: "o" * 245 + text, "origin is 256 characters"),
    ],
)
def test_malformed_checkpoints(change, message):
    assert "0=" in TEXT
    with pytest.raises(Malformed, match=message):
        checkpoint.parse_checkpoint(change(TEXT))


@pytest.mark.parametrize(
    "bad",
    [
        Checkpoint("", 1, ROOT),
        Checkpoint("a\nb", 1, ROOT),
        Checkpoint("a", -1, ROOT),
        Checkpoint("a", 2**63, ROOT),
        Checkpoint("a", 1, ROOT[1:]),
        Checkpoint("a", 1, ROOT, ("",)),
        Checkpoint("a", 1, ROOT, ("b\nc",)),
        Checkpoint("a\n1", 1, ROOT, ()),
    ],
)
def test_what_could_not_be_read_back_is_not_written(bad):
    with pytest.raises(Malformed):
        checkpoint.encode_checkpoint(bad)


def test_sign_then_verify():
    for key in (KEY, ec.derive_private_key(7, ec.SECP256R1())):
        envelope = checkpoint.sign_checkpoint(HEAD, key)
        assert envelope.startswith(f"{TEXT}\n— log.example ")
        assert checkpoint.verify_checkpoint(envelope, note.note_key("log.example", key.public_key())) == HEAD


def test_every_changed_byte_of_the_text_is_refused():
    envelope = checkpoint.sign_checkpoint(HEAD, KEY)
    for position in range(len(TEXT)):
        changed = envelope[:position] + chr(ord(envelope[position]) ^ 1) + envelope[position + 1 :]
        with pytest.raises(SigError):
            checkpoint.verify_checkpoint(changed, NOTE_KEY)


def test_the_origin_must_be_the_keys_name_or_the_one_allowed():
    rekor_v1 = Checkpoint("log.example - 42", 1234, ROOT)
    envelope = note.encode_note(note.sign_note(checkpoint.encode_checkpoint(rekor_v1), "log.example", KEY))
    with pytest.raises(Refused, match=r"of the log 'log.example - 42', expected 'log.example'"):
        checkpoint.verify_checkpoint(envelope, NOTE_KEY)
    assert checkpoint.verify_checkpoint(envelope, NOTE_KEY, allow_origin="log.example - 42") == rekor_v1
    with pytest.raises(Refused, match=r"expected 'log.example - 43'"):
        checkpoint.verify_checkpoint(envelope, NOTE_KEY, allow_origin="log.example - 43")
    with pytest.raises(Refused, match="not signed by"):
        checkpoint.verify_checkpoint(
            checkpoint.sign_checkpoint(HEAD, ec.derive_private_key(7, ec.SECP256R1())), NOTE_KEY
        )
    with pytest.raises(Malformed, match="note key name"):
        checkpoint.sign_checkpoint(rekor_v1, KEY)


def test_what_is_signed_but_no_checkpoint_is_malformed():
    envelope = note.encode_note(note.sign_note("log.example\n1\n", "log.example", KEY))
    with pytest.raises(Malformed, match="has 2 lines"):
        checkpoint.verify_checkpoint(envelope, NOTE_KEY)


@given(
    st.text()
    | st.from_regex(r"[ab ]{0,3}\n[0-9+_ ]{1,3}\n[AB/]{42,43}=?=?\n([ab]{0,2}\n){0,2}", fullmatch=True)
    | st.builds("{}\n{}\n{}\n".format, st.text("ab", min_size=1), st.integers(), st.binary(min_size=32, max_size=32).map(
        lambda root: base64.b64encode(root).decode()))
)  # fmt: skip
def test_a_checkpoint_that_parses_is_its_own_encoding(text):
    try:
        parsed = checkpoint.parse_checkpoint(text)
    except SigError:
        return
    assert checkpoint.encode_checkpoint(parsed) == text


# --- third-party vectors ----------------------------------------------------------------------------------
TESSERA_KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


@pytest.fixture
def tessera(vectors: Path):
    name, key_hash, blob = TESSERA_KEY.split("+", 2)
    raw = base64.b64decode(blob)
    key = note.note_key(name, ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]))
    assert (raw[0], key.id[:4].hex()) == (1, key_hash)
    return vectors / "tessera-log", key


def test_tessera_checkpoints_tiles_and_entries_agree(tessera):
    folder, key = tessera
    heads = {}
    for size in range(16):
        envelope = (folder / f"checkpoint.{size}").read_text()
        heads[size] = head = checkpoint.verify_checkpoint(envelope, key)
        assert note.encode_note(note.parse_note(envelope)) == envelope
        assert head.size == size
        place = tiles.encode_entries_path(0, size) if size else None
        hashes = tiles.parse_tile((folder / "tile" / "0" / place).read_bytes(), size) if place else ()
        bodies = tiles.parse_entry_bundle((folder / "tile" / "entries" / place).read_bytes(), size) if place else ()
        assert tuple(map(merkle.hash_leaf, bodies)) == hashes
        assert merkle.Frontier().extend(hashes).root() == head.root
    assert checkpoint.verify_checkpoint((folder / "checkpoint").read_text(), key) == heads[15]


def test_tessera_checkpoints_are_consistent(tessera):
    folder, key = tessera
    heads = [checkpoint.verify_checkpoint((folder / f"checkpoint.{n}").read_text(), key) for n in range(16)]
    nodes = {}
    leaves = tiles.parse_tile((folder / "tile" / "0" / "000.p" / "15").read_bytes(), 15)
    merkle.Frontier().extend(leaves, lambda level, index, hash_: nodes.update({(level, index): hash_}))
    for second in range(1, 16):
        for first in range(1, second + 1):
            proof = merkle.consistency_proof(first, second, lambda level, index: nodes[level, index])
            merkle.verify_consistency(
                first=first,
                second=second,
                first_root=heads[first].root,
                second_root=heads[second].root,
                proof=proof,
            )
