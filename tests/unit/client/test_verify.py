# SPDX-License-Identifier: Apache-2.0
"""Each step of the verification, by the one defect that only it can see."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest

from client.verify import verify_blob, verify_own
from client.verify.identity import IdentityPolicy
from client.verify.report import list_checks
from sigcore import checkpoint, der, extensions, keys, x509
from sigcore.errors import SigError
from sigcore.trustroot import Validity
from sigcore.x509 import Extension
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, NOW, START, Chain, MiniLog, MiniSigstore, digest_of

DIGEST = digest_of(ARTIFACT)
POLICY = IdentityPolicy(ISSUER, EMAIL)
SECOND = timedelta(seconds=1)


def verify(bundle, sigstore, *, root=None, digest=DIGEST, policy=POLICY):
    return verify_blob(bundle, digest, root=root or sigstore.root, identity=policy)


def refused(message, bundle, sigstore, **given):
    with pytest.raises(SigError, match=message) as caught:
        verify(bundle, sigstore, **given)
    return caught.value


def with_entry(bundle, **changes):
    return replace(bundle, log_entries=(replace(bundle.log_entries[0], **changes),))


def with_proof(bundle, **changes):
    return with_entry(bundle, proof=replace(bundle.log_entries[0].proof, **changes))


def with_window(root, kind, window):
    return replace(root, **{kind: tuple(replace(one, validity=window) for one in getattr(root, kind))})


def test_a_good_bundle_gives_a_value_with_evidence(sigstore):
    bundle = sigstore.sign()
    verified = verify(bundle, sigstore)
    assert verified.digest == DIGEST
    assert (verified.signer.identity, verified.signer.kind, verified.signer.issuer) == (EMAIL, "Email", ISSUER)
    assert [time.time for time in verified.times] == [NOW]
    assert [sct.time for sct in verified.scts] == [NOW]
    assert verified.entries[0].index == bundle.log_entries[0].index
    assert [certificate.der for certificate in verified.chain] == [
        bundle.certificate,
        sigstore.ca.intermediate.der,
        sigstore.ca.root.der,
    ]
    with pytest.raises(FrozenInstanceError):
        verified.digest = b""


def test_a_report_lists_each_check_with_its_evidence(sigstore):
    bundle = sigstore.sign(scts=2)
    checks = list_checks(verify(bundle, sigstore))
    assert [check.name for check in checks] == [
        "artifact",
        "time",
        "certificate",
        "publication",
        "publication",
        "identity",
        "issuer",
        "transparency",
        "signature",
    ]
    values = {check.name: check.value for check in checks}
    assert values["time"] == "2026-03-01T12:00:00Z"
    assert values["identity"] == f"'{EMAIL}'"
    assert values["transparency"].startswith(f"entry {bundle.log_entries[0].index} of ")


def test_the_verify_path_imports_nothing_heavy():
    """Each of these costs a verification from a fifth of Python's own start to ten times as much."""
    code = "import sys, stack.cli.runner, stack.cli.verify_blob; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"client.verify", "sigcore.trustroot"} <= loaded
    heavy = {"aiohttp", "asyncio", "jwt", "ssl", "sqlite3", "urllib.request", "urllib.parse", "tuf", "socket"}
    heavy |= {"dataclasses", "inspect", "pathlib", "tempfile", "shutil", "decimal", "importlib.metadata"}
    heavy |= {"cryptography.x509", "cryptography.hazmat.primitives.serialization", "sigcore.signing_config"}
    heavy |= {"cryptography.hazmat.backends.openssl.backend", "cryptography.hazmat.primitives.asymmetric.rsa"}
    heavy |= {"random", "threading", "sigcore.ed25519ph", "sigcore.tlog_policy", "sigcore.cosignature"}
    assert not heavy & loaded


# --- 1 material ----------------------------------------------------------------------------------------
def test_another_artifact(sigstore):
    refused("the bundle is for another artifact", sigstore.sign(), sigstore, digest=digest_of(b"other"))


