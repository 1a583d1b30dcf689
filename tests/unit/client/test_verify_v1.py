# SPDX-License-Identifier: Apache-2.0
"""Rekor v1 and attestations: each step of the verification by the one defect that only it can see.

The codes V.. are those of the threat model's test list.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from client.verify import verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.log import verify_head
from client.verify.report import list_checks
from client.verify.signed import ManagedKey, digest_algorithm
from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import SigError
from sigcore.trustroot import Validity
from tests.unit.client.minilog import NOW, MiniLogV1
from tests.unit.client.minisig import (
    ARTIFACT,
    ATTESTATIONS,
    EMAIL,
    ISSUER,
    START,
    MiniSigstore,
    digest_of,
    statement_about,
)

DIGEST = digest_of(ARTIFACT)
POLICY = IdentityPolicy(ISSUER, EMAIL)
PREDICATE = "https://example.com/p/v1"
V01 = "application/vnd.dev.sigstore.bundle+json;version=0.1"
V02 = "application/vnd.dev.sigstore.bundle+json;version=0.2"


def verify(bundle, sigstore, *, root=None, digest=DIGEST, who=POLICY):
    return verify_blob(bundle, digest, root=root or sigstore.root, identity=who)


def attested(bundle, sigstore, *, digest=DIGEST, who=POLICY, predicate_type=""):
    return verify_attestation(bundle, digest, root=sigstore.root, identity=who, predicate_type=predicate_type)


def refused(message, check, *given, **more):
    with pytest.raises(SigError, match=message):
        check(*given, **more)


def with_entry(bundle, **changes):
    return replace(bundle, log_entries=(replace(bundle.log_entries[0], **changes),))


# --- versions of the bundle ------------------------------------------------------------------------------
@pytest.mark.parametrize("media_type", [V01, V02, None])
@pytest.mark.parametrize("intermediates", [0, 1])
def test_every_version_of_the_bundle(sigstore, media_type, intermediates):
    bundle = sigstore.sign_v1()
    if media_type:
        chain = (sigstore.ca.intermediate.der,) * intermediates
        bundle = replace(bundle, media_type=media_type, intermediates=chain)
    bundle = parse_bundle(encode_bundle(bundle))
    verified = verify(bundle, sigstore)
    assert [time.time for time in verified.times] == [NOW]
    assert verified.entries[0].kind == "hashedrekord 0.0.1"


def test_version_01_may_have_a_promise_and_no_proof(sigstore):
    """The report does not claim a place in the tree that nothing proved."""
    bundle = with_entry(replace(sigstore.sign_v1(), media_type=V01), proof=None)
    verified = verify(parse_bundle(encode_bundle(bundle)), sigstore)
    (check,) = (check for check in list_checks(verified) if check.name == "transparency")
    assert "has promised to hold" in check.what
    assert check.value == f"index {bundle.log_entries[0].index}"


def test_a_proof_without_checkpoint_is_none_whatever_the_log_has_promised(sigstore):
    bundle = replace(sigstore.sign_v1(), media_type=V01)
    proof = replace(bundle.log_entries[0].proof, checkpoint="")
    refused("no proof with a checkpoint$", verify, with_entry(bundle, proof=proof), sigstore)


@pytest.mark.parametrize(
    ("media_type", "drop", "message"),
    [
        (V01, "promise", "inclusionPromise is missing, which version 0.1 requires"),
        (V02, "proof", "inclusionProof is missing, which version 0.2 requires"),
        (None, "proof", "inclusionProof is missing, which version 0.3 requires"),
    ],
)
def test_what_each_version_requires(sigstore, media_type, drop, message):
    bundle = with_entry(sigstore.sign_v1(), **{drop: None})
    bundle = replace(bundle, media_type=media_type) if media_type else bundle
    refused(message, parse_bundle, encode_bundle(bundle))


def test_a_v2_entry_cannot_do_without_a_proof(sigstore):
    bundle = with_entry(sigstore.sign(), proof=None)
    refused("no proof with a checkpoint, and no promise", verify, bundle, sigstore)


def test_the_chain_of_an_old_bundle_holds_what_is_needed_and_no_root(sigstore):
    bundle = replace(sigstore.sign_v1(), media_type=V02)
    ca = sigstore.ca
    root = replace(bundle, intermediates=(ca.intermediate.der, ca.root.der))
    refused("chain contains a root", verify, root, sigstore)
    foreign = replace(bundle, intermediates=(MiniSigstore("other").ca.intermediate.der,))
    refused("not the one that leads to the trusted root", verify, foreign, sigstore)


# --- 2 times ---------------------------------------------------------------------------------------------
def test_v06_a_time_that_nothing_signs_does_not_count(sigstore):
    """CVE-2024-55655, CVE-2026-48816."""
    bundle = with_entry(sigstore.sign_v1(), promise=None)
    refused("nothing says when it was signed", verify, bundle, sigstore)
    stamped = replace(bundle, timestamps=(sigstore.timestamp(bundle.signature),))
    late = with_entry(stamped, integrated_time=int((NOW + timedelta(days=900)).timestamp()))
    assert [time.authority for time in verify(late, sigstore).times] == ["mini tsa"]


def test_v06_the_promise_covers_every_word_of_the_entry(sigstore):
    bundle = sigstore.sign_v1()
    entry = bundle.log_entries[0]
    for change in (
        {"integrated_time": entry.integrated_time + 1},
        {"index": entry.index + 1},
        {"promise": MiniSigstore("other").log_v1.promise(entry).promise},
        {"promise": b"\x30\x06\x02\x01\x00\x02\x01\x00"},  # V22: r = s = 0
    ):
        refused(r"promise \(SET\) .* does not verify", verify, with_entry(bundle, **change), sigstore)


def test_a_promise_without_a_time(sigstore):
    entry = sigstore.log_v1.promise(replace(sigstore.sign_v1().log_entries[0], integrated_time=0))
    refused("no time that it is of", verify, replace(sigstore.sign_v1(), log_entries=(entry,)), sigstore)


def test_a_time_beyond_the_calendar(sigstore):
    bundle = sigstore.sign_v1()
    entry = sigstore.log_v1.promise(replace(bundle.log_entries[0], integrated_time=2**53 - 1))
    refused("no moment of the calendar", verify, replace(bundle, log_entries=(entry,)), sigstore)


@pytest.mark.parametrize("minutes", [-2, 10])
def test_v08_the_promised_time_must_lie_within_the_certificate(sigstore, minutes):
    bundle = sigstore.sign_v1()
    time = int((NOW + timedelta(minutes=minutes)).timestamp())
    entry = sigstore.log_v1.promise(replace(bundle.log_entries[0], integrated_time=time))
    refused("no trusted certificate authority vouches", verify, replace(bundle, log_entries=(entry,)), sigstore)


def test_v08_the_window_of_a_v1_log_includes_both_ends(sigstore):
    bundle, second = sigstore.sign_v1(), timedelta(seconds=1)

    def root(window):
        return replace(sigstore.root, logs=tuple(replace(log, validity=window) for log in sigstore.root.logs))

    for window in (Validity(NOW), Validity(START, NOW)):
        verify(bundle, sigstore, root=root(window))
    for window in (Validity(NOW + second), Validity(START, NOW - second)):
        refused("the signature is of .* the log .* is trusted from", verify, bundle, sigstore, root=root(window))


def test_a_timestamp_beside_a_promise_must_hold_too(sigstore):
    bundle = sigstore.sign_v1()
    both = replace(bundle, timestamps=(sigstore.timestamp(bundle.signature),))
    assert len(verify(both, sigstore).times) == 2
    wrong = replace(bundle, timestamps=(sigstore.timestamp(b"other"),))
    refused("timestamp 1 of 1: .*another message", verify, wrong, sigstore)


# --- 6 transparency --------------------------------------------------------------------------------------
def test_v01_a_genuine_entry_of_another_signature(sigstore):
    bundle, other = sigstore.sign_v1(), sigstore.sign_v1()
    swapped = replace(bundle, log_entries=other.log_entries)
    refused("spec.signature.content, spec.signature.publicKey.content differs", verify, swapped, sigstore)


def test_v01_a_body_in_another_spelling_is_another_entry(sigstore):
    bundle = sigstore.sign_v1()
    for body in (bundle.log_entries[0].body.replace(b"{", b"{ ", 1), b"[]", b"{}", b"\xff", b""):
        entry = sigstore.log_v1.promise(replace(bundle.log_entries[0], body=body))
        refused("not about this signature", verify, replace(bundle, log_entries=(entry,)), sigstore)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("sig.example - 1x", "expected 'sig.example' and its tree"),
        ("sig.example.evil - 1", "expected 'sig.example' and its tree"),
        ("evil - 1", "expected 'sig.example' and its tree"),
    ],
)
def test_v05_a_checkpoint_of_another_origin(sigstore, origin, message):
    bundle = sigstore.sign_v1()
    log = sigstore.log_v1
    body = bundle.log_entries[0].body
    entry = log.promise(replace(bundle.log_entries[0], proof=log.grow(body, origin)))
    refused(message, verify, replace(bundle, log_entries=(entry,)), sigstore)


def test_v05_a_checkpoint_that_the_log_has_not_signed(sigstore):
    bundle = sigstore.sign_v1()
    forger = MiniLogV1("sig.example")
    forged = forger.grow(bundle.log_entries[0].body, "sig.example - 4242")
    refused("the note is not signed by sig.example", verify, with_entry(bundle, proof=forged), sigstore)


@pytest.mark.parametrize("first", [0, 1])
def test_v18_of_two_trusted_logs_with_one_short_id_each_entry_is_verified_by_its_own(first):
    """Their keys have one 4-byte id in checkpoints, and the logs one name."""
    mine = MiniSigstore("mine")
    logs = [MiniLogV1("sig.example", key=ec.derive_private_key(scalar, ec.SECP256R1())) for scalar in (111185, 112152)]
    assert logs[0].id[:4] == logs[1].id[:4]
    root = replace(mine.root, logs=tuple(map(MiniSigstore._instance, (logs[first], logs[1 - first]))))
    for mine.log_v1, other in (logs, logs[::-1]):
        bundle = mine.sign_v1()
        verify(bundle, mine, root=root)
        entry = bundle.log_entries[0]
        of_another = mine.log_v1.promise(replace(entry, proof=other.grow(entry.body, "sig.example - 4242")))
        refused("does not verify", verify, replace(bundle, log_entries=(of_another,)), mine, root=root)


@pytest.mark.parametrize("generation", [1, 2])
def test_v05_a_head_that_is_kept_holds_for_its_log_and_text_only(sigstore, generation):
    bundle = sigstore.sign_v1() if generation == 1 else sigstore.sign()
    proof, place = bundle.log_entries[0].proof, 2 - generation
    log, other = sigstore.root.logs[place], MiniSigstore("other").root.logs[place]
    for _ in range(2):
        verify_head(proof, log, generation=generation)
    refused("is not signed by", verify_head, proof, other, generation=generation)
    refused("the log signed size", verify_head, replace(proof, size=proof.size + 1), log, generation=generation)
    changed = replace(proof, checkpoint=f"x{proof.checkpoint}")
    refused("does not verify", verify_head, changed, log, generation=generation)


def test_a_v1_log_whose_id_is_not_its_keys(sigstore):
    bundle = sigstore.sign_v1()
    v2, v1 = sigstore.root.logs
    root = replace(sigstore.root, logs=(v2, replace(v1, key=v2.key, details=v2.details)))
    refused("SET|id that does not belong", verify, bundle, sigstore, root=root)


# --- attestations ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ATTESTATIONS)
def test_an_attestation_verifies_on_every_kind_of_entry(sigstore, kind):
    bundle = parse_bundle(encode_bundle(sigstore.attest(kind)))
    verified = attested(bundle, sigstore, predicate_type=PREDICATE)
    assert verified.entries[0].kind == kind
    assert verified.statement.predicate == {"score": 0.5}
    assert [check.name for check in list_checks(verified)][-2:] == ["signature", "predicate"]


@pytest.mark.parametrize("kind", ["dsse 0.0.1", "intoto 0.0.2"])
def test_an_attestation_of_version_01_may_have_a_promise_and_no_proof(sigstore, kind):
    bundle = with_entry(replace(sigstore.attest(kind), media_type=V01), proof=None)
    verified = attested(parse_bundle(encode_bundle(bundle)), sigstore)
    assert (verified.entries[0].kind, verified.entries[0].size) == (kind, 0)


@pytest.mark.parametrize("kind", ATTESTATIONS)
def test_v01_an_entry_of_another_attestation(sigstore, kind):
    ours, theirs = sigstore.attest(kind), sigstore.attest(kind)
    refused("not about this signature", attested, replace(ours, log_entries=theirs.log_entries), sigstore)


@pytest.mark.parametrize("kind", ATTESTATIONS)
def test_v04_the_artifact_must_be_a_subject(sigstore, kind):
    bundle = sigstore.attest(kind)
    refused("none of its 2 subjects is", attested, bundle, sigstore, digest=digest_of(b"other"))
    refused("20 bytes", attested, bundle, sigstore, digest=b"x" * 20)


def test_v04_only_the_digest_of_the_named_algorithm_counts(sigstore):
    """A digest that stands under the name of another algorithm is not the artifact's."""
    subject = [{"name": "it", "digest": {"sha256": "00" * 32, "gitCommit": DIGEST.hex()}}]
    bundle = sigstore.attest("dsse 0.0.1", statement_about(ARTIFACT, subject=subject))
    refused("none of its 1 subjects", attested, bundle, sigstore)


