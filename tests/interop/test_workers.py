# SPDX-License-Identifier: Apache-2.0
"""The official Python client against a stack of several workers: to it, it is a stack like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.places import ALICE, CONTENT, MALLORY, Kind, Place, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("workers")
    with running_stack(folder, "--data", folder / "data", "--workers", "2") as running:
        yield running


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.INTOTO_V1], ids=lambda kind: kind.label)
def test_it_signs_and_attests_on_either_log_and_we_read_it(place: Place, kind: Kind):
    signed = make_signed(PYTHON, place, kind)
    signed.entry()
    for reader in (PYTHON, SIGBOX):
        succeed(reader.verify(signed, ALICE, place.stack.oidc_issuer))
        refuse(reader.verify(signed, MALLORY, place.stack.oidc_issuer))
    signed.artifact.write_bytes(CONTENT + b".")
    refuse(PYTHON.verify(signed, ALICE, place.stack.oidc_issuer))


def test_trust_comes_by_tuf_from_the_first_root_alone(place: Place):
    instance = ("--instance", place.stack.tuf_mirror)
    succeed(PYTHON.run(place, *instance, "trust-instance", place.stack.tuf_root))
    artifact = place.artifact()
    succeed(PYTHON.run(place, *instance, "sign", "--identity-token", place.stack.token(ALICE), artifact))
    said = ("--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    succeed(PYTHON.run(place, *instance, "verify", "identity", *said, artifact))