def test_a_bare_key(sigstore):
    bundle = replace(sigstore.sign(), certificate=None, key_hint="hint")
    refused("bare key, which has no identity", bundle, sigstore)


def test_no_log_entry(sigstore):
    refused("holds no log entry", replace(sigstore.sign(), log_entries=()), sigstore)


@pytest.mark.parametrize(("kind", "version"), [("hashedrekord", "0.0.3"), ("rekord", "0.0.1"), ("intoto", "0.0.1")])
def test_an_entry_of_an_unknown_kind(sigstore, kind, version):
    bundle = with_entry(sigstore.sign(), kind=kind, version=version)
    refused(f"kind '{kind}' version '{version}', which is not supported", bundle, sigstore)


@pytest.mark.parametrize(("kind", "version"), [("dsse", "0.0.1"), ("dsse", "0.0.2"), ("intoto", "0.0.2")])
def test_an_entry_about_an_attestation_is_not_about_a_file(sigstore, kind, version):
    bundle = with_entry(sigstore.sign(), kind=kind, version=version)
    refused("which is never about a file", bundle, sigstore)


def test_an_entry_that_calls_itself_one_of_the_other_generation(sigstore):
    bundle = with_entry(sigstore.sign(), kind="hashedrekord", version="0.0.1")
    refused("not about this signature: apiVersion, spec", bundle, sigstore)


def test_nothing_counts_twice(sigstore):
    """V09: a second copy is no second witness."""
    bundle = sigstore.sign()
    refused("one log entry twice", replace(bundle, log_entries=bundle.log_entries * 2), sigstore)
    refused("one timestamp twice", replace(bundle, timestamps=bundle.timestamps * 2), sigstore)


@pytest.mark.parametrize("change", [{"promise": b"set"}, {"integrated_time": int(NOW.timestamp())}])
def test_an_unsigned_time_in_the_entry(sigstore, change):
    refused("which Rekor v2 never signs", with_entry(sigstore.sign(), **change), sigstore)


# --- 2 times -------------------------------------------------------------------------------------------
def test_no_timestamp(sigstore):
    refused("nothing says when it was signed", replace(sigstore.sign(), timestamps=()), sigstore)


def test_a_timestamp_over_something_else(sigstore):
    bundle = replace(sigstore.sign(), timestamps=(sigstore.timestamp(b"other"),))
    refused("timestamp 1 of 1: .*another message", bundle, sigstore)


def test_each_timestamp_must_verify(sigstore):
    bundle = sigstore.sign()
    bundle = replace(bundle, timestamps=(*bundle.timestamps, sigstore.timestamp(b"other")))
    refused("timestamp 2 of 2: .*another message", bundle, sigstore)


def test_a_timestamp_of_an_authority_that_is_not_trusted(sigstore):
    bundle = sigstore.sign()
    other = MiniSigstore("other")
    bundle = replace(bundle, timestamps=(other.timestamp(bundle.content.signature),))
    refused("timestamp 1 of 1", bundle, sigstore)
    root = replace(sigstore.root, timestamp_authorities=())
    refused("by none of the 0 trusted timestamp authorities", bundle, sigstore, root=root)
    root = replace(sigstore.root, timestamp_authorities=sigstore.root.timestamp_authorities * 2)
    error = refused("by none of the 2 trusted timestamp authorities", bundle, sigstore, root=root)
    assert error.hint.count("mini tsa: ") == 2


def test_the_authority_is_found_among_several(sigstore):
    other = MiniSigstore("other").root.timestamp_authorities
    root = replace(sigstore.root, timestamp_authorities=other + sigstore.root.timestamp_authorities)
    assert verify(sigstore.sign(), sigstore, root=root).times[0].authority == "mini tsa"


