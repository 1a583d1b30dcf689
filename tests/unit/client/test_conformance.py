# SPDX-License-Identifier: Apache-2.0
"""The 70 bundle cases of sigstore-conformance: each gets its official verdict, by path and by digest, for its own reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.files import digest_file
from client.verify import Verified, verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey, digest_algorithm
from sigcore.bundle import Bundle, MessageSignature, parse_bundle
from sigcore.errors import Refused, SigError
from sigcore.keys import generate_p256, parse_public_key_pem
from sigcore.trustroot import parse_trusted_root
from stack.cli import main

ISSUER = "https://token.actions.githubusercontent.com"
IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
V1, V2 = "hashedrekord 0.0.1", "hashedrekord 0.0.2"

ACCEPTED = {
    "bundle-with-sct-with-extensions": V2,
    "happy-path-intoto-in-dsse-v3": "dsse 0.0.1",
    "happy-path-v0.1": V1,
    "happy-path-v0.2": V1,
    "happy-path-v0.3": V1,
    "happy-path-v0.3-new-mediaType": V1,
    "intoto-with-custom-trust-root": "intoto 0.0.2",
    "managed-key-and-trusted-root": V1,
    "managed-key-happy-path": V1,
    "rekor2-checkpoint-cosigned": V2,
    "rekor2-checkpoint-multiple-cosigs": V2,
    "rekor2-checkpoint-origin-not-first": V2,
    "rekor2-checkpoint-two-sigs-cosigned": V2,
    "rekor2-checkpoint-two-sigs-from-origin": V2,
    "rekor2-dsse-happy-path": V2,
    "rekor2-happy-path": V2,
    "rekor2-timestamp-with-embedded-cert": V2,
    "rekor2-timestamp-with-expired-cert-chain": V2,
    "rekor2-timestamp-without-embedded-cert": V2,
    "trust-root-tlog-validity-end-inclusive": V1,
    "trust-root-tsa-validity-end-inclusive": V2,
}
"""Case -> kind of the log entry that was verified."""
REFUSED = {
    "bundle-empty-certificate-chain_fail": "certificates is empty",
    "bundle-from-wrong-instance_fail": "of a log that is not trusted",
    "bundle-invalid-base64-signature_fail": "signature is not base64",
    "bundle-malformed-json_fail": "not JSON",
    "bundle-negative-log-index_fail": "logIndex is '-1'",
    "bundle-unknown-version_fail": "version=99.9",
    "bundle-with-root-cert_fail": "chain contains a root",
    "checkpoint-bad-keyhint_fail": r"not signed by rekor.sigstore.dev\+c0d23d6a",
    "checkpoint-wrong-roothash_fail": "the log signed size 75610772",
    "dsse-invalid-sig_fail": r"spec.signatures\[0\].signature differs",
    "dsse-mismatch-envelope_fail": r"spec.payloadHash.value, spec.signatures\[0\].signature differs",
    "dsse-mismatch-sig_fail": r"spec.signatures\[0\].signature differs",
    "inclusion-proof-corrupted-hash_fail": "inclusion proof leads to the root",
    "incorrect-public-key_fail": r"promise \(SET\) .* does not verify",
    "integrated-time-in-future_fail": "no trusted certificate authority vouches .* at 2026-05-07",
    "intoto-expired-certificate_fail": "no trusted certificate authority vouches .* at 2023-02-01",
    "intoto-log-entry-mismatch_fail": r"signatures\[0\].sig differs",
    "intoto-missing-inclusion-proof_fail": "inclusionProof is missing, which version 0.2 requires",
    "intoto-set-outside-signing-cert-validity_fail": "no trusted certificate authority vouches .* at 2023-02-02",
    "intoto-tsa-timestamp-outside-cert-validity_fail": "no trusted certificate authority vouches .* at 2023-02-02",
    "invalid-checkpoint-signature_fail": "note signature of rekor.sigstore.dev does not verify",
    "invalid-ct-key_fail": "none of a trusted log",
    "invalid-inclusion-proof_fail": "checkpoint is missing, which version 0.2 requires",
    "managed-key-no-key_fail": "bare key, which has no identity to verify",
    "managed-key-wrong-key_fail": "not a PEM public key",
    "message-digest-mismatch_fail": "for another artifact",
    "rekor2-checkpoint-missing-log-signature_fail": "no empty line with signature lines",
    "rekor2-checkpoint-missing-origin_fail": "note signature .* does not verify",
    "rekor2-checkpoint-missing-root-hash_fail": "note signature .* does not verify",
    "rekor2-checkpoint-missing-size_fail": "note signature .* does not verify",
    "rekor2-checkpoint-no-matching-signature_fail": "not signed by log2025-alpha1.rekor.sigstage.dev",
    "rekor2-dsse-invalid-sig_fail": "signature.content differs",
    "rekor2-dsse-mismatch-envelope_fail": "data.digest, .*signature.content differs",
    "rekor2-dsse-mismatch-sig_fail": "signature.content differs",
    "rekor2-no-inclusion-proof_fail": "inclusionProof is missing",
    "rekor2-no-timestamp_fail": "nothing says when it was signed",
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": "is trusted from .* to 2025-06-01",
    "rekor2-timestamp-outside-tsa-cert-validity_fail": "timestamp 1 of 1",
    "rekor2-timestamp-payload-mismatch_fail": "another message",
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail": "timestamp 1 of 1",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": "timestamp 1 of 1",
    "rekor2-timestamp-with-incorrect-time_fail": "not base64",
    "set-invalid-signature_fail": r"promise \(SET\) .* does not verify",
    "signature-mismatch_fail": "spec.signature.content differs",
    "trust-root-tlog-missing-validity-start_fail": "start is missing",
    "wrong-hashedrekord-artifact_fail": "spec.data.hash.value",
    "wrong-hashedrekord-cert-and-sig_fail": "spec.signature.content, spec.signature.publicKey.content differs",
    "wrong-hashedrekord-entry_fail": "spec.data.hash.value, spec.signature.content",
    "wrong-material_fail": "for another artifact",
}
"""Each for the reason that its README gives. (with-incorrect-time breaks its base64 into lines; see the test for its time.
The wrong key of managed-key-wrong-key has base64 that is none; see the test for a key that is another one.)"""


@pytest.fixture
def cases(vectors) -> Path:
    return vectors / "sigstore-conformance" / "bundle-verify"


def given(case: Path, name: str, default: Path) -> Path:
    return case / name if (case / name).exists() else default


def text(case: Path, name: str, default: str) -> str:
    return (case / name).read_text().strip() if (case / name).exists() else default


def signer(case: Path) -> IdentityPolicy | ManagedKey:
    if (case / "key.pub").exists():
        return ManagedKey(parse_public_key_pem((case / "key.pub").read_bytes()))
    return IdentityPolicy(text(case, "issuer", ISSUER), text(case, "identity", IDENTITY))


def check(bundle: Bundle, case: Path, who: IdentityPolicy | ManagedKey) -> Verified:
    root = given(case, "trusted_root.json", case.parent.parent / "production_trusted_root.json")
    digest = digest_file(given(case, "artifact", case.parent / "a.txt"), digest_algorithm(bundle))
    verify = verify_blob if isinstance(bundle.content, MessageSignature) else verify_attestation
    return verify(bundle, digest, root=parse_trusted_root(root.read_bytes()), identity=who)


def verify(case: Path, bundle: bytes | None = None) -> Verified:
    return check(parse_bundle(bundle or (case / "bundle.sigstore.json").read_bytes()), case, signer(case))


def test_every_case_is_listed_once(cases):
    assert sorted([*ACCEPTED, *REFUSED]) == sorted(path.name for path in cases.iterdir() if path.is_dir())
    assert not any(name.endswith("_fail") for name in ACCEPTED)
    assert all(name.endswith("_fail") for name in REFUSED)


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(cases, name):
    assert [entry.kind for entry in verify(cases / name).entries] == [ACCEPTED[name]]


@pytest.mark.parametrize("name", REFUSED)
def test_refused(cases, name):
    with pytest.raises(SigError, match=REFUSED[name]):
        verify(cases / name)


def test_a_time_outside_the_certificate_is_refused_as_such(cases):
    case = cases / "rekor2-timestamp-with-incorrect-time_fail"
    document = json.loads((case / "bundle.sigstore.json").read_bytes())
    (stamp,) = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamp["signedTimestamp"] = "".join(stamp["signedTimestamp"].split())
    with pytest.raises(Refused, match="no trusted certificate authority vouches"):
        verify(case, json.dumps(document).encode())


def test_another_managed_key_is_refused_as_such(cases):
    """V14: the bundle's own key never decides; the log entry and the signature are those of another key."""
    case = cases / "managed-key-happy-path"
    bundle = parse_bundle((case / "bundle.sigstore.json").read_bytes())
    with pytest.raises(Refused, match=r"spec.signature.publicKey.content differs"):
        check(bundle, case, ManagedKey(generate_p256().public_key()))


