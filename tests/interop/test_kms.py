# SPDX-License-Identifier: Apache-2.0
"""Keys in a KMS, over Sigstore's plugin protocol: cosign and ours as the callers, of our program and of one that the tests wrote from the
protocol alone. Each reads what the other signed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import kms_program
from tests.interop.image_matrix import ImageMatrix
from tests.interop.places import CONTENT, Done, Place, refuse, succeed
from tests.interop.tools import Cosign
from tests.registries import docker_registry
from tests.soft_token import SoftToken, soft_token
from tests.stack_process import sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]
PASSWORD = {"COSIGN_PASSWORD": "of no use to anybody"}
HELD = pytest.mark.parametrize("where", ["file", "token", "second"])


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    with soft_token(tmp_path_factory.mktemp("hsm")) as made:
        yield made


class Callers:
    """cosign and sigbox in one folder, with both programs in PATH."""

    def __init__(self, place: Place, cosign: Cosign, token: SoftToken) -> None:
        self.place, self._cosign, self._token = place, cosign, token
        self.programs = place.folder / "bin"
        kms_program.install(self.programs)
        kms_program.install_ours(self.programs)
        self._environment = {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}", **PASSWORD}

    def key(self, where: str, name: str) -> str:
        """The reference of a key that is not there yet."""
        if where == "token":
            return f"sigbox://{self._token.uri(f'{self.place.folder.name}-{name}'[-30:])}"
        scheme = "sigbox" if where == "file" else kms_program.NAME
        return f"{scheme}://{self.place.folder / name}.key"

    def cosign(self, *arguments: str | Path) -> Done:
        conf = {"SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"]}
        return self._cosign.run(self.place, *arguments, **self._environment, **conf)

    def ours(self, *arguments: str | Path) -> Done:
        return sigbox(*arguments, cwd=self.place.folder, **self._environment)


@pytest.fixture
def callers(place: Place, cosign_v3: Cosign, token: SoftToken) -> Callers:
    succeed(cosign_v3.initialize(place))
    return Callers(place, cosign_v3, token)


@HELD
def test_cosign_makes_a_key_signs_and_verifies_and_so_do_we(callers: Callers, where: str):
    place, key, other = callers.place, callers.key(where, "release"), callers.key(where, "other")
    artifact, pub = place.artifact(), place.folder / "cosign.pub"
    succeed(callers.cosign("generate-key-pair", "--kms", key, "--output-key-prefix", "cosign"))
    succeed(callers.ours("generate-key-pair", "--kms", other, "--output-key-prefix", "other"))
    for ask in (callers.cosign, callers.ours):
        shown = ask("public-key", "--key", key)
        succeed(shown)
        assert shown.stdout == pub.read_text()

    succeed(callers.cosign("sign-blob", "--yes", "--key", key, "--bundle", "theirs.json", artifact))
    succeed(
        callers.ours(
            "sign-blob", "--key", key, "--bundle", "ours.json", "--trust-config", place.stack.trust_config, artifact
        )
    )
    trust = ("--trusted-root", place.stack.trusted_root)
    for bundle in ("theirs.json", "ours.json"):
        for ask in (callers.cosign, callers.ours):
            check = ("verify-blob", "--bundle", bundle, *trust, artifact, "--key")
            succeed(ask(*check, key if bundle == "theirs.json" else "cosign.pub"))
    refuse(callers.cosign(*check, other))
    refuse(callers.ours(*check, other), because="REFUSED")
    artifact.write_bytes(CONTENT + b".")
    refuse(callers.cosign(*check, key))


def test_images_are_signed_with_either_program_in_both_layouts(callers: Callers, tmp_path: Path):
    """The second program reads the message: what is signed at a tag is a payload, and no file of the user's."""
    place, trust = callers.place, ("--trust-config", callers.place.stack.trust_config)
    (tmp_path / "registry").mkdir()
    with docker_registry(tmp_path / "registry") as registry:
        images = ImageMatrix(place.stack, registry, tmp_path)
        for where in ("file", "second"):
            key, image = callers.key(where, "images"), images.image(where)
            succeed(callers.ours("generate-key-pair", "--kms", key, "--output-key-prefix", where))
            succeed(callers.ours("sign", image, "--key", key, "--format", "both", *trust))
            succeed(callers.cosign("verify", "--key", key, image))
            succeed(
                callers.cosign(
                    "verify", "--key", key, "--new-bundle-format=false", "--rekor-url", place.stack.url, image
                )
            )
            predicate = ("--type", "custom", "--predicate", place.predicate())
            succeed(callers.cosign("attest", "--yes", "--key", key, *predicate, image))
            succeed(callers.ours("verify-attestation", "--type", "custom", "--key", key, image, *trust))
        refuse(callers.ours("verify", "--key", "file.pub", image, *trust), because="REFUSED")
