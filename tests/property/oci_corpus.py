# SPDX-License-Identifier: Apache-2.0
"""The rows of ``corpus.py`` for what registries and people say about images."""

from __future__ import annotations

import json

import client.oci.challenge
import client.oci.digests
import client.oci.manifest
import client.oci.reference
import client.oci.referrers
from client.oci.manifest import IMAGE_INDEX, IMAGE_MANIFEST, ImageIndex, describe, encode_manifest
from tests.property.corpus import WHAT, Parser
from tests.registry_images import image_parts, note

IMAGE, *_ = image_parts()
NOTE, _ = note(describe(IMAGE_MANIFEST, IMAGE))
PLATFORM = {"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "10"}
ENTRY = {"mediaType": IMAGE_MANIFEST, "digest": f"sha256:{'a' * 64}", "size": 1, "platform": PLATFORM, "urls": ["x"]}
FOREIGN = json.dumps({"schemaVersion": 2, "manifests": [ENTRY], "mediaType": IMAGE_INDEX, "annotations": None}).encode()
INDEX = encode_manifest(ImageIndex(IMAGE_INDEX, (describe(IMAGE_MANIFEST, IMAGE), describe(IMAGE_MANIFEST, NOTE))))
DIGESTS = [b"sha256:" + b"0123456789abcdef" * 4, b"sha512:" + b"0123456789abcdef" * 8]
CHALLENGES = [
    b'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push", Basic realm="x"',
    b"Negotiate YWJj==, Basic realm=plain",
]

PARSERS: dict[str, Parser] = {
    "client.oci.challenge.parse_challenges": Parser(client.oci.challenge.parse_challenges, CHALLENGES, text=True),
    "client.oci.digests.parse_digest": Parser(client.oci.digests.parse_digest, DIGESTS, str, text=True),
    "client.oci.manifest.parse_manifest": Parser(
        client.oci.manifest.parse_manifest, [IMAGE, NOTE, INDEX, FOREIGN], encode_manifest, exact=False
    ),
    "client.oci.reference.parse_reference": Parser(
        client.oci.reference.parse_reference,
        [b"alpine", b"docker.io/a/b:1.0", b"[::1]:5000/a__b/c-d@" + DIGESTS[0], b"Reg.example:443/a:t@" + DIGESTS[1]],
        str,
        exact=False,
        text=True,
    ),
    "client.oci.reference.parse_repository": Parser(
        client.oci.reference.parse_repository,
        [b"alpine", b"localhost/a/b", b"reg.example:5000/a"],
        str,
        exact=False,
        text=True,
    ),
    "client.oci.reference.parse_registry": Parser(
        client.oci.reference.parse_registry,
        [b"docker.io", b"reg.example", b"[::1]:443", b"Host"],
        str,
        exact=False,
        text=True,
    ),
    "client.oci.reference.parse_tag": Parser(client.oci.reference.parse_tag, [b"latest", b"_1.0-rc"], str, text=True),
    "client.oci.referrers.parse_listed": Parser(
        lambda data: client.oci.referrers.parse_listed(data, what=WHAT), [INDEX, FOREIGN]
    ),
}
