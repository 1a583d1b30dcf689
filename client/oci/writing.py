# SPDX-License-Identifier: Apache-2.0
"""Attaches signatures and attestations to an image, in either layout.

In the layout of tags all signatures of an image share one manifest, and a registry offers no way to change it safely:

1. Read the manifest at the tag, or begin an empty one.
2. Add the layer, unless the very same one is there. The config lists all layers again, as cosign's readers need it.
3. Store layer, config and manifest.
4. Read the tag again. If the layer is not in it, another writer has been faster: begin anew, a bounded number of times.

A referrer is a manifest of its own; there nobody is in anybody's way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from client.oci.attached import Home
from client.oci.bundle_referrer import encode_referrer
from client.oci.manifest import (
    EMPTY_JSON,
    IMAGE_CONFIG,
    IMAGE_MANIFEST,
    Descriptor,
    ImageManifest,
    describe,
    encode_manifest,
)
from client.oci.ports import Registry
from client.oci.reading import read_tag_image
from sigcore import limits
from sigcore.errors import Refused, Unavailable
from sigcore.strict import JSON

_ATTEMPTS: Final = 5
_NO_TIME: Final = "0001-01-01T00:00:00Z"
"""What cosign writes as the time of creation: the same layers are the same image."""


async def add_layers(
    registry: Registry, home: Home, suffix: str, layers: Sequence[tuple[Descriptor, bytes]]
) -> Descriptor | None:
    """Steps 1 to 4 for ``layers``; the manifest that was stored, or None where all of them were there.

    Args:
        registry: where to.
        home: of the image.
        suffix: of the tag: ``sig`` or ``att``.
        layers: descriptors with their annotations, and contents; from :mod:`client.oci.legacy`.

    Raises:
        Refused: too many signatures, or other writers were faster each time. Others as the registry's.
    """
    stored: Descriptor | None = None
    for _ in range(_ATTEMPTS):
        current = await read_tag_image(registry, home, suffix)  # 1
        there = current.layers if current is not None else ()
        missing = [layer for layer in layers if layer[0] not in there]
        if not missing:
            return stored
        stored = await _store(registry, home, suffix, (*there, *(layer for layer, _ in missing)), missing)  # 2, 3
    raise Unavailable(
        f"the tag {home.tag(suffix).tag} was changed by another writer {_ATTEMPTS} times in a row", "try again"
    )


async def _store(
    registry: Registry,
    home: Home,
    suffix: str,
    layers: tuple[Descriptor, ...],
    missing: Sequence[tuple[Descriptor, bytes]],
) -> Descriptor:
    if len(layers) > limits.OCI_DESCRIPTORS:
        raise Refused(
            f"the tag {home.tag(suffix).tag} would have {len(layers)} layers, the limit is {limits.OCI_DESCRIPTORS}",
            "remove old ones: sigbox clean",
        )
    for _, data in missing:
        await registry.put_blob(home.repository, data)
    config = encode_config(layers)
    await registry.put_blob(home.repository, config)
    manifest = encode_manifest(ImageManifest(IMAGE_MANIFEST, describe(IMAGE_CONFIG, config), layers))
    return await registry.put_manifest(home.tag(suffix), IMAGE_MANIFEST, manifest)


def encode_config(layers: Sequence[Descriptor]) -> bytes:
    """The config of an image of signatures. A layer is not compressed, so its digest is its diff id too."""
    history: list[JSON] = [{"created": _NO_TIME} for _ in layers]
    ids: list[JSON] = [layer.digest for layer in layers]
    config: JSON = {
        "architecture": "",
        "created": _NO_TIME,
        "history": history,
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": ids},
        "config": {},
    }
    return json.dumps(config, separators=(",", ":")).encode("ascii")


async def add_referrer(
    registry: Registry, home: Home, subject: Descriptor, bundle: bytes, predicate_type: str, now: datetime
) -> Descriptor:
    """Attach an encoded bundle to ``subject``, the image, as a referrer.

    Raises: as the registry's.
    """
    await registry.put_blob(home.repository, bundle)
    await registry.put_blob(home.repository, EMPTY_JSON)
    manifest = encode_referrer(bundle, subject, predicate_type, now)
    return await registry.attach(home.subject, IMAGE_MANIFEST, manifest)
