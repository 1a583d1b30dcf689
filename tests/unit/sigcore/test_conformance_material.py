# SPDX-License-Identifier: Apache-2.0
"""SCTs, checkpoints, inclusion proofs and entry bodies of real logs, out of the bundles of sigstore-conformance.

Only these parts of a bundle are looked at here, with plain ``json``; whole bundles are the matter of the client's tests.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from sigcore import checkpoint, entries, keys, merkle, note, precertificate, sct, x509
from sigcore.errors import Malformed, Refused, SigError

CERTIFIED = (
    "bundle-with-sct-with-extensions",
    "happy-path-intoto-in-dsse-v3",
    "happy-path-v0.1",
    "happy-path-v0.2",
    "happy-path-v0.3",
    "happy-path-v0.3-new-mediaType",
    "rekor2-checkpoint-cosigned",
    "rekor2-checkpoint-multiple-cosigs",
    "rekor2-checkpoint-origin-not-first",
    "rekor2-checkpoint-two-sigs-cosigned",
    "rekor2-checkpoint-two-sigs-from-origin",
    "rekor2-dsse-happy-path",
    "rekor2-happy-path",
    "rekor2-timestamp-with-embedded-cert",
    "rekor2-timestamp-with-expired-cert-chain",
    "rekor2-timestamp-without-embedded-cert",
    "trust-root-tlog-validity-end-inclusive",
    "trust-root-tsa-validity-end-inclusive",
)
KEYED = ("managed-key-and-trusted-root", "managed-key-happy-path")
WITH_SCT_EXTENSIONS = ("bundle-with-sct-with-extensions", "rekor2-dsse-happy-path")
UNPROVEN = {
    "checkpoint-bad-keyhint_fail": "is not signed by",
    "checkpoint-wrong-roothash_fail": "has 10 hashes, expected 27",
    "inclusion-proof-corrupted-hash_fail": "leads to the root",
    "invalid-checkpoint-signature_fail": "does not verify",
    "rekor2-checkpoint-missing-log-signature_fail": "no empty line with signature lines",
    "rekor2-checkpoint-missing-origin_fail": "does not verify",
    "rekor2-checkpoint-missing-root-hash_fail": "does not verify",
    "rekor2-checkpoint-missing-size_fail": "does not verify",
    "rekor2-checkpoint-no-matching-signature_fail": "is not signed by",
}


@dataclass
class Case:
    entry: dict
    certificate: x509.Certificate | None
    root: dict


@pytest.fixture
def load(vectors):
    folder = vectors / "sigstore-conformance"

    def load(case):
        material = json.loads((folder / "bundle-verify" / case / "bundle.sigstore.json").read_text())[
            "verificationMaterial"
        ]
        own = folder / "bundle-verify" / case / "trusted_root.json"
        root = json.loads((own if own.exists() else folder / "production_trusted_root.json").read_text())
        [entry] = material["tlogEntries"]
        chain = material.get("x509CertificateChain", {}).get("certificates", ())
        leaf = material.get("certificate") or (chain[0] if chain else None)
        return Case(entry, x509.parse_certificate(raw(leaf)) if leaf else None, root)

    return load


def raw(holder, name="rawBytes"):
    return base64.b64decode(holder[name])


# --- certificate transparency -------------------------------------------------------------------------------
def submitted(case):
    """The SCT in the certificate, and the entry that it must be for."""
    [signed] = sct.embedded_scts(case.certificate)
    chains = (chain["certChain"]["certificates"] for chain in case.root["certificateAuthorities"])
    authorities = [x509.parse_certificate(raw(certificate)) for chain in chains for certificate in chain]
    [issuer] = {issuer.spki for issuer in authorities if issuer.subject == case.certificate.issuer}
    return signed, precertificate.precert_entry(case.certificate, issuer)


def ct_keys(case):
    """log id -> public key; an old log of staging has its key in PKCS #1, which we do not read."""
    logs = [log for log in case.root["ctlogs"] if not log["publicKey"]["keyDetails"].startswith("PKCS1_")]
    return {raw(log["logId"], "keyId"): keys.parse_public_key(raw(log["publicKey"])) for log in logs}


@pytest.mark.parametrize("name", CERTIFIED)
def test_embedded_scts_verify(load, name):
    case = load(name)
    signed, entry = submitted(case)
    sct.verify_sct(signed, entry, ct_keys(case)[signed.log_id])
    assert bool(signed.extensions) is (name in WITH_SCT_EXTENSIONS)


def test_an_sct_does_not_verify_with_the_keys_of_other_logs(load):
    case = load("invalid-ct-key_fail")
    signed, entry = submitted(case)
    others = ct_keys(case)
    assert others
    for key in others.values():
        with pytest.raises(Refused, match="the SCT is of the log"):
            sct.verify_sct(signed, entry, key)


# --- transparency log -------------------------------------------------------------------------------------------
def verify_proof(case):
    """The checkpoint under the log's key, and the inclusion of the body in its tree."""
    proof = case.entry["inclusionProof"]
    log_id = raw(case.entry["logId"], "keyId")
    [log] = [log for log in case.root["tlogs"] if raw(log["logId"], "keyId") == log_id]
    host = urlsplit(log["baseUrl"]).hostname
    key = note.note_key(host, keys.parse_public_key(raw(log["publicKey"])))
    assert key.id == log_id
    envelope = proof["checkpoint"]["envelope"]
    origin, _, _ = envelope.partition("\n")
    head = checkpoint.verify_checkpoint(envelope, key, allow_origin=origin if " - " in origin else None)
    merkle.verify_inclusion(
        leaf_hash=merkle.hash_leaf(raw(case.entry, "canonicalizedBody")),
        index=int(proof["logIndex"]),
        size=head.size,
        proof=[base64.b64decode(hash_) for hash_ in proof["hashes"]],
        root=head.root,
    )


@pytest.mark.parametrize("name", CERTIFIED + KEYED)
def test_checkpoints_and_inclusion_proofs_verify(load, name):
    verify_proof(load(name))


@pytest.mark.parametrize(("name", "message"), UNPROVEN.items())
def test_tampered_checkpoints_and_proofs_do_not(load, name, message):
    with pytest.raises(SigError, match=message):
        verify_proof(load(name))


@pytest.mark.parametrize("name", CERTIFIED)
def test_bodies_of_rekor_v2_are_read_and_written_byte_for_byte(load, name):
    case = load(name)
    body = raw(case.entry, "canonicalizedBody")
    if case.entry["kindVersion"] != {"kind": "hashedrekord", "version": "0.0.2"}:
        with pytest.raises(Malformed, match=f"kind '{case.entry['kindVersion']['kind']}'"):
            entries.parse_body(body)
        return
    entry = entries.parse_body(body)
    assert entries.encode_body(entry) == body
    assert entry.verifier == entries.certificate_verifier(case.certificate.der)
    entries.verify_entry(entry)
