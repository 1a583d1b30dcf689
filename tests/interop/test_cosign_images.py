# SPDX-License-Identifier: Apache-2.0
"""Images between cosign and our commands, beyond the matrix: one image that both sign, saved directories, copies, removal, repair."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.interop.image_matrix import ImageMatrix
from tests.interop.images import IMAGE_SIGBOX, IMAGE_V2, IMAGE_V3, Means, Row
from tests.interop.places import ALICE, Done, Place, refuse, succeed
from tests.interop.tools import Cosign
from tests.registries import docker_registry
from tests.stack_process import running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TAG = Row(attestation=False, layout="tag", means=Means.KEYLESS_V1)
REFERRERS = Row(attestation=False, layout="referrers", means=Means.KEYLESS_V2)
PROVENANCE = Row(attestation=True, layout="tag", means=Means.KEYLESS_V1)
PROVENANCE_REFERRER = Row(attestation=True, layout="referrers", means=Means.KEYLESS_V1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, cosign_v3: Cosign, cosign_v2: Cosign) -> Iterator[ImageMatrix]:
    """A stack and a registry, and the clients there."""
    assert cosign_v2.name != cosign_v3.name
    folder = tmp_path_factory.mktemp("images")
    (folder / "registry").mkdir()
    with running_stack(folder, "--ephemeral") as stack, docker_registry(folder / "registry") as registry:
        yield ImageMatrix(stack, registry, folder)


def ours(place: Place, *arguments: str, trust: bool = True) -> Done:
    given = ("--trust-config", place.stack.trust_config) if trust else ()
    return sigbox(*arguments, *given, cwd=place.folder)


def who(place: Place) -> tuple[str, ...]:
    return ("--certificate-identity", ALICE, "--certificate-oidc-issuer", place.stack.oidc_issuer)


@pytest.mark.parametrize("row", [TAG, REFERRERS], ids=str)
def test_signatures_of_three_clients_stay_beside_each_other(images: ImageMatrix, row: Row):
    """Each adds to what the others wrote: to the manifest at the tag, to the index at the fallback tag."""
    image = images.image(f"three-{row.layout}")
    tools = (IMAGE_V2, IMAGE_SIGBOX, IMAGE_V3, IMAGE_SIGBOX)
    for tool in tools:
        succeed(tool.write(images.place(tool), image, row))
    for reader in (IMAGE_V2, IMAGE_SIGBOX, IMAGE_V3):
        done = reader.read(images.place(reader), image, row)
        succeed(done)
        assert len(json.loads(done.stdout)) == len(tools)


@pytest.mark.parametrize("row", [TAG, REFERRERS], ids=str)
def test_what_we_save_cosign_verifies_and_loads(images: ImageMatrix, row: Row):
    image, place = images.written(IMAGE_SIGBOX, row), images.place(IMAGE_V3)
    folder = f"ours-{row.layout}"
    succeed(ours(place, "save", "--dir", folder, image, trust=False))
    IMAGE_V3.cosign.trust(place)
    succeed(IMAGE_V3.cosign.run(place, "verify", "--local-image", *who(place), folder))
    refuse(
        IMAGE_V3.cosign.run(place, "verify", "--local-image", *who(place)[:1], "x@example.com", *who(place)[2:], folder)
    )
    loaded = f"{image.partition('@')[0]}-loaded:1"
    done = IMAGE_V3.cosign.run(place, "load", "--dir", folder, loaded)
    if row is REFERRERS:  # cosign stores a manifest before its bundle, which this registry refuses: see the next test
        refuse(done, because="MANIFEST_BLOB_UNKNOWN")
        return
    succeed(done)
    succeed(ours(place, "verify", loaded, "--signed-as", "any", *who(place)))


@pytest.mark.parametrize("row", [TAG, REFERRERS], ids=str)
def test_what_cosign_saves_we_verify_and_load(images: ImageMatrix, row: Row):
    image, place = images.written(IMAGE_V3, row), images.place(IMAGE_V3)
    folder = f"theirs-{row.layout}"
    succeed(IMAGE_V3.cosign.run(place, "save", "--dir", folder, image))
    succeed(ours(place, "verify", "--local-image", folder, *who(place)))
    loaded = f"{image.partition('@')[0]}-loaded:1"
    if row is REFERRERS:  # cosign itself cannot load what it has saved, into a registry that wants blobs first
        refuse(IMAGE_V3.cosign.run(place, "load", "--dir", folder, loaded), because="MANIFEST_BLOB_UNKNOWN")
    succeed(ours(place, "load", "--force", "--dir", folder, loaded, trust=False))
    succeed(IMAGE_V3.read(place, loaded, row))


def test_what_we_copy_cosign_verifies_and_the_other_way_round(images: ImageMatrix):
    place = images.place(IMAGE_V3)
    for row in (TAG, REFERRERS):
        image = images.written(IMAGE_V3, row)
        copy = f"{image.partition('@')[0]}-copied:1"
        succeed(ours(place, "copy", image, copy, trust=False))
        succeed(IMAGE_V3.read(place, copy, row))
        succeed(IMAGE_V2.read(images.place(IMAGE_V2), copy, row))
    for row in (TAG, REFERRERS):
        image = images.written(IMAGE_SIGBOX, row)
        copy = f"{image.partition('@')[0]}-by-cosign:1"
        succeed(IMAGE_V3.cosign.run(place, "copy", image, copy))
        done = ours(place, "verify", copy, "--signed-as", "any", *who(place))
        if row is TAG:
            succeed(done)
        else:  # it leaves referrers behind
            refuse(done)
            refuse(IMAGE_V3.read(place, copy, row))


def test_both_name_the_same_tags_and_download_the_same(images: ImageMatrix):
    place, image = images.place(IMAGE_V3), images.written(IMAGE_SIGBOX, TAG)
    for kind in ("signature", "attestation", "digest"):
        found = [
            run("triangulate", "--type", kind, image)
            for run in (
                lambda *words: IMAGE_V3.cosign.run(place, *words),
                lambda *words: ours(place, *words, trust=False),
            )
        ]
        assert found[0].stdout == found[1].stdout != ""
    theirs, own = (
        json.loads(done.stdout)
        for done in (
            IMAGE_V3.cosign.run(place, "download", "signature", image),
            ours(place, "download", "signature", image, trust=False),
        )
    )
    for name in ("Base64Signature", "Payload", "Bundle", "RFC3161Timestamp"):
        assert theirs[name] == own[name]
    assert theirs["Cert"]["Raw"] == own["Cert"]["Raw"]


@pytest.mark.parametrize("row", [TAG, REFERRERS], ids=str)
def test_what_we_attach_cosign_removes_and_the_other_way_round(images: ImageMatrix, row: Row):
    place = images.place(IMAGE_V3)
    image = images.image(f"cleaned-{row.layout}")
    succeed(IMAGE_SIGBOX.write(images.place(IMAGE_SIGBOX), image, row))
    succeed(IMAGE_V3.cosign.run(place, "clean", "--force", image))
    refuse(ours(place, "verify", image, *who(place)), because="has no signature")
    image = images.image(f"cleaned-{row.layout}-by-us")
    succeed(IMAGE_V3.write(place, image, row))
    succeed(ours(place, "clean", "--force", image, trust=False))
    refuse(IMAGE_V3.read(place, image, row))
    refuse(ours(place, "verify", image, *who(place)), because="has no signature")


@pytest.mark.parametrize("writer", [IMAGE_V3, IMAGE_V2], ids=lambda tool: tool.name)
@pytest.mark.parametrize("row", [PROVENANCE, PROVENANCE_REFERRER], ids=str)
def test_an_attestation_of_cosign_is_repaired_for_cosign(images: ImageMatrix, writer: object, row: Row):
    """What stands in one layout afterwards holds in both, for both; the layout that was there is removed to see it."""
    place = images.place(writer)
    image = images.image(f"repaired-{row.layout}-{place.folder.name.lower()}")
    succeed(writer.write(place, image, row))
    succeed(ours(place, "repair", image))
    succeed(
        ours(
            place,
            "clean",
            "--force",
            "--type",
            "attestation" if row.layout == "tag" else "referrer",
            image,
            trust=False,
        )
    )
    for reader in (IMAGE_V3, IMAGE_V2, IMAGE_SIGBOX):
        succeed(reader.read(images.place(reader), image, row))
        refuse(reader.read(images.place(reader), image, row, right=False))


def test_an_attestation_counts_as_a_signature_with_cosign_and_not_with_us(images: ImageMatrix):
    """cosign 3 takes any statement about the image for a signature of it. We ask for the statement that signs."""
    image, place = images.written(IMAGE_SIGBOX, PROVENANCE_REFERRER), images.place(IMAGE_V3)
    succeed(IMAGE_V3.read(place, image, REFERRERS))
    refuse(ours(place, "verify", image, *who(place)), because="has no signature")