def test_a_subject_by_another_algorithm(sigstore):
    digest = HashAlgorithm.SHA2_512.digest(ARTIFACT)
    subject = [{"digest": {"sha512": digest.hex(), "sha1": "00"}}]
    bundle = sigstore.attest("hashedrekord 0.0.2", statement_about(ARTIFACT, subject=subject))
    assert digest_algorithm(bundle) is HashAlgorithm.SHA2_512
    attested(bundle, sigstore, digest=digest)


def test_the_algorithm_is_one_that_every_subject_has(sigstore):
    digest = HashAlgorithm.SHA2_512.digest(ARTIFACT).hex()
    subject = [{"digest": {"sha512": digest}}, {"digest": {"sha256": "00" * 32, "sha512": "00" * 64}}]
    bundle = sigstore.attest("hashedrekord 0.0.2", statement_about(ARTIFACT, subject=subject))
    assert digest_algorithm(bundle) is HashAlgorithm.SHA2_512
    attested(bundle, sigstore, digest=bytes.fromhex(digest))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (b"not JSON", "not JSON"),
        (b"[]", "an array, expected an object"),
        (statement_about(ARTIFACT, _type="https://in-toto.io/Statement/v2"), "is of the type"),
        (statement_about(ARTIFACT, predicateType=None), "predicateType is null"),
        (statement_about(ARTIFACT, predicateType=""), "empty predicateType"),
        (statement_about(ARTIFACT, predicate=[]), "predicate is an array"),
        (statement_about(ARTIFACT, subject=[]), "no subject"),
        (statement_about(ARTIFACT, subject=[None]), r"subject\[0\] is null"),
        (statement_about(ARTIFACT, subject=[{"name": "x"}]), "digest is missing"),
        (statement_about(ARTIFACT, subject=[{"digest": {}}]), "0 digests"),
        (statement_about(ARTIFACT, subject=[{"digest": {"sha256": 1}}]), "sha256 is a number"),
        (statement_about(ARTIFACT, subject=[{"digest": {"md5": "00"}}]), "no digest by SHA-256|no subject"),
        (statement_about(ARTIFACT, subject=[{"digest": {f"a{n}": "0" for n in range(33)}}]), "33 digests"),
        (statement_about(ARTIFACT, subject=[{}] * 1025), "1025 elements, the limit is 1024"),
    ],
)
def test_v03_v10_v11_a_statement_that_is_none(sigstore, statement, message):
    refused(message, attested, sigstore.attest("dsse 0.0.1", statement), sigstore)


