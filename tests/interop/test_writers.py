# SPDX-License-Identifier: Apache-2.0
"""Logs that take certificates of their own authority and named keys: official clients sign as before, and say why one may not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.conftest import require
from tests.interop.places import ALICE, Kind, Place, make_signed, refuse, succeed
from tests.interop.tools import JS, PYTHON, V3, Cosign, Tool
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SECRET = {"COSIGN_PASSWORD": "of no use to anybody"}
VERSIONS = pytest.mark.parametrize("version", [1, 2])
OTHER = "is not among those that may write into this log"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """``keys/cosign.pub`` beside its data directory is named in its rules."""
    require(V3)
    folder = tmp_path_factory.mktemp("writers")
    data = folder / "data"
    assert sigbox("init", "--data", data).returncode == 0
    (folder / "keys").mkdir()
    with (data / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write('\n[log.writers]\ncertificates = "own"\nkeys = ["../keys/cosign.pub"]\n')
    home = Place(None, folder / "keys")  # type: ignore[arg-type]  # to make a key takes no stack
    succeed(V3.run(home, "generate-key-pair", **SECRET))
    with running_stack(folder, "--data", data) as running:
        yield running


@pytest.mark.parametrize(
    ("client", "kind"),
    [
        (V3, Kind.MESSAGE_V1),
        (V3, Kind.MESSAGE_V2),
        (V3, Kind.DSSE_V1),
        (V3, Kind.DSSE_V2),
        (PYTHON, Kind.MESSAGE_V2),
        (JS, Kind.INTOTO_V1),
    ],
    ids=lambda one: one.label if isinstance(one, Kind) else one.name,
)
def test_identities_sign_as_before(place: Place, client: Tool, kind: Kind):
    require(client)
    signed = make_signed(client, place, kind)
    succeed(client.verify(signed, ALICE, place.stack.oidc_issuer))


@VERSIONS
def test_a_named_key_signs_and_another_one_is_told_why_not(cosign_v3: Cosign, place: Place, version: int):
    named = place.stack.data.parent / "keys" / "cosign.key"
    succeed(cosign_v3.run(place, "generate-key-pair", **SECRET))
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    where = ("--signing-config", place.signing_config(version), "--trusted-root", place.stack.trusted_root)
    sign = ("sign-blob", "--yes", *where, "--bundle", bundle, artifact)
    refuse(cosign_v3.run(place, *sign, "--key", "cosign.key", **SECRET), because=OTHER)
    assert not bundle.exists()
    succeed(cosign_v3.run(place, *sign, "--key", named, **SECRET))
    assert bundle.exists()
