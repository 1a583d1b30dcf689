# SPDX-License-Identifier: Apache-2.0
"""What holds for every registry: in memory, with and without the referrers API, and for two real ones over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from client.oci.digests import digest_of
from client.oci.http import HttpRegistry
from client.oci.manifest import IMAGE_MANIFEST, Descriptor, describe, encode_manifest, parse_manifest
from client.oci.reference import parse_reference, referrers_tag
from sigcore.errors import Malformed, NotFound, Refused
from tests.oci_memory import MemoryRegistry
from tests.registries import docker_registry, go_registry
from tests.registry_images import LAYER, NOTE, image_parts, note, push_image, push_index, push_note

MEMORY = ("memory", "memory without referrers API")
REAL = {"docker-registry": docker_registry, "go-containerregistry": go_registry}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Each real registry, started when it is asked for first."""
    with ExitStack() as stack:
        started = {}

        def start(kind):
            if kind not in started:
                started[kind] = stack.enter_context(REAL[kind](tmp_path_factory.mktemp(kind)))
            return started[kind]

        yield start


@pytest.fixture(params=[*MEMORY, *(pytest.param(kind, marks=pytest.mark.interop) for kind in REAL)])
def kind(request):
    return request.param


@pytest.fixture
async def registry(kind, running):
    if kind in MEMORY:
        yield MemoryRegistry(referrers_api=kind == MEMORY[0])
    else:
        running(kind)
        async with HttpRegistry(environment={"HOME": "/nonexistent"}) as registry:
            yield registry


@pytest.fixture
def ref(kind, running, request):
    """A repository of this test's own."""
    address = "registry.example" if kind in MEMORY else running(kind).address
    return parse_reference(f"{address}/team/{digest_of(request.node.name.encode())[7:19]}:1")


async def test_an_image_comes_back_as_it_was_stored(registry, ref):
    image = await push_image(registry, ref)
    manifest, config, layer = image_parts()
    by_tag, data = await registry.manifest(ref)
    assert (by_tag, data) == (Descriptor(IMAGE_MANIFEST, digest_of(manifest), len(manifest)), manifest)
    assert await registry.manifest(image) == (by_tag, manifest)
    assert await registry.resolve(ref) == await registry.resolve(image) == by_tag
    parsed = parse_manifest(manifest, IMAGE_MANIFEST)
    assert await registry.blob(image, parsed.config) == config
    assert await registry.blob(image, parsed.layers[0]) == layer


async def test_a_tag_can_be_moved_and_the_digest_stays(registry, ref):
    first = await push_image(registry, ref, b"one")
    second = await push_image(registry, ref, b"two")
    assert (await registry.resolve(ref)).digest == second.digest != first.digest
    assert (await registry.resolve(first)).digest == first.digest
    assert await registry.tags(ref) == ("1",)


async def test_all_tags_are_listed(registry, ref):
    for tag in ("a", "b", "1.0"):
        await push_image(registry, ref.at_tag(tag))
    assert sorted(await registry.tags(ref)) == ["1.0", "a", "b"]


async def test_what_is_not_there_is_not_found(registry, ref):
    image = await push_image(registry, ref)
    nothing = digest_of(b"nothing")
    for absent in (ref.at_tag("other"), image.at_digest(nothing)):
        with pytest.raises(NotFound):
            await registry.manifest(absent)
    blob = Descriptor(LAYER, nothing, 7)
    assert not await registry.has_blob(ref, blob)
    with pytest.raises(NotFound):
        await registry.blob(ref, blob)
    assert await registry.referrers(image) == ()


async def test_a_manifest_is_stored_under_its_own_digest_alone(registry, ref):
    await push_image(registry, ref)
    manifest, *_ = image_parts()
    with pytest.raises(Refused, match="expected sha256:"):
        await registry.put_manifest(ref.at_digest(digest_of(b"other")), IMAGE_MANIFEST, manifest)
    stored = await registry.put_manifest(ref.at_digest(digest_of(manifest)), IMAGE_MANIFEST, manifest)
    assert stored == describe(IMAGE_MANIFEST, manifest)


async def test_what_is_no_manifest_is_not_stored(registry, ref):
    with pytest.raises(Malformed):
        await registry.put_manifest(ref, IMAGE_MANIFEST, b"{}")