def test_v03_another_predicate_type(sigstore):
    bundle = sigstore.attest("dsse 0.0.1")
    refused("predicate type 'https://example.com/p/v1', expected", attested, bundle, sigstore, predicate_type="urn:x")


def test_v03_an_envelope_with_another_payload_type(sigstore):
    bundle = sigstore.attest("hashedrekord 0.0.2", payload_type="text/plain")
    refused("the envelope holds 'text/plain'", attested, bundle, sigstore)


def test_the_payload_type_is_signed(sigstore):
    bundle = sigstore.attest("dsse 0.0.1", payload_type="text/plain")
    bundle = replace(bundle, content=replace(bundle.content, payload_type="application/vnd.in-toto+json"))
    refused("the signature over the envelope does not verify", attested, bundle, sigstore)


def test_a_file_and_an_attestation_are_not_taken_for_each_other(sigstore):
    refused("use verify-blob-attestation", verify, sigstore.attest("dsse 0.0.1"), sigstore)
    refused("use verify-blob", attested, sigstore.sign(), sigstore)


def test_an_envelope_has_exactly_one_signature(sigstore):
    document = json.loads(encode_bundle(sigstore.attest("dsse 0.0.1")))
    (signature,) = document["dsseEnvelope"]["signatures"]
    for signatures in ([], [signature, signature]):
        document["dsseEnvelope"]["signatures"] = signatures
        refused("expected exactly one", parse_bundle, json.dumps(document).encode())


