# SPDX-License-Identifier: Apache-2.0
"""What a registry, or whoever may write to it, puts beside an image; each is refused or left out, with what is good still good.

The codes are those of the threat model: G01 another artifact, G02 another digest at the second look, G05 sizes, G06 endless lists.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client.oci.attached import Layout, home_of
from client.oci.legacy import (
    ENTRY,
    OWN_TIMESTAMP,
    REKOR,
    SIGNATURE,
    TIMESTAMP,
    attestation_layer,
    parse_layer,
    signature_layer,
)
from client.oci.manifest import (
    EMPTY_CONFIG,
    EMPTY_JSON,
    IMAGE_MANIFEST,
    Descriptor,
    ImageManifest,
    describe,
    encode_manifest,
)
from client.oci.reading import Found, read_signatures
from client.oci.reference import parse_reference
from client.oci.simplesigning import MEDIA_TYPE, Payload, encode_payload
from client.oci.verification import Expected, verify_attestations, verify_image_attestation, verify_signatures
from client.oci.writing import add_layers, add_referrer
from client.verify.identity import IdentityPolicy
from sigcore import limits
from sigcore.bundle import Bundle, encode_bundle
from sigcore.dsse import encode_envelope
from sigcore.errors import Malformed, Refused
from sigcore.legacy_bundle import cosign_timestamp_json
from tests.oci_memory import MemoryRegistry
from tests.platform_images import push_image
from tests.unit.client.imaging import APP, WHO, Place
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore, digest_of

IMAGE = f"sha256:{digest_of(ARTIFACT).hex()}"
"""The digest that the attestations of the Sigstore in memory are about."""


class Counting(MemoryRegistry):
    """Counts what it is asked for; the tag points to ``others`` in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0
        self.others: list[str] = []

    async def manifest(self, ref):
        self.requests += 1
        if not ref.digest and self.others and ".sig" not in ref.tag:
            self.pointers[ref.name, ref.tag] = self.others.pop(0)
        return await super().manifest(ref)

    async def blob(self, repository, descriptor, *, limit=limits.OCI_ATTACHMENT):
        self.requests += 1
        return await super().blob(repository, descriptor, limit=limit)


@pytest.fixture
async def place(sigstore: MiniSigstore) -> Place:
    registry = Counting()
    await push_image(registry, APP)
    return Place(registry, sigstore)


async def test_g02_the_tag_is_looked_at_once(place: Place):
    """The registry shows the signed image first and another one at every later look: all is about the first."""
    await place.sign()
    signed = (await place.open()).ref.digest
    evil = (await push_image(place.registry, APP, "evil")).digest
    place.registry.others = [signed, evil, evil, evil]
    verified = await place.verify()
    assert {one.digest for one in verified} == {signed}
    assert len(place.registry.others) == 3


async def test_g06_more_signatures_than_the_limit_are_not_fetched(place: Place):
    place.registry.referrers_api = False
    image = await place.open()
    layer = describe(MEDIA_TYPE, b"payload")
    manifest = encode_manifest(ImageManifest(IMAGE_MANIFEST, EMPTY_CONFIG, (layer,) * (limits.OCI_DESCRIPTORS + 1)))
    digest = f"sha256:{digest_of(manifest).hex()}"
    place.registry.manifests[APP.name, digest] = (IMAGE_MANIFEST, manifest)
    tag = home_of(image.ref).tag("sig")
    place.registry.pointers[tag.name, tag.tag] = digest
    place.registry.requests = 0
    with pytest.raises(Refused, match=f"the limit is {limits.OCI_DESCRIPTORS}"):
        await place.verify()
    assert place.registry.requests < 5
    await place.sign(layouts=(Layout.REFERRERS,))
    assert len(await place.verify()) == 1


async def test_g06_layers_with_one_content_are_fetched_once(place: Place):
    await place.sign(layouts=(Layout.TAG,), email="a@example.com")
    await place.sign(layouts=(Layout.TAG,))
    image = await place.open()
    place.registry.requests = 0
    await read_signatures(place.registry, home_of(image.ref), (Layout.TAG,))
    assert place.registry.requests == 2


