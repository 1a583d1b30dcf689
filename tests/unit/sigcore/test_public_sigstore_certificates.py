# SPDX-License-Identifier: Apache-2.0
"""The public Sigstore's own certificates: they parse, chain, and mean what the library says they mean."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509 as oracle

from sigcore import chain, extensions, fulcio, general_name, x509
from sigcore.errors import Refused


def authorities(vectors, kind: str) -> list[list[x509.Certificate]]:
    document = json.loads((vectors / "sigstore-conformance" / "production_trusted_root.json").read_bytes())
    return [
        [x509.parse_certificate(base64.b64decode(item["rawBytes"])) for item in authority["certChain"]["certificates"]]
        for authority in document[kind]
    ]


@pytest.fixture
def leaves(vectors) -> list[x509.Certificate]:
    found = []
    for path in sorted((vectors / "sigstore-conformance" / "bundle-verify" / "happy-path-v0.3").glob("*.json")):
        material = json.loads(path.read_bytes())["verificationMaterial"]
        found.append(x509.parse_certificate(base64.b64decode(material["certificate"]["rawBytes"])))
    assert found
    return found


def test_leaves_chain_to_the_public_root(vectors, leaves):
    everything = [
        certificate for authority in authorities(vectors, "certificateAuthorities") for certificate in authority
    ]
    intermediates = [c for c in everything if c.subject != c.issuer]
    roots = [c for c in everything if c.subject == c.issuer]
    for leaf in leaves:
        path = chain.verify_chain(leaf, intermediates, roots, at=leaf.not_before, eku=x509.EKU_CODE_SIGNING)
        assert [x509.common_name(c.subject) for c in path] == ["", "sigstore-intermediate", "sigstore"]
        assert x509.organization(path[-1].subject) == "sigstore.dev"
        late = leaf.not_after + timedelta(seconds=1)
        with pytest.raises(Refused, match="expired at"):
            chain.verify_chain(leaf, intermediates, roots, at=late, eku=x509.EKU_CODE_SIGNING)
        with pytest.raises(Refused, match="not for the purpose"):
            chain.verify_chain(leaf, intermediates, roots, at=leaf.not_before, eku=x509.EKU_TIME_STAMPING)


def test_leaves_mean_what_the_library_reads(leaves):
    for leaf in leaves:
        theirs = oracle.load_der_x509_certificate(leaf.der)
        assert leaf.tbs == theirs.tbs_certificate_bytes
        assert leaf.serial == theirs.serial_number
        names = theirs.extensions.get_extension_for_class(oracle.SubjectAlternativeName).value
        assert [general_name.parse_san(leaf).value] == [name.value for name in names]
        raw_issuer = theirs.extensions.get_extension_for_oid(oracle.ObjectIdentifier(f"{fulcio.ARC}.1")).value
        values = fulcio.parse_extensions(leaf)
        assert values.issuer.encode() == raw_issuer.value
        kept = [e for e in leaf.extensions if e.oid.startswith(f"{fulcio.ARC}.")]
        assert list(fulcio.encode_extensions(values)) == kept


def test_the_timestamp_authority_chains(vectors):
    for leaf, *issuers in authorities(vectors, "timestampAuthorities"):
        path = chain.verify_chain(leaf, issuers[:-1], issuers[-1:], at=leaf.not_before, eku=x509.EKU_TIME_STAMPING)
        assert path == (leaf, *issuers)
        purpose = leaf.extension(extensions.EXTENDED_KEY_USAGE)
        assert purpose is not None
        assert purpose.critical


@pytest.mark.parametrize("name", ["sigstage", "sigstore.mock", "test_tsa"])
def test_the_chains_of_other_timestamp_authorities(vectors, name):
    leaf, *issuers = x509.parse_certificates_pem((vectors / "rfc3161" / name / "ts_chain.pem").read_bytes())
    path = chain.verify_chain(leaf, issuers[:-1], issuers[-1:], at=leaf.not_before, eku=x509.EKU_TIME_STAMPING)
    assert path == (leaf, *issuers)


def test_every_certificate_in_every_bundle_reads_like_the_librarys(vectors):
    count = 0
    for path in sorted((vectors / "sigstore-conformance" / "bundle-verify").glob("*/bundle.sigstore.json")):
        try:
            material = json.loads(path.read_bytes())["verificationMaterial"]
        except ValueError:
            continue  # the malformed one
        single = [material["certificate"]] if "certificate" in material else []
        for item in (*single, *material.get("x509CertificateChain", {}).get("certificates", ())):
            data = base64.b64decode(item["rawBytes"])
            ours, theirs = x509.parse_certificate(data), oracle.load_der_x509_certificate(data)
            assert [(e.oid, e.critical) for e in ours.extensions] == [
                (e.oid.dotted_string, e.critical) for e in theirs.extensions
            ]
            assert ours.public_key() == theirs.public_key()
            count += 1
    assert count > 50