def test_the_window_of_a_timestamp_authority_includes_both_ends(sigstore):
    bundle = sigstore.sign()
    for window in (Validity(NOW), Validity(START, NOW)):
        verify(bundle, sigstore, root=with_window(sigstore.root, "timestamp_authorities", window))
    for window in (Validity(NOW + SECOND), Validity(START, NOW - SECOND)):
        root = with_window(sigstore.root, "timestamp_authorities", window)
        refused("the timestamp says 2026-03-01T12:00:00Z, mini tsa is trusted from", bundle, sigstore, root=root)


# --- 3 certificate -------------------------------------------------------------------------------------
def test_a_certificate_of_another_authority(sigstore):
    other = MiniSigstore("other")
    root = replace(sigstore.root, certificate_authorities=other.root.certificate_authorities)
    error = refused("no trusted certificate authority vouches", sigstore.sign(), sigstore, root=root)
    assert error.hint.startswith("other ca: ")
    root = replace(sigstore.root, certificate_authorities=())
    error = refused("no trusted certificate authority vouches", sigstore.sign(), sigstore, root=root)
    assert "names no certificate authority" in error.hint


def test_the_authority_of_the_certificate_is_found_among_several(sigstore):
    other = MiniSigstore("other").root.certificate_authorities
    root = replace(sigstore.root, certificate_authorities=other + sigstore.root.certificate_authorities)
    verify(sigstore.sign(), sigstore, root=root)


def test_the_window_of_a_certificate_authority_includes_both_ends(sigstore):
    bundle = sigstore.sign()
    for window in (Validity(NOW), Validity(START, NOW)):
        verify(bundle, sigstore, root=with_window(sigstore.root, "certificate_authorities", window))
    for window in (Validity(NOW + SECOND), Validity(START, NOW - SECOND)):
        root = with_window(sigstore.root, "certificate_authorities", window)
        error = refused("no trusted certificate authority vouches", bundle, sigstore, root=root)
        assert error.hint.startswith("mini ca is trusted from")


def test_a_time_at_the_edges_of_the_certificate(sigstore):
    for window in ({"not_before": NOW}, {"not_after": NOW}):
        verify(sigstore.sign(**window), sigstore)
    for window in ({"not_before": NOW + SECOND}, {"not_after": NOW - SECOND}):
        refused("no trusted certificate authority vouches .* at 2026-03-01", sigstore.sign(**window), sigstore)


def test_the_certificate_must_be_valid_at_every_time(sigstore):
    bundle = sigstore.sign()
    late = sigstore.timestamp(bundle.content.signature, at=NOW + timedelta(days=1))
    bundle = replace(bundle, timestamps=(*bundle.timestamps, late))
    refused("no trusted certificate authority vouches .* at 2026-03-02", bundle, sigstore)


def test_an_intermediate_that_had_expired(sigstore):
    instance = MiniSigstore("expired")
    instance.ca = Chain.make("expired ca", x509.EKU_CODE_SIGNING, not_after=NOW - SECOND)
    refused("no trusted certificate authority vouches", instance.sign(), instance)


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (MiniSigstore.usage(eku=x509.EKU_TIME_STAMPING), "not for code signing"),
        (MiniSigstore.usage()[:1], "not for code signing"),
        (MiniSigstore.usage(bits=("keyCertSign",)), "does not allow digital signatures"),
        (MiniSigstore.usage()[1:], "does not allow digital signatures"),
        ((*MiniSigstore.usage(), extensions.basic_constraints(ca=True)), "is a certificate authority's"),
    ],
)
def test_the_profile_of_the_certificate(sigstore, usage, message):
    refused(message, sigstore.sign(usage=usage), sigstore)


# --- 4 publication -------------------------------------------------------------------------------------
def test_no_sct(sigstore):
    refused("carries no SCT", sigstore.sign(scts=0), sigstore)


def test_an_sct_of_a_log_that_is_not_trusted(sigstore):
    root = replace(sigstore.root, ct_logs=MiniSigstore("other").root.ct_logs)
    refused("has 1 SCTs, none of a trusted log", sigstore.sign(), sigstore, root=root)