async def test_g05_a_layer_that_says_to_be_huge_is_not_fetched(place: Place):
    await place.sign(layouts=(Layout.REFERRERS,))
    image = await place.open()
    huge = Descriptor(MEDIA_TYPE, f"sha256:{'0' * 64}", 129 * 1024 * 1024, annotations=((SIGNATURE, "AA=="),))
    manifest = encode_manifest(ImageManifest(IMAGE_MANIFEST, EMPTY_CONFIG, (huge,)))
    await place.registry.put_manifest(home_of(image.ref).tag("sig"), IMAGE_MANIFEST, manifest)
    assert len(await place.verify()) == 1
    with pytest.raises(Refused, match="the limit is"):
        await place.verify(layouts=(Layout.TAG,))


async def test_a_list_of_referrers_that_lies_is_no_harm(place: Place):
    """G01: what it lists is of another image. The signature at the tag is good."""
    await place.sign(layouts=(Layout.TAG,))
    other = parse_reference("registry.example/team/app:other")
    await push_image(place.registry, other, "another")
    await place.sign(other, layouts=(Layout.REFERRERS,))
    (foreign,) = await place.registry.referrers((await place.open(other)).ref)

    async def referrers(*_what: object):
        return (foreign,)

    place.registry.referrers = referrers
    assert len(await place.verify()) == 1
    with pytest.raises(Refused, match="refers to"):
        await place.verify(layouts=(Layout.REFERRERS,))


async def test_bytes_that_are_not_those_of_the_digest_are_refused(place: Place):
    await place.sign(layouts=(Layout.REFERRERS,))
    image = await place.open()
    (found,) = (await read_signatures(place.registry, home_of(image.ref))).attached
    digest = f"sha256:{digest_of(found.text).hex()}"
    place.registry.tampered[digest] = found.text[:-1] + b" "
    with pytest.raises(Refused, match="digest"):
        await place.verify()


async def test_a_bundle_that_signs_a_file_is_no_signature_of_the_image(place: Place, sigstore: MiniSigstore):
    """Even one over the very bytes of the manifest: who signed a file said nothing about an image."""
    image = await place.open()
    await attach_bundle(place, sigstore.sign(image.data))
    with pytest.raises(Refused, match="signs a file and no image"):
        await place.verify()


async def attach_bundle(place: Place, bundle: Bundle) -> None:
    image = await place.open()
    await add_referrer(
        place.registry, home_of(image.ref), image.descriptor, encode_bundle(bundle), "", place.sigstore.now
    )


async def test_a_statement_in_the_place_of_a_payload_is_an_attestation(place: Place, sigstore: MiniSigstore):
    """G01: a genuine attestation among the signatures stays what it is."""
    image = await place.open()
    layer = attestation_layer(sigstore.attest("dsse 0.0.1"), "https://example.com/p/v1", ())
    await add_layers(place.registry, home_of(image.ref), "sig", [layer])
    with pytest.raises(Refused, match="has no signature"):
        await place.verify()


# --- the layer of a tag ----------------------------------------------------------------------------------
def signed(sigstore: MiniSigstore, image: str = IMAGE) -> tuple[Descriptor, bytes]:
    payload = encode_payload(Payload("registry.example/team/app", image))
    return signature_layer(sigstore.sign_v1(payload), payload, ())


def changed(layer: Descriptor, **annotations: str | None) -> Descriptor:
    """``layer`` with other annotations; None removes one."""
    names = {"signature": SIGNATURE, "rekor": REKOR, "entry": ENTRY, "stamp": TIMESTAMP, "own_stamp": OWN_TIMESTAMP}
    found = dict(layer.annotations) | {names[name]: value for name, value in annotations.items()}
    return replace(layer, annotations=tuple((name, value) for name, value in found.items() if value is not None))


