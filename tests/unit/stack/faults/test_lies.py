# SPDX-License-Identifier: Apache-2.0
"""Each lie is wrong in one place, and our own verification names that place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore import canonical, der, extensions, keys, precertificate, sct
from sigcore.chain import verify_signed_by
from sigcore.errors import Refused
from sigcore.timestamp import parse_response
from sigcore.x509 import SUBJECT_ALTERNATIVE_NAME
from stack.bootstrap import load_ca, load_tsa
from stack.faults import fulcio, rekor, tsa, tuf
from stack.faults.answers import altered
from tests.unit.stack.faults.conftest import Changing, Stack

pytestmark = pytest.mark.asyncio(loop_scope="package")
ENTRIES = "/log/entries"
TIMESTAMP = "/api/v1/timestamp"
CERTIFICATE = "/signingCert"


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict) and list(before) == list(after):
        for name in before:
            yield from differences(before[name], after[name], f"{path}/{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{path}/{number}")
    elif before != after:
        yield path


async def refused(stack: Stack, ending: str, change, message: str, version: int = 2) -> tuple[bytes, bytes]:
    """The answer before and after ``change``, which our client refused."""
    transport = Changing(stack.http, ending, change)
    with pytest.raises(Refused, match=message):
        await stack.sign(transport, version)
    ((before, after),) = transport.seen
    return before, after


async def answer(stack: Stack, ending: str, version: int = 2) -> bytes:
    """One answer of a signing that went well."""
    transport = Changing(stack.http, ending)
    await stack.sign(transport, version)
    return transport.seen[0][0]


# --- Rekor -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        (rekor.wrong_proof, "hashes/0", "inclusion proof leads to the root"),
        (rekor.wrong_root, "rootHash", "the log signed size"),
        (rekor.wrong_checkpoint, "checkpoint", "note signature of localhost does not verify"),
    ],
)
async def test_a_proof_is_wrong_in_one_place(stack: Stack, version, change, place, message):
    before, after = await refused(stack, ENTRIES, change, message, version)
    (found,) = differences(json.loads(before), json.loads(after))
    assert f"/inclusionProof/{place}" in found


async def test_a_promise_is_wrong_in_itself_alone(stack: Stack):
    before, after = await refused(stack, ENTRIES, rekor.wrong_set, r"promise \(SET\) .* does not verify", 1)
    (found,) = differences(json.loads(before), json.loads(after))
    assert found.endswith("/verification/signedEntryTimestamp")
    v2 = await answer(stack, ENTRIES)
    assert json.loads(rekor.wrong_set(v2)) == json.loads(v2), "Rekor v2 has no promise"


async def test_a_wrong_checkpoint_keeps_what_it_says_and_whose_signature_it_claims(stack: Stack):
    before = await answer(stack, ENTRIES)
    texts = [
        json.loads(one)["inclusionProof"]["checkpoint"]["envelope"] for one in (before, rekor.wrong_checkpoint(before))
    ]
    first, second = (rekor.parse_note(text) for text in texts)
    assert first.text == second.text
    assert [line.key_hash for line in first.signatures] == [line.key_hash for line in second.signatures]


async def test_an_empty_proof_gets_a_hash_too_many():
    entry = {"inclusionProof": {"hashes": [], "rootHash": "AA=="}}
    (hash_,) = json.loads(rekor.wrong_proof(json.dumps(entry).encode()))["inclusionProof"]["hashes"]
    assert len(hash_) == 44


async def test_entries_that_were_retrieved_together_are_all_changed(stack: Stack):
    one = json.loads(await answer(stack, ENTRIES, 1))
    changed = json.loads(rekor.wrong_root(json.dumps([one, one]).encode()))
    assert len(list(differences([one, one], changed))) == 2


# --- timestamps ------------------------------------------------------------------------------------------------------
def told(before: bytes, after: bytes) -> list[str]:
    """The members of TSTInfo that differ."""
    infos = [parse_response(one).info for one in (before, after)]
    return [one.name for one in fields(infos[0]) if getattr(infos[0], one.name) != getattr(infos[1], one.name)]


async def test_a_signature_of_a_timestamp_differs_in_one_bit(stack: Stack):
    before, after = await refused(stack, TIMESTAMP, tsa.wrong_timestamp, "signature of the timestamp token")
    assert told(before, after) == []
    assert [a ^ b for a, b in zip(before, after, strict=True) if a != b] == [1]


@pytest.mark.parametrize(
    ("change", "member", "message"),
    [
        (tsa.of_other_imprint, "digest", "another message imprint"),
        (tsa.of_other_nonce, "nonce", "request's nonce"),
        (lambda info: replace(info, time=info.time + timedelta(hours=3)), "time", "vouches for the certificate at"),
        (lambda info: replace(info, time=info.time - timedelta(hours=3)), "time", "at"),
    ],
)
async def test_a_timestamp_says_one_thing_that_is_not_so_and_is_signed(stack: Stack, change, member, message):
    key, chain = load_tsa(stack.home)
    lie = partial(tsa.says, key=key, chain=chain, change=change)
    before, after = await refused(stack, TIMESTAMP, lie, message)
    assert told(before, after) == [member]
    kept = [parse_response(one).token.certificates for one in (before, after)]
    assert kept[0] == kept[1]


async def test_a_rejection_is_well_formed(stack: Stack):
    await refused(stack, TIMESTAMP, tsa.no_grant, r"answered rejection \(systemFailure\)")


# --- certificates ----------------------------------------------------------------------------------------------------
def leaves(before: bytes, after: bytes) -> list:
    return [fulcio.chain_of(one)[0] for one in (before, after)]


async def test_a_wrong_sct_is_all_that_differs_in_a_certificate_of_the_authority(stack: Stack):
    key, chain = load_ca(stack.home)

    def lie(body: bytes) -> bytes:
        leaf, *others = fulcio.chain_of(body)
        return fulcio.encode_chain(body, (fulcio.with_wrong_stamp(leaf, key), *others))

    first, second = leaves(*await refused(stack, CERTIFICATE, lie, "the SCT's signature does not verify"))
    verify_signed_by(second, chain[0])
    assert precertificate.precert_tbs(first) == precertificate.precert_tbs(second)
    ((one,), (other,)) = map(sct.embedded_scts, (first, second))
    assert replace(other, signature=one.signature) == one
    assert other.signature == altered(one.signature)


async def test_a_strangers_chain_holds_in_itself(stack: Stack):
    def lie(body: bytes) -> bytes:
        return fulcio.encode_chain(body, fulcio.of_a_stranger(fulcio.chain_of(body)))

    before, after = await refused(stack, CERTIFICATE, lie, "vouches for the certificate")
    first, second = leaves(before, after)
    assert first.tbs == second.tbs
    leaf, issuer, root = fulcio.chain_of(after)
    verify_signed_by(leaf, issuer)
    verify_signed_by(issuer, root)
    assert [one.subject for one in (issuer, root)] == [one.subject for one in fulcio.chain_of(before)[1:]]


async def test_the_chain_of_an_answer_is_written_as_it_was_read(stack: Stack):
    v2 = await answer(stack, CERTIFICATE)
    chain = fulcio.chain_of(v2)
    assert json.loads(fulcio.encode_chain(v2, chain)) == json.loads(v2)
    v1 = "\n".join(json.loads(v2)["signedCertificateEmbeddedSct"]["chain"]["certificates"]).encode()
    assert fulcio.chain_of(v1) == chain
    assert fulcio.encode_chain(v1, chain) == v1


async def test_one_field_of_a_certificate_is_another(stack: Stack):
    leaf = fulcio.chain_of(await answer(stack, CERTIFICATE))[0]
    tbs = precertificate.precert_tbs(leaf)
    key = keys.generate_p256()
    stamp = sct.sign_sct(sct.PrecertEntry(bytes(32), tbs), 0, key)
    earlier = fulcio.with_stamp(fulcio.of_another_time(tbs, leaf, timedelta(hours=-1)), stamp, key)
    assert (leaf.not_before - earlier.not_before, leaf.not_after - earlier.not_after) == (timedelta(hours=1),) * 2
    assert [one for one, other in zip(*map(parts, (leaf, earlier)), strict=True) if one != other] == [
        der.sequence(der.time(leaf.not_before), der.time(leaf.not_after))
    ]
    named = fulcio.with_stamp(fulcio.of_another_name(tbs, "eve@example.com"), stamp, key)
    changed = [one.oid for one in leaf.extensions if one not in named.extensions]
    assert changed == [SUBJECT_ALTERNATIVE_NAME, extensions.SCT_LIST]
    assert parts(leaf)[:-1] == parts(named)[:-1]


def parts(certificate) -> list[bytes]:
    return der.members(precertificate.precert_tbs(certificate))


# --- TUF -------------------------------------------------------------------------------------------------------------
KEY = ed25519.Ed25519PrivateKey.generate()
SIGNED = {"_type": "timestamp", "expires": "2030-01-01T00:00:00Z", "version": 2}
METADATA = json.dumps(
    {"signatures": [{"keyid": "00", "sig": KEY.sign(canonical.encode(SIGNED)).hex()}], "signed": SIGNED}
)


def verify(metadata: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(metadata)
    KEY.public_key().verify(bytes.fromhex(document["signatures"][0]["sig"]), canonical.encode(document["signed"]))
    return document["signed"]


async def test_metadata_say_one_thing_that_is_not_so_and_are_signed():
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    expired = verify(tuf.expired(METADATA.encode(), KEY, moment))
    assert expired == SIGNED | {"expires": "2026-01-02T03:04:05Z"}
    assert verify(tuf.rolled_back(METADATA.encode(), KEY)) == SIGNED | {"version": 1}
    first = tuf.rolled_back(METADATA.encode(), KEY)
    with pytest.raises(Refused, match="there is none before it"):
        tuf.rolled_back(first, KEY)


async def test_the_signature_of_metadata_is_all_that_is_wrong():
    wrong = json.loads(tuf.wrong_signature(METADATA.encode()))
    assert list(differences(json.loads(METADATA), wrong)) == ["/signatures/0/sig"]
    with pytest.raises(InvalidSignature):
        verify(json.dumps(wrong).encode())
