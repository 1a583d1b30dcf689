# SPDX-License-Identifier: Apache-2.0
"""A trust root that carries a policy in a delegated role is still one that the official clients take over TUF."""

from __future__ import annotations

import json

import pytest

from tests.interop.places import ALICE, Kind, Place, Signed, make_signed, succeed
from tests.interop.tools import Cosign, SigstoreJs
from tests.stack_process import RunningStack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture
def governed(stack: RunningStack, place: Place) -> Place:
    """A place whose stack has published a policy."""
    policy = {
        "apiVersion": "policy/v1",
        "expires": "2099-12-31",
        "identities": {"alice": {"issuer": stack.oidc_issuer, "email": ALICE}},
        "artifacts": [{"match": {"file": "*"}, "allow": ["alice"], "anyName": True}],
    }
    file = place.folder / "policy.json"
    file.write_text(json.dumps(policy))
    succeed(sigbox("trust", "policy", file, "--data", stack.data))
    assert list((stack.data / "public" / "tuf").glob("*.policy.json"))
    return place


def test_cosign_signs_and_verifies(cosign_v3: Cosign, cosign_v2: Cosign, governed: Place):
    for cosign in (cosign_v3, cosign_v2):
        place = Place(governed.stack, governed.folder / ("v2" if cosign.is_v2 else "v3"))
        place.folder.mkdir()
        succeed(cosign.initialize(place))
        signed = make_signed(cosign, place, Kind.MESSAGE_V2)
        succeed(cosign.verify(signed, ALICE, governed.stack.oidc_issuer))
        succeed(
            sigbox(
                "verify-blob",
                signed.artifact,
                "--bundle",
                signed.bundle,
                SIGBOX_TRUSTED_ROOT=str(governed.stack.trusted_root),
            )
        )


def test_sigstore_js_attests(sigstore_js: SigstoreJs, governed: Place):
    stack = governed.stack
    succeed(sigstore_js.command(governed, "initialize", "--mirror", stack.tuf_mirror, "--root", stack.tuf_root))
    artifact = governed.artifact()
    signed = Signed(governed, artifact, governed.folder / "bundle.json", Kind.INTOTO_V1)
    succeed(sigstore_js.attest(governed, governed.statement(artifact), signed.bundle, "--tsa-server-url", stack.url))
