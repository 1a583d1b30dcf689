# SPDX-License-Identifier: Apache-2.0
"""Bundles that sigstore-js wrote over the years, under the public instance's trusted root."""

from __future__ import annotations

import json

import pytest

from client.verify import verify_attestation
from client.verify.identity import IdentityPolicy
from client.verify.signed import digest_algorithm
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import Refused
from sigcore.intoto import parse_statement
from sigcore.trustroot import parse_trusted_root

POLICY = IdentityPolicy("https://github.com/login/oauth", "brian@dehamer.com")
ACCEPTED = {
    "bundleV01-dsse-no-proof": "dsse 0.0.1",
    "bundleV01-dsse-with-proof": "dsse 0.0.1",
    "bundleV01-intoto-no-proof": "intoto 0.0.2",
    "bundleV01-intoto-with-proof": "intoto 0.0.2",
    "bundleV02-dsse": "dsse 0.0.1",
    "bundleV02-intoto": "intoto 0.0.2",
    "bundleV03-dsse": "dsse 0.0.1",
    "bundleV03-intoto": "intoto 0.0.2",
}


@pytest.fixture
def verify(vectors):
    root = parse_trusted_root((vectors / "sigstore-conformance" / "production_trusted_root.json").read_bytes())

    def check(name):
        bundle = parse_bundle((vectors / "sigstore-js-bundles" / f"{name}.sigstore").read_bytes())
        assert digest_algorithm(bundle) is HashAlgorithm.SHA2_512
        (subject,) = parse_statement(bundle.content.payload).subjects
        return verify_attestation(bundle, bytes.fromhex(dict(subject.digests)["sha512"]), root=root, identity=POLICY)

    return check


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(verify, name):
    (entry,) = verify(name).entries
    assert entry.kind == ACCEPTED[name]
    assert bool(entry.size) == ("no-proof" not in name)


def test_a_chain_with_its_root_is_refused(verify):
    """The conformance suite asks for that; the bundle is genuine."""
    with pytest.raises(Refused, match="contains a root"):
        verify("bundleV01-full-cert-chain")


def test_they_survive_a_round_trip(vectors):
    for path in sorted((vectors / "sigstore-js-bundles").glob("*.sigstore")):
        bundle = parse_bundle(path.read_bytes())
        assert parse_bundle(encode_bundle(bundle)) == bundle
        assert json.loads(encode_bundle(bundle))["mediaType"] == json.loads(path.read_bytes())["mediaType"]
