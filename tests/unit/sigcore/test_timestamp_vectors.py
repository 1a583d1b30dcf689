# SPDX-License-Identifier: Apache-2.0
"""Timestamps of other authorities: the rfc3161-client fixtures and every timestamp in the conformance suite's bundles."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigcore import timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Refused, SigError
from sigcore.strict import parse_time
from sigcore.x509 import Certificate, parse_certificate, parse_certificates_pem

HELLO = b"hello"


def chain_of(folder: Path) -> tuple[Certificate, ...]:
    data = (folder / "ts_chain.pem").read_bytes()
    return parse_certificates_pem(data) if data.startswith(b"-----") else (parse_certificate(data),)


def verify(folder: Path, name: str, message: bytes = HELLO, chain: tuple[Certificate, ...] | None = None) -> datetime:
    response = timestamp.parse_response((folder / name).read_bytes())
    return timestamp.verify_response(response, message, chain=chain or chain_of(folder))


# --- rfc3161-client's fixtures -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "hashing"),
    [
        ("response-sha256.tsr", HashAlgorithm.SHA2_256),
        ("response-sha384.tsr", HashAlgorithm.SHA2_384),
        ("response-sha512.tsr", HashAlgorithm.SHA2_512),
        ("response-no-embedded-cert.tsr", HashAlgorithm.SHA2_256),
    ],
)
def test_sigstage_verifies_with_a_p384_key_and_sha256(vectors: Path, name: str, hashing: HashAlgorithm):
    folder = vectors / "rfc3161" / "sigstage"
    info = timestamp.parse_response((folder / name).read_bytes()).info
    assert (info.policy, info.hash, info.accuracy_us) == ("1.3.6.1.4.1.57264.2", hashing, 1_000_000)
    assert verify(folder, name) == info.time
    with pytest.raises(Refused, match="over another message"):
        verify(folder, name, b"hullo")


def test_sigstage_request_is_answered_by_no_other_response(vectors: Path):
    folder = vectors / "rfc3161" / "test_tsa"
    request = timestamp.parse_request((folder / "request.der").read_bytes())
    info = timestamp.verify_answer(timestamp.parse_response((folder / "response.tsr").read_bytes()), request)
    assert info.nonce == request.nonce == 0x36A44F9F4A391FD3
    with pytest.raises(Refused, match="does not repeat the request's nonce"):
        timestamp.verify_answer(timestamp.parse_response((folder / "other_response.tsr").read_bytes()), request)


def test_sigstage_with_a_spoiled_signature_is_refused(vectors: Path):
    with pytest.raises(Refused, match="signature of the timestamp token does not verify"):
        verify(vectors / "rfc3161" / "sigstage", "response-invalid-signature.tsr")


def test_a_three_certificate_chain_verifies_with_and_without_its_leaf(vectors: Path):
    folder, name = vectors / "rfc3161" / "test_tsa", "response.tsr"
    leaf, intermediate, root = chain_of(folder)
    time = verify(folder, name)
    assert verify(folder, name, chain=(intermediate, root)) == time
    with pytest.raises(SigError):
        verify(folder, name, chain=(root,))  # the intermediate is missing
    with pytest.raises(Refused, match="and no root"):
        verify(folder, name, chain=(leaf,))
    with pytest.raises(Refused, match="has no certificates"):
        timestamp.verify_response(timestamp.parse_response((folder / name).read_bytes()), HELLO, chain=())


def test_injected_certificates_change_nothing(vectors: Path):
    """GHSA-3xxc-pwj6-jgrj: a spoofed certificate rides along; the signer is the one that the signature names."""
    folder = vectors / "rfc3161" / "test_tsa"
    name = "response-injected-certs.tsr"
    response = timestamp.parse_response((folder / name).read_bytes())
    assert len(response.token.certificates) == 3
    assert verify(folder, name) == verify(folder, "response.tsr")
    assert verify(folder, name, chain=chain_of(folder)[1:]) == response.info.time
    spoofed = parse_certificate(response.token.certificates[0])
    with pytest.raises(Refused, match="names another signer"):
        verify(folder, name, chain=(spoofed, *chain_of(folder)[1:]))


def test_identrust_rsa_with_v1_signing_certificate_from_its_root_alone(vectors: Path):
    folder = vectors / "rfc3161" / "identrust"
    assert verify(folder, "issue-104.tsr") == datetime(2025, 3, 11, 8, 52, 8, tzinfo=UTC)


def test_mock_of_sigstore_js_verifies_at_its_own_time(vectors: Path):
    """Its certificates ended in 2024; its serial number is negative."""
    folder = vectors / "rfc3161" / "sigstore.mock"
    response = timestamp.parse_response((folder / "response-expired.tsr").read_bytes())
    assert response.info.serial == -0x21524111
    assert verify(folder, "response-expired.tsr", (folder / "payload").read_bytes()) == datetime(2023, 2, 1, tzinfo=UTC)


def test_a_response_of_another_authority_is_refused(vectors: Path):
    with pytest.raises(Refused, match="not the trusted authority's"):
        verify(vectors / "rfc3161" / "test_tsa", "response.tsr", chain=chain_of(vectors / "rfc3161" / "sigstage"))
    with pytest.raises(Refused, match="not the trusted authority's"):
        verify(vectors / "rfc3161" / "test_tsa", "other_response.tsr")  # the same names, another key


# --- the conformance suite's bundles -------------------------------------------------------------------
REFUSED = {
    "rekor2-timestamp-outside-tsa-cert-validity_fail",
    "rekor2-timestamp-payload-mismatch_fail",
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail",
}
"""Cases whose timestamp does not hold; every other one fails for a reason beside it, or must verify."""


def cases(vectors: Path):
    """(name, timestamps, message, authorities) of each bundle that has timestamps."""
    suite = vectors / "sigstore-conformance"
    for bundle_path in sorted(suite.glob("bundle-verify/*/bundle.sigstore.json")):
        try:
            bundle = json.loads(bundle_path.read_bytes())
        except ValueError:
            continue
        data = bundle["verificationMaterial"].get("timestampVerificationData") or {}
        stamps = [base64.b64decode(stamp["signedTimestamp"]) for stamp in data.get("rfc3161Timestamps", [])]
        if not stamps:
            continue
        own_root = bundle_path.parent / "trusted_root.json"
        root_path = own_root if own_root.exists() else suite / "production_trusted_root.json"
        text = bundle["messageSignature"]["signature"] if "messageSignature" in bundle else None
        message = base64.b64decode(text or bundle["dsseEnvelope"]["signatures"][0]["sig"])
        yield bundle_path.parent.name, stamps, message, json.loads(root_path.read_bytes())["timestampAuthorities"]


def chain_in(authority: dict) -> tuple[Certificate, ...]:
    return tuple(parse_certificate(base64.b64decode(c["rawBytes"])) for c in authority["certChain"]["certificates"])


def test_conformance_timestamps(vectors: Path):
    seen = set()
    for name, stamps, message, (authority,) in cases(vectors):
        seen.add(name)
        for stamp in stamps:
            try:
                timestamp.verify_response(timestamp.parse_response(stamp), message, chain=chain_in(authority))
                refused = False
            except SigError:
                refused = True
            assert refused == (name in REFUSED), name
    assert seen >= REFUSED
    assert len(seen) >= 30


def test_conformance_window_of_the_trusted_root_is_the_callers(vectors: Path):
    """The end of the window is inclusive to the second: the one case equals it, the other is after it."""
    found = {}
    for name, (stamp, *_), message, (authority,) in cases(vectors):
        if "tsa-validity" in name and "cert" not in name:
            time = timestamp.verify_response(timestamp.parse_response(stamp), message, chain=chain_in(authority))
            end = parse_time(authority["validFor"]["end"], what="end")
            found[name] = time > end
    assert found == {
        "rekor2-timestamp-outside-trust-root-tsa-validity_fail": True,
        "trust-root-tsa-validity-end-inclusive": False,
    }