def test_an_sct_that_another_key_has_signed(sigstore):
    (real,) = sigstore.root.ct_logs
    (other,) = MiniSigstore("other").root.ct_logs
    root = replace(sigstore.root, ct_logs=(replace(other, log_id=real.log_id),))
    refused("the SCT is of the log", sigstore.sign(), sigstore, root=root)


def test_the_window_of_a_certificate_log_includes_both_ends(sigstore):
    bundle = sigstore.sign()
    for window in (Validity(NOW), Validity(START, NOW)):
        verify(bundle, sigstore, root=with_window(sigstore.root, "ct_logs", window))
    for window in (Validity(NOW + SECOND), Validity(START, NOW - SECOND)):
        root = with_window(sigstore.root, "ct_logs", window)
        refused("the SCT is of 2026-03-01T12:00:00Z, the log .*/ct is trusted from", bundle, sigstore, root=root)


# --- 5 identity ----------------------------------------------------------------------------------------
def test_another_identity(sigstore):
    policy = IdentityPolicy(ISSUER, "other@example.com")
    refused("the signer is 'signer@example.com', expected 'other@", sigstore.sign(), sigstore, policy=policy)


def test_another_issuer(sigstore):
    policy = IdentityPolicy(f"{ISSUER}/", EMAIL)
    refused("identified by 'https://issuer.example/auth', expected", sigstore.sign(), sigstore, policy=policy)


def test_the_signer_itself_asks_for_no_identity(sigstore):
    verified = verify_own(sigstore.sign(), DIGEST, root=sigstore.root)
    assert verified.signer.identity == EMAIL


def raw(oid: str, text: str) -> Extension:
    return Extension(oid, critical=False, value=text.encode())


def utf8(oid: str, text: str) -> Extension:
    return Extension(oid, critical=False, value=der.utf8_string(text))


V1, V2 = "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.8"


@pytest.mark.parametrize(
    "issuer", [(raw(V1, ISSUER),), (utf8(V2, ISSUER),), (raw(V1, ISSUER), utf8(V2, ISSUER))], ids=["old", "new", "both"]
)
def test_both_forms_of_the_issuer_are_read(sigstore, issuer):
    verify(sigstore.sign(issuer=issuer), sigstore)


@pytest.mark.parametrize(
    ("issuer", "message"),
    [
        ((), "names no OIDC issuer"),
        ((raw(V1, "https://evil.example"), utf8(V2, ISSUER)), "names two issuers"),
        ((raw(V1, ISSUER), utf8(V2, "https://evil.example")), "names two issuers"),
        ((utf8(V1, ISSUER),), "identified by"),
        ((raw(V2, ISSUER),), "DER"),
        ((Extension(V1, critical=False, value=b"\xff"),), "invalid bytes"),
    ],
)
def test_issuers_that_are_refused(sigstore, issuer, message):
    refused(message, sigstore.sign(issuer=issuer), sigstore)


# --- 6 transparency ------------------------------------------------------------------------------------
def test_a_log_that_is_not_trusted(sigstore):
    root = replace(sigstore.root, logs=MiniSigstore("other").root.logs)
    refused("of a log that is not trusted", sigstore.sign(), sigstore, root=root)


def test_the_window_of_a_log_includes_both_ends(sigstore):
    bundle = sigstore.sign()
    for window in (Validity(NOW), Validity(START, NOW)):
        verify(bundle, sigstore, root=with_window(sigstore.root, "logs", window))
    for window in (Validity(NOW + SECOND), Validity(START, NOW - SECOND)):
        root = with_window(sigstore.root, "logs", window)
        refused("the signature is of 2026-03-01T12:00:00Z, the log .* is trusted", bundle, sigstore, root=root)