def test_each_annotation_is_read_strictly(sigstore: MiniSigstore):
    layer, data = signed(sigstore)
    other, _ = signed(sigstore)
    without_promise = json.loads(layer.annotation(REKOR)) | {"SignedEntryTimestamp": None}
    for wrong, said in (
        ({"signature": "not base64"}, "dev.cosignproject.cosign/signature"),
        ({"rekor": "{}"}, "dev.sigstore.cosign/bundle"),
        ({"rekor": json.dumps(without_promise)}, "no promise of the log"),
        ({"entry": other.annotation(ENTRY)}, "different log entries"),
        ({"stamp": '{"SignedRFC3161Timestamp": 1}'}, "SignedRFC3161Timestamp"),
    ):
        with pytest.raises(Malformed, match=said):
            parse_layer(changed(layer, **wrong), data, "here")
    with pytest.raises(Malformed, match="is of type"):
        parse_layer(replace(layer, media_type="text/plain"), data, "here")


def verified(sigstore: MiniSigstore, layer: Descriptor, data: bytes):
    found = Found((parse_layer(layer, data, "here"),))
    return verify_signatures(found, IMAGE, Expected(sigstore.root, WHO, repositories=None))


def test_what_cosign_leaves_out_is_not_missed_and_what_proves_nothing_is_refused(sigstore: MiniSigstore):
    layer, data = signed(sigstore)
    assert verified(sigstore, changed(layer, entry=None), data)
    with pytest.raises(Refused, match="no log entry"):
        verified(sigstore, changed(layer, entry=None, rekor=None), data)
    promised = json.loads(layer.annotation(REKOR))
    promised["Payload"]["integratedTime"] += 1
    with pytest.raises(Refused, match="promise"):
        verified(sigstore, changed(layer, entry=None, rekor=json.dumps(promised)), data)


def test_the_signature_of_another_payload_is_refused(sigstore: MiniSigstore):
    layer, _ = signed(sigstore)
    other = encode_payload(Payload("registry.example/team/app", IMAGE, (("env", "prod"),)))
    with pytest.raises(Refused, match="not about this signature"):
        verified(sigstore, layer, other)


def test_a_timestamp_of_cosign_2_is_over_the_whole_envelope(sigstore: MiniSigstore):
    """It counts as a time there, and only there; of another text it does not."""
    bundle = sigstore.attest("dsse 0.0.1")
    layer, text = attestation_layer(bundle, "https://example.com/p/v1", ())
    expected = Expected(sigstore.root, IdentityPolicy(ISSUER, EMAIL))

    def stamped(over: bytes):
        stamp = json.dumps(cosign_timestamp_json(sigstore.timestamp(over)))
        return parse_layer(changed(layer, stamp=stamp), text, "here")

    done = verify_image_attestation(stamped(text), IMAGE, expected)
    assert len(done.verified.times) == 2
    with pytest.raises(Refused, match="timestamp 1 of 1"):
        verify_image_attestation(stamped(text + b" "), IMAGE, expected)
    assert text == encode_envelope(bundle.content).encode()


def test_an_envelope_with_two_signatures_is_refused(sigstore: MiniSigstore):
    layer, text = attestation_layer(sigstore.attest("dsse 0.0.1"), "", ())
    document = json.loads(text)
    document["signatures"] *= 2
    with pytest.raises(Malformed, match="2 signatures"):
        parse_layer(layer, json.dumps(document).encode(), "here")


async def test_what_cosigns_experiment_attached_as_referrers_is_read(place: Place, sigstore: MiniSigstore):
    """``--registry-referrers-mode oci-1-1``: the image of signatures is itself a referrer."""
    image = await place.open()
    layer, data = signed(sigstore, image.ref.digest)
    subject = Descriptor(image.descriptor.media_type, image.ref.digest, image.descriptor.size)
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    manifest = ImageManifest(IMAGE_MANIFEST, replace(EMPTY_CONFIG, media_type=kind), (layer,), kind, subject)
    for blob in (data, EMPTY_JSON):
        await place.registry.put_blob(APP, blob)
    await place.registry.attach(image.ref, IMAGE_MANIFEST, encode_manifest(manifest))
    (one,) = await place.verify()
    assert one.attached.layout is Layout.REFERRERS


def test_an_attestation_about_another_image_is_refused(sigstore: MiniSigstore):
    layer, text = attestation_layer(sigstore.attest("dsse 0.0.1"), "", ())
    found = Found((parse_layer(layer, text, "here"),))
    with pytest.raises(Refused, match="about another artifact"):
        verify_attestations(found, f"sha256:{'1' * 64}", Expected(sigstore.root, WHO))
