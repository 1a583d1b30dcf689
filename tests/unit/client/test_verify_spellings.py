# SPDX-License-Identifier: Apache-2.0
"""What may be spelled in more than one way, and what only looks as if; each refusal says at which step it was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client.verify import verify_attestation, verify_blob, verify_own
from client.verify.identity import IdentityPolicy
from client.verify.scts import _moment, verify_scts
from client.verify.signed import ManagedKey
from sigcore import canonical, checkpoint, dsse, keys, x509
from sigcore.dsse import Envelope, EnvelopeSignature
from sigcore.errors import Malformed, Refused, SigError
from sigcore.note import encode_note, sign_note
from sigcore.sct import SCT_LIST_OID
from sigcore.strict import encode_base64
from tests.unit.client.minisig import (
    ARTIFACT,
    ATTESTATIONS,
    EMAIL,
    ISSUER,
    MiniLog,
    MiniSigstore,
    digest_of,
    statement_about,
)

DIGEST = digest_of(ARTIFACT)
POLICY = IdentityPolicy(ISSUER, EMAIL)
SPELLINGS = {
    "as it is": lambda pem: pem,
    "crlf": lambda pem: pem.replace(b"\n", b"\r\n"),
    "no last line end": lambda pem: pem.rstrip(b"\n"),
}


def with_body(sigstore, bundle, change):
    """The bundle with a genuine entry whose body is what ``change`` makes of the document."""
    document = json.loads(bundle.log_entries[0].body)
    change(document)
    return replace(bundle, log_entries=(sigstore.log_v1.enter(canonical.encode(document)),))


def attested(sigstore, kind, *, key_id="", spell=SPELLINGS["as it is"], pem_of=None):
    """An attestation whose log wrote the PEM in its own way."""
    key = keys.generate_p256()
    certificate = sigstore.certify(key.public_key())
    payload = statement_about(ARTIFACT)
    signature = keys.sign(key, dsse.pre_authentication_encoding(dsse.IN_TOTO, payload))
    envelope = Envelope(dsse.IN_TOTO, payload, (EnvelopeSignature(signature, key_id),))
    pem = spell(sigstore.pem(key, pem_of or certificate))
    entry = ATTESTATIONS[kind](sigstore, envelope, pem, certificate)
    bundle = replace(sigstore.attest(kind), certificate=certificate, log_entries=(entry,), content=envelope)
    return replace(bundle, timestamps=())


def verify(bundle, sigstore, who=POLICY):
    check = verify_attestation if isinstance(bundle.content, Envelope) else verify_blob
    return check(bundle, DIGEST, root=sigstore.root, identity=who)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("kind", ["dsse 0.0.1", "intoto 0.0.2"])
def test_the_certificate_in_an_entry_may_be_wrapped_in_any_way(sigstore, kind, name):
    verify(attested(sigstore, kind, spell=SPELLINGS[name]), sigstore)


@pytest.mark.parametrize("kind", ["dsse 0.0.1", "intoto 0.0.2"])
def test_another_certificate_in_an_entry_is_no_other_spelling(sigstore, kind):
    other = sigstore.certify(keys.generate_p256().public_key())
    for spell in SPELLINGS.values():
        with pytest.raises(Refused, match=r"signatures\[0\]\.(verifier|publicKey) differs"):
            verify(attested(sigstore, kind, spell=spell, pem_of=other), sigstore)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("managed", [False, True], ids=["certificate", "key"])
def test_the_verifier_of_a_file_s_entry_may_be_wrapped_in_any_way(sigstore, managed, name):
    key = keys.generate_p256() if managed else None
    bundle = sigstore.sign_v1(key=key)
    pem = sigstore.pem(key, bundle.certificate)

    def change(document):
        document["spec"]["signature"]["publicKey"]["content"] = encode_base64(SPELLINGS[name](pem))

    who = ManagedKey(key.public_key()) if managed else POLICY
    verify(with_body(sigstore, bundle, change), sigstore, who)


@pytest.mark.parametrize("content", [None, 7, "", "%", "AAAA", encode_base64(b"-----BEGIN"), ["AAAA"]])
def test_a_verifier_that_is_none_is_named(sigstore, content):
    def change(document):
        document["spec"]["signature"]["publicKey"]["content"] = content

    with pytest.raises(Refused, match=r"spec\.signature\.publicKey\.content differs"):
        verify(with_body(sigstore, sigstore.sign_v1(), change), sigstore)


@pytest.mark.parametrize("name", ["a name", "n\u00e4me"])
def test_the_key_id_of_an_intoto_entry_is_that_of_the_envelope(sigstore, name):
    bundle = attested(sigstore, "intoto 0.0.2", key_id=name)

    def named(text):
        def change(document):
            (signature,) = document["spec"]["content"]["envelope"]["signatures"]
            signature["keyid"] = text

        return change

    verify(with_body(sigstore, bundle, named(name)), sigstore)
    for wrong in (bundle, with_body(sigstore, bundle, named("another"))):
        with pytest.raises(Refused, match="keyid differs"):
            verify(wrong, sigstore)


@pytest.mark.parametrize(
    "value", [None, 7, "", "x" * 64, "AB" * 32, "ab" * 31, ["ab" * 32]], ids=["null", "number", "empty", "x", "upper", "short", "list"]
)  # fmt: skip
@pytest.mark.parametrize("kind", ["dsse 0.0.1", "intoto 0.0.2"])
def test_an_entry_must_have_a_hash_of_an_envelope(sigstore, kind, value):
    def change(document):
        spec = document["spec"]
        (spec["envelopeHash"] if kind == "dsse 0.0.1" else spec["content"]["hash"])["value"] = value

    with pytest.raises(Refused, match="it has no hash of an envelope"):
        verify(with_body(sigstore, attested(sigstore, kind), change), sigstore)


@pytest.mark.parametrize("kind", ["dsse 0.0.1", "intoto 0.0.2"])
def test_an_entry_without_a_signature_is_refused(sigstore, kind):
    def change(document):
        spec = document["spec"]
        (spec if kind == "dsse 0.0.1" else spec["content"]["envelope"])["signatures"] = []

    with pytest.raises(Refused, match="signatures differs"):
        verify(with_body(sigstore, attested(sigstore, kind), change), sigstore)


def test_an_entry_about_a_file_is_not_about_an_attestation(sigstore):
    bundle = attested(sigstore, "dsse 0.0.1")
    entry = sigstore.log_v1.promise(replace(bundle.log_entries[0], kind="hashedrekord"))
    with pytest.raises(Refused, match=r"hashedrekord 0\.0\.1, which is never about an attestation$"):
        verify(replace(bundle, log_entries=(entry,)), sigstore)


@pytest.mark.parametrize(
    ("origin", "url"),
    [("xen.example", "http://xen.example"), ("::1", "http://[::1]:7780"), ("sig.example", "https://SIG.example/x")],
)
def test_the_origin_of_a_log_is_the_host_of_its_url(origin, url):
    instance = MiniSigstore()
    instance.log = MiniLog(origin)
    log, _ = instance.root.logs
    verify_blob(
        instance.sign(), DIGEST, root=replace(instance.root, logs=(replace(log, base_url=url),)), identity=POLICY
    )


@pytest.mark.parametrize("key", [None, keys.generate_p256()], ids=["ed25519", "ecdsa"])
def test_a_log_of_v2_has_no_tree_number_behind_its_origin(key):
    """That is how v1 names the trees of a log."""
    instance = MiniSigstore()
    if key is not None:
        instance.log = MiniLog("sig.example", key)
    bundle = instance.sign()
    (entry,) = bundle.log_entries
    head = checkpoint.Checkpoint("sig.example - 42", entry.proof.size, entry.proof.root)
    text = checkpoint.encode_checkpoint(head)
    proof = replace(entry.proof, checkpoint=encode_note(sign_note(text, "sig.example", instance.log.key)))
    with pytest.raises(Refused, match=r"sig\.example - 42"):
        verify(replace(bundle, log_entries=(replace(entry, proof=proof),)), instance)


def test_a_promise_alone_has_no_root(sigstore):
    bundle = sigstore.sign_v1()
    (entry,) = bundle.log_entries
    bare = replace(entry, proof=None)
    verified = verify_own(replace(bundle, log_entries=(bare,)), DIGEST, root=sigstore.root).entries[0]
    assert (verified.size, verified.root, verified.index) == (0, b"", entry.index)


def test_nothing_follows_the_list_of_scts(sigstore):
    leaf = x509.parse_certificate(sigstore.sign().certificate)
    longer = [replace(one, value=one.value + b"\0") if one.oid == SCT_LIST_OID else one for one in leaf.extensions]
    with pytest.raises(Malformed, match="after"):
        verify_scts(replace(leaf, extensions=tuple(longer)), sigstore.ca.intermediate, sigstore.root.ct_logs)


def test_a_time_of_an_sct_that_is_no_moment():
    with pytest.raises(Malformed, match="no moment of the calendar"):
        _moment(2**64 - 1)


def test_a_pattern_may_have_1024_characters():
    IdentityPolicy(ISSUER, pattern="a" * 1024)
    with pytest.raises(Refused, match="longer than 1024"):
        IdentityPolicy(ISSUER, pattern="a" * 1025)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda bundle: replace(bundle, content=replace(bundle.content, digest=b"x" * 32)), "digest"),
        (lambda bundle: replace(bundle, log_entries=()), "material"),
        (lambda bundle: replace(bundle, timestamps=()), "timestamp"),
        (lambda bundle: replace(bundle, intermediates=(bundle.certificate,)), "certificate"),
        (lambda bundle: with_first(bundle, body=b"{}"), "entry"),
        (lambda bundle: with_proof(bundle, checkpoint="none"), "checkpoint"),
        (lambda bundle: with_proof(bundle, hashes=()), "path"),
    ],
)
def test_a_refusal_says_its_step_and_the_innermost_one(sigstore, change, step):
    for _ in range(2):  # so that a path has hashes
        bundle = sigstore.sign()
    with pytest.raises(SigError) as caught:
        verify(change(bundle), sigstore)
    assert caught.value.step == step


def with_first(bundle, **changes):
    return replace(bundle, log_entries=(replace(bundle.log_entries[0], **changes),))


def with_proof(bundle, **changes):
    return with_first(bundle, proof=replace(bundle.log_entries[0].proof, **changes))
