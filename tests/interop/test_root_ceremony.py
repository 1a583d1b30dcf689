# SPDX-License-Identifier: Apache-2.0
"""The official clients walk from the root that a server signed over the one that people sign, with names in its keys and ECDSA among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.clients import GITSIGN
from tests.interop.conftest import needed
from tests.interop.places import ALICE, Kind, Place, Signed, make_signed, succeed
from tests.interop.repository import Repository
from tests.interop.tools import PYTHON, Cosign, SigstoreJs
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PEOPLE = {"alice": "p256", "bob": "ed25519", "carol": "p256"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One whose second root is signed by two of three people, and by the server's key for the last time."""
    folder = tmp_path_factory.mktemp("ceremony")
    secret, file = folder / "passphrase", folder / "root.proposed.json"
    secret.write_text("correct horse\n")
    with running_stack(folder, "--ephemeral") as running:
        added: list[str | Path] = []
        for name, scheme in PEOPLE.items():
            own = ("--scheme", scheme, "--passphrase-file", secret)
            succeed(sigbox("trust", "root", "key", folder / f"{name}.key", *own))
            added += ["--add", folder / f"{name}.pub"]
        change = (*added, "--remove", "server", "--threshold", "2")
        succeed(sigbox("trust", "root", "propose", *change, "--out", file, "--data", running.data))
        for name in ("alice", "bob"):
            own = ("--key", folder / f"{name}.key", "--passphrase-file", secret, "--yes")
            succeed(sigbox("trust", "root", "sign", file, *own))
        succeed(sigbox("trust", "root", "accept", file, "--data", running.data))
        (running.data / "tuf" / "root.key").unlink()
        succeed(sigbox("trust", "refresh", "--data", running.data))
        yield running


def test_cosign_and_sigstore_python_walk_to_the_root_that_people_signed(
    cosign_v3: Cosign, cosign_v2: Cosign, stack: RunningStack, tmp_path: Path
):
    """With nothing but the first root each signs and verifies over TUF."""
    instance = ("--instance", stack.tuf_mirror)
    for cosign in (cosign_v3, cosign_v2):
        place = Place(stack, tmp_path / ("v2" if cosign.is_v2 else "v3"))
        place.folder.mkdir()
        succeed(cosign.initialize(place))
        signed = make_signed(cosign, place, Kind.MESSAGE_V2)
        succeed(cosign.verify(signed, ALICE, stack.oidc_issuer))
        succeed(PYTHON.run(place, *instance, "trust-instance", stack.tuf_root))
        policy = ("--cert-identity", ALICE, "--cert-oidc-issuer", stack.oidc_issuer)
        succeed(PYTHON.run(place, *instance, "verify", "identity", "--bundle", signed.bundle, *policy, signed.artifact))


def test_sigstore_js_walks_to_the_root_that_people_signed(sigstore_js: SigstoreJs, place: Place):
    stack = place.stack
    succeed(sigstore_js.command(place, "initialize", "--mirror", stack.tuf_mirror, "--root", stack.tuf_root))
    artifact = place.artifact()
    signed = Signed(place, artifact, place.folder / "bundle.json", Kind.INTOTO_V1)
    succeed(sigstore_js.attest(place, place.statement(artifact), signed.bundle, "--tsa-server-url", stack.url))


def test_gitsign_walks_to_the_root_that_people_signed(place: Place):
    with needed():
        repository = Repository(place, GITSIGN.installed())
    repository.commit(SIGSTORE_ID_TOKEN=place.stack.token(ALICE))
    succeed(repository.verify(ALICE, place.stack.oidc_issuer))
