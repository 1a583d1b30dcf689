# SPDX-License-Identifier: Apache-2.0
"""Images written by hand, for one platform and for several: no container tool is needed to have something to sign."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence

from client.oci.digests import digest_of
from client.oci.manifest import (
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    describe,
    encode_manifest,
)
from client.oci.ports import Registry
from client.oci.reference import Reference

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64", "v8")


def layer_of(content: str) -> tuple[bytes, str]:
    """A compressed layer with one file, and its diff id."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("hello.txt")
        member.size = len(content.encode())
        archive.addfile(member, io.BytesIO(content.encode()))
    return gzip.compress(tar.getvalue(), mtime=0), digest_of(tar.getvalue())


async def push_image(
    registry: Registry, ref: Reference, content: str = "hello", platform: Platform = AMD
) -> Descriptor:
    """An image for one platform under the tag of ``ref``; ``content`` makes it another image."""
    data = await _push_parts(registry, ref, content, platform)
    return await registry.put_manifest(ref, IMAGE_MANIFEST, data)


async def _push_parts(registry: Registry, ref: Reference, content: str, platform: Platform) -> bytes:
    layer, diff_id = layer_of(content)
    config = json.dumps(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()
    for blob in (layer, config):
        await registry.put_blob(ref, blob)
    manifest = ImageManifest(IMAGE_MANIFEST, describe(IMAGE_CONFIG, config), (describe(LAYER, layer),))
    return encode_manifest(manifest)


async def push_index(
    registry: Registry, ref: Reference, content: str = "hello", platforms: Sequence[Platform] = (AMD, ARM)
) -> Descriptor:
    """An index with an image for each platform, which have no tags of their own."""
    children = []
    for platform in platforms:
        image = await _push_parts(registry, ref, f"{content} {platform}", platform)
        made = await registry.put_manifest(ref.at_digest(digest_of(image)), IMAGE_MANIFEST, image)
        children.append(Descriptor(made.media_type, made.digest, made.size, platform=platform))
    data = encode_manifest(ImageIndex(IMAGE_INDEX, tuple(children)))
    return await registry.put_manifest(ref, IMAGE_INDEX, data)
