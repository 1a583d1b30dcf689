# SPDX-License-Identifier: Apache-2.0
"""The layout of referrers: an artifact manifest with one layer, the bundle, and the image as its subject.

    artifactType, layer type  application/vnd.dev.sigstore.bundle.v0.3+json
    config                    the empty one, ``{}``
    annotations               org.opencontainers.image.created, dev.sigstore.bundle.content, dev.sigstore.bundle.predicateType

The annotations are for whoever looks for a certain statement in a list; a reader believes the statement alone.

Sources: sigstore ``client-spec``/``BUNDLE_SPEC``; cosign ``pkg/oci/remote/write.go``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from client.oci.attached import Attached, Layout
from client.oci.manifest import EMPTY_CONFIG, IMAGE_MANIFEST, Descriptor, ImageManifest, describe, encode_manifest
from sigcore.bundle import MEDIA_TYPE, parse_bundle
from sigcore.strict import encode_time

CREATED: Final = "org.opencontainers.image.created"
CONTENT: Final = "dev.sigstore.bundle.content"
PREDICATE_TYPE: Final = "dev.sigstore.bundle.predicateType"


def encode_referrer(bundle: bytes, subject: Descriptor, predicate_type: str, now: datetime) -> bytes:
    """The manifest that attaches an encoded bundle with an attestation to ``subject``.

    The config's descriptor carries the artifact type as well: by it cosign knows what it may clean.
    """
    annotations = {CREATED: encode_time(now), CONTENT: "dsse-envelope", PREDICATE_TYPE: predicate_type}
    return encode_manifest(
        ImageManifest(
            IMAGE_MANIFEST,
            config=replace(EMPTY_CONFIG, artifact_type=MEDIA_TYPE),
            layers=(describe(MEDIA_TYPE, bundle),),
            artifact_type=MEDIA_TYPE,
            subject=Descriptor(subject.media_type, subject.digest, subject.size),
            annotations=tuple(annotations.items()),
        )
    )


def parse_bundle_layer(data: bytes, place: str) -> Attached:
    """The bundle in a referrer's layer.

    Raises:
        Malformed: it is none.
    """
    return Attached(Layout.REFERRERS, place, parse_bundle(data), data)