async def test_a_blob_is_stored_once_and_passes_through_files(registry, ref, tmp_path):
    content = bytes(range(256)) * 1000
    descriptor = describe(LAYER, content)
    (tmp_path / "in").write_bytes(content)
    await registry.load_blob(ref, descriptor, tmp_path / "in")
    await registry.put_blob(ref, content)
    assert await registry.has_blob(ref, descriptor)
    await registry.save_blob(ref, descriptor, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


async def test_a_file_that_is_not_the_blob_is_not_stored(registry, ref, tmp_path):
    (tmp_path / "in").write_bytes(b"other")
    with pytest.raises(Refused):
        await registry.load_blob(ref, describe(LAYER, b"content"), tmp_path / "in")


async def test_a_blob_of_another_size_than_the_manifest_says_is_refused(registry, ref):
    await registry.put_blob(ref, b"content")
    digest = digest_of(b"content")
    for size in (0, 3, 100):
        with pytest.raises((Refused, Malformed)):
            await registry.blob(ref, Descriptor(LAYER, digest, size))


async def test_a_blob_beyond_the_limit_is_not_asked_for(registry, ref):
    await registry.put_blob(ref, b"content")
    with pytest.raises(Malformed, match="the limit is 6"):
        await registry.blob(ref, describe(LAYER, b"content"), limit=6)


async def test_referrers_are_found_with_their_annotations_and_read_back(registry, ref):
    image = await push_image(registry, ref)
    one, two = await push_note(registry, image, "one"), await push_note(registry, image, "two")
    other = await push_image(registry, ref.at_tag("2"), b"other")
    await push_note(registry, other, "elsewhere")
    found = await registry.referrers(image)
    assert {d.digest for d in found} == {one.digest, two.digest}
    assert {d.annotation("org.example.text") for d in found} == {"one", "two"}
    for descriptor in found:
        document = parse_manifest(await registry.referrer(image, descriptor), IMAGE_MANIFEST)
        assert document.artifact_type == NOTE
        assert document.subject.digest == image.digest


async def test_referrers_may_be_asked_for_by_type(registry, ref, kind):
    image = await push_image(registry, ref)
    wanted = await push_note(registry, image, "wanted")
    await push_note(registry, image, "other", "application/vnd.example.other.v1+json")
    found = {d.digest for d in await registry.referrers(image, NOTE)}
    assert wanted.digest in found
    # go-containerregistry's registry lists the config's type in place of the artifact's, so nothing is left out.
    assert len(found) == (2 if kind == "go-containerregistry" else 1)


async def test_what_is_attached_twice_is_listed_once(registry, ref):
    image = await push_image(registry, ref)
    assert await push_note(registry, image) == await push_note(registry, image)
    assert len(await registry.referrers(image)) == 1


async def test_the_fallback_tag_is_there_only_where_it_is_needed(registry, ref, kind):
    image = await push_image(registry, ref)
    await push_note(registry, image)
    needed = kind in ("docker-registry", MEMORY[1])
    assert (referrers_tag(image.digest) in await registry.tags(ref)) is needed


async def test_what_refers_to_something_else_is_not_attached(registry, ref):
    image = await push_image(registry, ref)
    other = await push_image(registry, ref.at_tag("2"), b"other")
    manifest, _ = note(await registry.resolve(other))
    plain, *_ = image_parts()
    for data in (manifest, plain):
        with pytest.raises(Refused, match="is listed among the referrers of"):
            await registry.attach(image, IMAGE_MANIFEST, data)


async def test_what_is_attached_at_the_same_time_is_all_there(registry, ref):
    image = await push_image(registry, ref)
    await asyncio.gather(*(push_note(registry, image, f"note {i}") for i in range(8)))
    assert len(await registry.referrers(image)) == 8


async def test_a_deleted_referrer_is_listed_no_more(registry, ref):
    image = await push_image(registry, ref)
    gone, stays = await push_note(registry, image, "gone"), await push_note(registry, image, "stays")
    await registry.delete(image.at_digest(gone.digest))
    assert [d.digest for d in await registry.referrers(image)] == [stays.digest]
    with pytest.raises(NotFound):
        await registry.manifest(image.at_digest(gone.digest))


async def test_a_deleted_image_is_not_found(registry, ref, kind):
    image = await push_image(registry, ref)
    await registry.delete(image)
    # go-containerregistry's registry keeps the tags of what is deleted.
    for absent in (image,) if kind == "go-containerregistry" else (image, ref):
        with pytest.raises(NotFound):
            await registry.manifest(absent)


async def test_an_index_leads_to_its_images(registry, ref):
    one, two = [await push_image(registry, ref.at_tag(tag), tag.encode()) for tag in ("one", "two")]
    index = await push_index(registry, ref, one, two)
    descriptor, data = await registry.manifest(index)
    document = parse_manifest(data, descriptor.media_type)
    assert [entry.digest for entry in document.manifests] == [one.digest, two.digest]
    assert encode_manifest(document) == data