def test_a_certificate_where_a_key_is_expected(cases):
    """V14 the other way round."""
    case = cases / "happy-path-v0.3"
    bundle = parse_bundle((case / "bundle.sigstore.json").read_bytes())
    with pytest.raises(Refused, match="signed with a certificate, a key was named"):
        check(bundle, case, signer(cases / "managed-key-happy-path"))


# --- the suite's own protocol: exit codes of `sigbox conformance verify-bundle` ------------------------------------
@pytest.mark.parametrize("by_digest", [False, True], ids=["path", "digest"])
@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_the_suite_gets_its_exit_code(cases, name, by_digest, capsys):
    case = cases / name
    artifact = given(case, "artifact", case.parent / "a.txt")
    if (case / "key.pub").exists():
        who = ["--key", str(case / "key.pub")]
    else:
        identity, issuer = text(case, "identity", IDENTITY), text(case, "issuer", ISSUER)
        who = ["--certificate-identity", identity, "--certificate-oidc-issuer", issuer]
    root = given(case, "trusted_root.json", case.parent.parent / "production_trusted_root.json")
    what = f"sha256:{digest_file(artifact).hex()}" if by_digest else str(artifact)
    bundle = ["--bundle", str(case / "bundle.sigstore.json")]
    code = main(["conformance", "verify-bundle", *bundle, *who, "--trusted-root", str(root), what])
    assert code == (0 if name in ACCEPTED else 1)
    assert "Traceback" not in capsys.readouterr().err