# --- managed keys --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def key():
    return keys.generate_p256()


def test_a_managed_key(sigstore, key):
    verified = verify(sigstore.sign_v1(key=key), sigstore, who=ManagedKey(key.public_key()))
    assert (verified.signer.kind, verified.signer.issuer) == ("Key", "")
    assert verified.signer.identity == f"sha256:{keys.key_id(keys.encode_public_key(key.public_key())).hex()}"
    assert [check.name for check in list_checks(verified)] == ["artifact", "time", "key", "transparency", "signature"]


def test_v14_a_managed_key_and_an_identity_do_not_stand_for_each_other(sigstore, key):
    who = ManagedKey(key.public_key())
    refused("bare key, which has no identity", verify, sigstore.sign_v1(key=key), sigstore)
    refused("signed with a certificate, a key was named", verify, sigstore.sign_v1(), sigstore, who=who)
    other = ManagedKey(keys.generate_p256().public_key())
    refused("publicKey.content differs", verify, sigstore.sign_v1(key=key), sigstore, who=other)


def test_a_managed_key_needs_no_time_but_each_time_must_hold(sigstore, key):
    bundle, who = with_entry(sigstore.sign_v1(key=key), promise=None), ManagedKey(key.public_key())
    assert verify(bundle, sigstore, who=who).times == ()
    wrong = replace(bundle, timestamps=(sigstore.timestamp(b"other"),))
    refused("another message", verify, wrong, sigstore, who=who)


def test_the_times_of_the_calendar_are_utc(sigstore):
    assert verify(sigstore.sign_v1(), sigstore).times[0].time == datetime(2026, 3, 1, 12, tzinfo=UTC)
