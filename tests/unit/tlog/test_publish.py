# SPDX-License-Identifier: Apache-2.0
"""What a log signs about itself, written from its fixed shape, is what the strict encoders write."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import keys
from sigcore.checkpoint import Checkpoint, encode_checkpoint, parse_checkpoint, verify_checkpoint
from sigcore.errors import Malformed
from sigcore.note import encode_note, parse_note
from tlog.publish import CheckpointPublisher

ROOT = hashlib.sha256(b"root").digest()


@pytest.mark.parametrize("signer", [None, "log.example"])
@pytest.mark.parametrize("size", [0, 1, 256, 2**63 - 1])
@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), keys.generate_p256()])
def test_a_checkpoint_is_what_the_encoders_write(key, size: int, signer: str | None):
    publisher = CheckpointPublisher("log.example - 17" if signer else "log.example", key, signer=signer)
    envelope = publisher.sign(size, ROOT, 0).verified()
    note = parse_note(envelope)
    assert encode_note(note) == envelope
    assert note.text == encode_checkpoint(Checkpoint(publisher.origin, size, ROOT))
    assert parse_checkpoint(note.text) == verify_checkpoint(envelope, publisher.note_key, allow_origin=publisher.origin)
    assert [line.name for line in note.signatures] == ["log.example"]


@pytest.mark.parametrize("origin", ["two\nlines", "", "a" * 100_000])
def test_an_origin_that_no_checkpoint_can_have_is_refused_before_anything_is_signed(origin: str):
    with pytest.raises(Malformed):
        CheckpointPublisher(origin, keys.generate_p256(), signer="log.example")
