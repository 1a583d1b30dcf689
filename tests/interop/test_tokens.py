# SPDX-License-Identifier: Apache-2.0
"""A stack whose authorities and logs all sign in a PKCS#11 token: to the official clients it is a stack like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.places import Kind, Place, succeed
from tests.interop.round_trip import sign_and_verify, trust_by_tuf_alone
from tests.interop.tools import PYTHON, Cosign
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


@KINDS
def test_sigstore_python_signs_and_verifies_on_either_log(place: Place, kind: Kind):
    sign_and_verify(PYTHON, place, kind)


@KINDS
def test_cosign_signs_and_verifies_on_either_log(place: Place, kind: Kind, cosign_v3: Cosign):
    sign_and_verify(cosign_v3, place, kind)


def test_sigstore_python_needs_the_first_root_alone(place: Place):
    trust_by_tuf_alone(place)
