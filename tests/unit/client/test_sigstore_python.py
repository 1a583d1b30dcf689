# SPDX-License-Identifier: Apache-2.0
"""The second opinion: sigstore-python, unmodified, on what we write."""

from __future__ import annotations

import json
import warnings

import pytest

from sigcore.bundle import encode_bundle
from sigcore.trustroot import encode_trusted_root
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn while they are imported
    models = pytest.importorskip("sigstore.models")
    verify = pytest.importorskip("sigstore.verify")
    errors = pytest.importorskip("sigstore.errors")


@pytest.fixture(scope="module")
def instance() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture
def verifier(instance, tmp_path):
    path = tmp_path / "trusted_root.json"
    path.write_bytes(encode_trusted_root(instance.root))
    return verify.Verifier(trusted_root=models.TrustedRoot.from_file(str(path)))


def test_it_accepts_our_bundle_under_our_trusted_root(instance, verifier):
    theirs = models.Bundle.from_json(encode_bundle(instance.sign()))
    verifier.verify_artifact(ARTIFACT, theirs, verify.policy.Identity(identity=EMAIL, issuer=ISSUER))


def test_it_refuses_what_we_refuse(instance, verifier):
    document = json.loads(encode_bundle(instance.sign()))
    other = json.loads(encode_bundle(instance.sign()))
    document["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    theirs = models.Bundle.from_json(json.dumps(document))
    with pytest.raises(errors.VerificationError):
        verifier.verify_artifact(ARTIFACT, theirs, verify.policy.Identity(identity=EMAIL, issuer=ISSUER))