@pytest.mark.parametrize("key", [keys.generate_p256(), None], ids=["ecdsa", "ed25519"])
def test_logs_of_both_key_types(key):
    instance = MiniSigstore()
    if key is not None:
        instance.log = MiniLog("sig.example", key)
    for _ in range(5):
        verify(instance.sign(), instance)


def test_a_genuine_entry_of_another_signature(sigstore):
    bundle, other = sigstore.sign(), sigstore.sign()
    error = refused(
        r"not about this signature: .*signature.content, .*x509Certificate.rawBytes differs",
        replace(bundle, log_entries=other.log_entries),
        sigstore,
    )
    assert "belong to another bundle" in error.hint


def test_every_entry_must_verify(sigstore):
    bundle, other = sigstore.sign(), sigstore.sign()
    both = replace(bundle, log_entries=bundle.log_entries + other.log_entries)
    refused("not about this signature", both, sigstore)


def test_a_body_in_another_spelling(sigstore):
    bundle = sigstore.sign()
    entry = sigstore.log.append(bundle.log_entries[0].body.replace(b'{"apiVersion"', b'{ "apiVersion"'))
    refused("its canonical form differs", replace(bundle, log_entries=(entry,)), sigstore)


def test_a_proof_for_another_leaf(sigstore):
    bundle = sigstore.sign()
    bundle = sigstore.sign() if bundle.log_entries[0].index % 2 == 0 else bundle
    index = bundle.log_entries[0].index - 1
    proof = replace(bundle.log_entries[0].proof, index=index)
    refused("proof", with_entry(bundle, index=index, proof=proof), sigstore)


def test_a_checkpoint_of_another_tree(sigstore):
    bundle, later = sigstore.sign(), sigstore.sign()
    envelope = later.log_entries[0].proof.checkpoint
    refused("the log signed size", with_proof(bundle, checkpoint=envelope), sigstore)


@pytest.mark.parametrize("origin", ["sig.example", "evil.example"])
def test_a_checkpoint_that_the_log_has_not_signed(sigstore, origin):
    bundle = sigstore.sign()
    proof = bundle.log_entries[0].proof
    forged = checkpoint.sign_checkpoint(checkpoint.Checkpoint(origin, proof.size, proof.root), MiniLog("x").key)
    refused("not signed by sig.example", with_proof(bundle, checkpoint=forged), sigstore)


def test_the_index_of_the_entry_is_the_index_of_the_proof(sigstore):
    bundle = sigstore.sign()
    index = bundle.log_entries[0].index
    refused(f"says index 0, its proof is for index {index}", with_entry(bundle, index=0), sigstore)


def test_the_origin_is_the_host_name_of_the_log(sigstore):
    bundle = sigstore.sign()
    log, _ = sigstore.root.logs
    for url in ("http://sig.example", "https://sig.example:1/any/path"):
        verify(bundle, sigstore, root=replace(sigstore.root, logs=(replace(log, base_url=url),)))
    root = replace(sigstore.root, logs=(replace(log, base_url="http://other.example"),))
    refused("an id that does not belong to its key and host name", bundle, sigstore, root=root)
    root = replace(sigstore.root, logs=(replace(log, base_url="sig.example"),))
    refused("which has no host name", bundle, sigstore, root=root)


def test_an_ecdsa_log_under_another_host_name():
    instance = MiniSigstore()
    instance.log = MiniLog("sig.example", keys.generate_p256())
    log, _ = instance.root.logs
    root = replace(instance.root, logs=(replace(log, base_url="http://other.example"),))
    refused("not signed by other.example", instance.sign(), instance, root=root)


# --- 7 signature ---------------------------------------------------------------------------------------
def test_a_signature_by_another_key(sigstore):
    certificate = sigstore.certify(keys.generate_p256().public_key())
    bundle = sigstore.bundle(keys.generate_p256(), certificate)
    error = refused("the signature over the artifact does not verify", bundle, sigstore)
    assert error.step == "signature"
