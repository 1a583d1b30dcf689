# SPDX-License-Identifier: Apache-2.0
"""Signed images that are copied, saved, loaded and repaired; what is signed holds afterwards, and offline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from client.oci.attached import Layout, home_of
from client.oci.copying import Copying, Step, copy_image
from client.oci.digests import digest_of
from client.oci.directory import IMAGE, INDEX, KIND, ImageDirectory
from client.oci.legacy import ENTRY
from client.oci.manifest import (
    EMPTY_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    ImageManifest,
    describe,
    encode_manifest,
    parse_manifest,
)
from client.oci.ports import Registry
from client.oci.reading import read_all
from client.oci.reference import Reference, parse_reference, referrers_tag
from client.oci.referrers import add_referrer
from client.oci.repair import Plan, plan_repair
from client.oci.signing import sign_image, store
from client.oci.verification import Expected
from client.oci.walking import open_image, pick_platform, walk
from client.oci.writing import add_layers
from client.policy.logged_keys import find_any_key
from client.verify.signed import ManagedKey
from sigcore import keys
from sigcore.errors import NotFound, Refused, Unavailable
from sigcore.log_entry import LogEntry
from sigcore.strict import encode_base64
from tests.oci_memory import MemoryRegistry
from tests.platform_images import push_image, push_index
from tests.unit.client.imaging import APP, BOTH, Place
from tests.unit.client.minisig import NOW, MiniSigstore

MULTI = parse_reference("registry.example/team/multi:1.0")
MIRROR = parse_reference("mirror.example/app:copy")


@pytest.fixture
async def place(sigstore: MiniSigstore) -> Place:
    registry = MemoryRegistry()
    await push_image(registry, APP)
    await push_index(registry, MULTI)
    return Place(registry, sigstore)


async def sign_all(place: Place, ref: Reference) -> None:
    """The image and those of its platforms, signed and attested to in both layouts."""
    async for node in walk(place.registry, await place.open(ref)):
        await place.sign(node.ref)
        await place.attest(node.ref)


async def move(source: Registry, ref: Reference, target: Registry, to: Reference, **given) -> None:
    said: list[Step] = []
    await copy_image(Copying(source, target, to, tell=said.append), await open_image(source, ref), **given)
    assert said


async def save(place: Place, ref: Reference, path: Path) -> ImageDirectory:
    directory = ImageDirectory(path)
    image = await place.open(ref)
    await move(place.registry, ref, directory, image.ref)
    directory.mark(image.ref.digest)
    return directory


async def holds(place: Place, registry: Registry, ref: Reference) -> None:
    """Every image that ``ref`` stands for has both signatures and both copies of its attestation."""
    there = replace(place, registry=registry)
    count = 0
    async for node in walk(registry, await open_image(registry, ref)):
        assert len(await there.verify(node.ref, repositories=None)) == 2
        assert len(await there.verify_attestation(node.ref)) == 2
        count += 1
    assert count in (1, 3)


# --- copies --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ref", [APP, MULTI], ids=["one platform", "an index"])
@pytest.mark.parametrize("old", [False, True], ids=["referrers API", "fallback tag"])
async def test_a_copy_in_another_registry_holds(place: Place, ref: Reference, *, old: bool):
    await sign_all(place, ref)
    target = MemoryRegistry(referrers_api=not old)
    await move(place.registry, ref, target, MIRROR)
    await holds(place, target, MIRROR)
    assert (await target.resolve(MIRROR)).digest == (await place.registry.resolve(ref)).digest


async def test_a_copy_says_what_it_was_signed_as(place: Place):
    """The payload of a signature at a tag names the repository: whoever verifies a copy says which."""
    await place.sign(layouts=(Layout.TAG,))
    target = MemoryRegistry()
    await move(place.registry, APP, target, MIRROR)
    there = replace(place, registry=target)
    with pytest.raises(Refused, match="for an image of"):
        await there.verify(MIRROR)
    assert await there.verify(MIRROR, repositories=(APP.name,))


async def test_a_tag_that_points_elsewhere_is_moved_only_on_demand(place: Place):
    target = MemoryRegistry()
    await push_image(target, MIRROR, "another")
    with pytest.raises(Refused, match="already"):
        await move(place.registry, APP, target, MIRROR)
    await move(place.registry, APP, target, MIRROR, force=True)
    await move(place.registry, APP, target, MIRROR)
    assert (await target.resolve(MIRROR)).digest == (await place.registry.resolve(APP)).digest


async def test_signatures_at_the_target_stay_when_others_come(place: Place):
    target = MemoryRegistry()
    await place.sign(email="first@example.com")
    await move(place.registry, APP, target, MIRROR)
    image = await open_image(target, MIRROR)
    made = await sign_image(place.signing(email="second@example.com"), image, layouts=BOTH, now=NOW)
    await store(target, home_of(image.ref), image.descriptor, made, NOW)
    await place.sign(email="third@example.com")
    await move(place.registry, APP, target, MIRROR)
    found = await read_all(target, home_of(image.ref))
    assert len(found.attached) == 6


async def test_rubbish_among_the_referrers_is_told_of_and_spoils_no_copy(sigstore: MiniSigstore):
    """Whoever may write to the registry can list what is no manifest, and attach what cannot be read."""
    source, target, said = MemoryRegistry(referrers_api=False), MemoryRegistry(), []
    await push_image(source, APP)
    place = Place(source, sigstore)
    image = await place.open()
    for layer in (describe("text/plain", b"gone"), replace(describe("text/plain", b"here"), size=5)):
        await source.put_blob(APP, b"here")
        manifest = ImageManifest(IMAGE_MANIFEST, EMPTY_CONFIG, (layer,), "text/plain", image.descriptor)
        await source.put_blob(APP, b"{}")
        await source.attach(image.ref, IMAGE_MANIFEST, encode_manifest(manifest))
    rubbish = b'{"schemaVersion": 2}'
    source.manifests[APP.name, digest_of(rubbish)] = (IMAGE_MANIFEST, rubbish)
    listed = Descriptor(IMAGE_MANIFEST, digest_of(rubbish), len(rubbish), "text/plain")
    index = add_referrer(source._fallback(image.ref), listed)
    await source.put_manifest(image.ref.at_tag(referrers_tag(image.ref.digest)), IMAGE_INDEX, index)
    await place.sign()
    await copy_image(Copying(source, target, MIRROR, tell=said.append), await open_image(source, APP))
    assert sum(step.kind == "leftOut" and step.name in step.line for step in said) == 3
    assert len(await replace(place, registry=target).verify(MIRROR, repositories=None)) == 2


async def test_one_platform_of_an_index(place: Place):
    top = await place.open(MULTI)
    arm = pick_platform(top, "linux/arm64/v8")
    target = MemoryRegistry()
    await move(place.registry, arm, target, MIRROR)
    assert (await target.resolve(MIRROR)).digest == arm.digest
    with pytest.raises(NotFound, match="no image for") as missing:
        pick_platform(top, "linux/s390x")
    assert "linux/amd64" in missing.value.hint
    with pytest.raises(NotFound, match="for one platform"):
        pick_platform(await place.open(APP), "linux/amd64")


# --- directories ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ref", [APP, MULTI], ids=["one platform", "an index"])
async def test_a_saved_image_holds_offline_and_after_loading(place: Place, ref: Reference, tmp_path: Path):
    await sign_all(place, ref)
    directory = await save(place, ref, tmp_path / "saved")
    image = ref.at_digest(directory.image().digest)
    await holds(place, directory, image)
    target = MemoryRegistry()
    await move(directory, image, target, MIRROR)
    await holds(place, target, MIRROR)


async def test_a_saved_image_has_the_kinds_of_cosign(place: Place, tmp_path: Path):
    for ref, kind, name in ((APP, IMAGE, "a"), (MULTI, INDEX, "b")):
        await sign_all(place, ref)
        await save(place, ref, tmp_path / name)
        index = json.loads((tmp_path / name / "index.json").read_bytes())
        kinds = [entry["annotations"].get(KIND) for entry in index["manifests"] if "annotations" in entry]
        assert kinds[0] == kind
        assert {kind, "dev.cosignproject.cosign/sigs", "dev.cosignproject.cosign/atts"} <= set(kinds)


async def test_a_changed_byte_in_a_saved_image_is_refused(place: Place, tmp_path: Path):
    await place.sign()
    directory = await save(place, APP, tmp_path)
    ref = APP.at_digest(directory.image().digest)
    for path in (tmp_path / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Refused, match="digest"):
        await open_image(directory, ref)


async def test_a_directory_that_holds_nothing_is_not_found(tmp_path: Path):
    with pytest.raises(NotFound, match="holds no image"):
        ImageDirectory(tmp_path / "absent").image()


# --- repair -----------------------------------------------------------------------------------------------
async def plan(place: Place, prove=None) -> Plan:
    async def nobody(_entry: LogEntry) -> LogEntry:
        raise AssertionError("the log is asked, and everything is there")

    image = await place.open()
    found = await read_all(place.registry, home_of(image.ref))
    return await plan_repair(found, image.ref.digest, Expected(place.sigstore.root, None), prove or nobody)


async def carry_out(place: Place, made: Plan) -> None:
    await place.store(await place.open(), made.added)


@pytest.mark.parametrize("layout", list(Layout), ids=lambda one: one.value)
@pytest.mark.parametrize("version", [1, 2])
async def test_an_attestation_is_carried_into_the_other_layout(place: Place, layout: Layout, version: int):
    await place.attest(layouts=(layout,), version=version)
    made = await plan(place)
    assert len(made.added) == 1
    assert bool(made.doubts) == (version == 2 and layout is Layout.REFERRERS)
    await carry_out(place, made)
    assert {one.attached.layout for one in await place.verify_attestation()} == set(BOTH)
    assert await plan(place) == Plan()


async def test_what_cosign_wrote_at_a_tag_gets_its_proof_from_the_log(place: Place):
    """cosign keeps the promise alone: without the log no bundle of version 0.3 can be made."""
    await place.attest(layouts=(Layout.TAG,), version=1)
    proved = await forget_proofs(place)
    asked: list[LogEntry] = []

    async def prove(entry: LogEntry) -> LogEntry:
        asked.append(entry)
        return replace(entry, proof=proved)

    await carry_out(place, await plan(place, prove))
    assert len(asked) == 1
    assert {one.attached.layout for one in await place.verify_attestation()} == set(BOTH)


async def forget_proofs(place: Place):
    """The attestations at the tag as cosign would have written them; the proof that is gone now."""
    image = await place.open()
    tag = home_of(image.ref).tag("att")
    found = await read_all(place.registry, home_of(image.ref), (Layout.TAG,))
    document = json.loads((await place.registry.manifest(tag))[1])
    for layer in document["layers"]:
        del layer["annotations"][ENTRY]
    await place.registry.put_manifest(tag, IMAGE_MANIFEST, json.dumps(document).encode())
    return found.attached[0].bundle.log_entries[0].proof


async def test_what_a_key_attested_is_carried_over_with_the_hint_of_that_key(place: Place):
    key = keys.generate_p256()
    await place.attest(layouts=(Layout.TAG,), key=key, version=1)
    image = await place.open()
    found = await read_all(place.registry, home_of(image.ref))
    made = await plan_repair(
        found, image.ref.digest, Expected(place.sigstore.root, None, find_any_key), lambda _entry: None
    )
    await carry_out(place, made)
    hint = encode_base64(keys.key_id(keys.encode_public_key(key.public_key())))
    assert [one.bundle.key_hint for one in made.added] == [hint]
    assert len(await place.verify_attestation(who=ManagedKey(key.public_key()))) == 2


async def test_a_log_that_does_not_answer_ends_the_repair(place: Place):
    await place.attest(layouts=(Layout.TAG,), version=1)
    await forget_proofs(place)

    async def prove(_entry: LogEntry) -> LogEntry:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await plan(place, prove)


@pytest.mark.parametrize("layout", list(Layout), ids=lambda one: one.value)
async def test_a_signature_must_be_made_again_by_its_signer(place: Place, layout: Layout):
    await place.sign(layouts=(layout,), annotations=(("env", "prod"),))
    made = await plan(place)
    (missing,) = made.unsigned
    assert not made.added
    assert missing.layout is not layout
    assert (missing.signer.identity, missing.annotations) == (place.email, (("env", "prod"),))
    await place.sign(layouts=(missing.layout,))
    assert not (await plan(place)).unsigned


async def test_what_does_not_hold_is_not_carried_on(place: Place, sigstore: MiniSigstore):
    stranger = MiniSigstore("stranger")
    await Place(place.registry, stranger).attest(layouts=(Layout.TAG,))
    made = await plan(place)
    assert not made.added
    assert made.defects
    assert sigstore.root != stranger.root


# --- several writers -----------------------------------------------------------------------------------------
class Racing(MemoryRegistry):
    """Another writer puts his own manifest under the tag, just after ours."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.theirs = b""

    async def put_manifest(self, ref, media_type, data):
        stored = await super().put_manifest(ref, media_type, data)
        if ref.tag.endswith(".sig") and self.times and self.theirs:
            self.times -= 1
            await super().put_manifest(ref, media_type, self.theirs)
        return stored


@pytest.mark.parametrize(("times", "lost"), [(2, False), (9, True)])
async def test_a_signature_that_another_writer_overwrote_is_added_again(
    sigstore: MiniSigstore, times: int, *, lost: bool
):
    registry = Racing(times)
    place = Place(registry, sigstore)
    await push_image(registry, APP)
    await place.sign(layouts=(Layout.TAG,), email="other@example.com")
    image = await place.open()
    registry.theirs = (await registry.manifest(home_of(image.ref).tag("sig")))[1]
    if lost:
        with pytest.raises(Unavailable, match="another writer"):
            await place.sign(layouts=(Layout.TAG,))
        return
    await place.sign(layouts=(Layout.TAG,))
    assert len((await read_all(registry, home_of(image.ref))).attached) == 2


async def test_the_same_layer_is_not_added_twice(place: Place):
    key = keys.generate_p256()
    await place.sign(layouts=(Layout.TAG,), key=key)
    image = await place.open()
    _, data = await place.registry.manifest(home_of(image.ref).tag("sig"))
    (layer,) = parse_manifest(data).layers
    content = await place.registry.blob(image.ref, layer)
    assert await add_layers(place.registry, home_of(image.ref), "sig", [(layer, content)]) is None
