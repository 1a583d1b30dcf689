# SPDX-License-Identifier: Apache-2.0
"""Small images, made by hand and put into a registry."""

from __future__ import annotations

import json

from client.oci.digests import digest_of
from client.oci.manifest import (
    EMPTY_CONFIG,
    EMPTY_JSON,
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    describe,
    encode_manifest,
)
from client.oci.ports import Registry
from client.oci.reference import Reference

LAYER = "application/vnd.oci.image.layer.v1.tar"
NOTE = "application/vnd.example.note.v1+json"


def image_parts(content: bytes = b"content", *, unpacked: bytes | None = None) -> tuple[bytes, bytes, bytes]:
    """Manifest, config and layer of an image for one platform; ``unpacked`` is what ``content`` holds compressed."""
    layer = describe(LAYER if unpacked is None else f"{LAYER}+gzip", content)
    rootfs = {"type": "layers", "diff_ids": [digest_of(content if unpacked is None else unpacked)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    manifest = ImageManifest(IMAGE_MANIFEST, describe(IMAGE_CONFIG, config), (layer,))
    return encode_manifest(manifest), config, content


async def push_image(registry: Registry, ref: Reference, content: bytes = b"content") -> Reference:
    """An image under the tag of ``ref``; the answer names it by digest."""
    manifest, *blobs = image_parts(content)
    for blob in blobs:
        await registry.put_blob(ref, blob)
    descriptor = await registry.put_manifest(ref, IMAGE_MANIFEST, manifest)
    return ref.at_digest(descriptor.digest)


def note(subject: Descriptor, text: str = "a note", artifact_type: str = NOTE) -> tuple[bytes, bytes]:
    """An artifact that refers to ``subject``: its manifest and its one blob."""
    blob = json.dumps(text).encode()
    annotations = (("org.example.text", text),)
    manifest = ImageManifest(
        IMAGE_MANIFEST, EMPTY_CONFIG, (describe(artifact_type, blob),), artifact_type, subject, annotations
    )
    return encode_manifest(manifest), blob


async def push_note(
    registry: Registry, image: Reference, text: str = "a note", artifact_type: str = NOTE
) -> Descriptor:
    """Attach such an artifact to the image."""
    manifest, blob = note(await registry.resolve(image), text, artifact_type)
    await registry.put_blob(image, EMPTY_JSON)
    await registry.put_blob(image, blob)
    return await registry.attach(image, IMAGE_MANIFEST, manifest)


async def push_index(registry: Registry, ref: Reference, *images: Reference) -> Reference:
    """An index of images under the tag of ``ref``."""
    entries = [await registry.resolve(image) for image in images]
    index = encode_manifest(ImageIndex(IMAGE_INDEX, tuple(entries)))
    return ref.at_digest((await registry.put_manifest(ref, IMAGE_INDEX, index)).digest)
