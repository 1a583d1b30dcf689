# SPDX-License-Identifier: Apache-2.0
"""The rows of ``corpus.py`` for what registries and people say about images."""

from __future__ import annotations

import json

import client.oci.bundle_referrer
import client.oci.challenge
import client.oci.digests
import client.oci.legacy
import client.oci.manifest
import client.oci.reference
import client.oci.referrers
import client.oci.simplesigning
from client.oci.manifest import IMAGE_INDEX, IMAGE_MANIFEST, ImageIndex, describe, encode_manifest
from client.oci.simplesigning import Payload, encode_payload
from sigcore import legacy_bundle
from sigcore.bundle import encode_bundle
from sigcore.errors import Malformed
from tests.property.corpus import BUNDLE, SIGSTORE, WHAT, Parser, of_fields
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

PAYLOAD = encode_payload(Payload("reg.example/a", DIGESTS[0].decode(), (("env", "prod"), ("n", 7))))
SIGNED, ATTESTED = SIGSTORE.sign_v1(PAYLOAD), SIGSTORE.attest("dsse 0.0.1")
PROMISED = legacy_bundle.rekor_bundle_json(SIGNED.log_entries[0])
LAYERS = [
    client.oci.legacy.signature_layer(SIGNED, PAYLOAD, ())[0],
    client.oci.legacy.signature_layer(SIGSTORE.sign(PAYLOAD), PAYLOAD, ())[0],
    client.oci.legacy.attestation_layer(ATTESTED, "https://example.com/p/v1", ())[0],
]
ENVELOPE = client.oci.legacy.attestation_layer(ATTESTED, "", ())[1]


def layer(data: bytes) -> object:
    """A signature or an attestation whose descriptor is ``data``, around content that is as it should be."""
    head = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": ENTRY}
    document = b'%b,"layers":[%b]}' % (json.dumps(head).encode()[:-1], data)
    manifest = client.oci.manifest.parse_manifest(document)
    if len(manifest.layers) != 1:
        raise Malformed("not one layer")
    (found,) = manifest.layers
    content = ENVELOPE if found.media_type == LAYERS[2].media_type else PAYLOAD
    return client.oci.legacy.parse_layer(found, content, "here")


PARSERS: dict[str, Parser] = {
    "client.oci.bundle_referrer.parse_bundle_layer": Parser(
        lambda data: client.oci.bundle_referrer.parse_bundle_layer(data, "here"), [encode_bundle(BUNDLE)]
    ),
    "client.oci.legacy.parse_layer": Parser(
        layer, [json.dumps(client.oci.manifest.descriptor_json(one)).encode() for one in LAYERS]
    ),
    "client.oci.simplesigning.parse_payload": Parser(client.oci.simplesigning.parse_payload, [PAYLOAD]),
    "sigcore.legacy_bundle.parse_rekor_bundle": of_fields(legacy_bundle.parse_rekor_bundle, [PROMISED]),
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
