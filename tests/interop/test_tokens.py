# SPDX-License-Identifier: Apache-2.0
"""A stack whose authorities and logs all sign in a PKCS#11 token: to the official clients it is a stack like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.places import ALICE, CONTENT, MALLORY, Kind, Place, Tool, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX, Cosign
from tests.soft_token import ROLES, soft_token
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]
KINDS = pytest.mark.parametrize("kind", [Kind.MESSAGE_V1, Kind.MESSAGE_V2], ids=lambda kind: kind.label)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("token")
    with soft_token(folder / "hsm") as token:
        succeed(sigbox("init", "--data", folder / "data", "--yes", *token.options(*ROLES)))
        with running_stack(folder, "--data", folder / "data") as running:
            yield running


def signs_and_verifies(client: Tool, place: Place, kind: Kind) -> None:
    signed = make_signed(client, place, kind)
    signed.entry()
    for reader in (client, SIGBOX):
        succeed(reader.verify(signed, ALICE, place.stack.oidc_issuer))
        refuse(reader.verify(signed, MALLORY, place.stack.oidc_issuer))
    signed.artifact.write_bytes(CONTENT + b".")
    refuse(client.verify(signed, ALICE, place.stack.oidc_issuer))


@KINDS
def test_sigstore_python_signs_and_verifies_on_either_log(place: Place, kind: Kind):
    signs_and_verifies(PYTHON, place, kind)


@KINDS
def test_cosign_signs_and_verifies_on_either_log(place: Place, kind: Kind, cosign_v3: Cosign):
    signs_and_verifies(cosign_v3, place, kind)


def test_sigstore_python_needs_the_first_root_alone(place: Place):
    instance = ("--instance", place.stack.tuf_mirror)
    succeed(PYTHON.run(place, *instance, "trust-instance", place.stack.tuf_root))
    artifact = place.artifact()
    succeed(PYTHON.run(place, *instance, "sign", "--identity-token", place.stack.token(ALICE), artifact))
    said = ("--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    succeed(PYTHON.run(place, *instance, "verify", "identity", *said, artifact))
