# SPDX-License-Identifier: Apache-2.0
"""Manifests and indexes as values: what is read, and the one way in which they are written."""

from __future__ import annotations

import json

import pytest

from client.oci.digests import digest_of
from client.oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    EMPTY_CONFIG,
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    describe,
    encode_manifest,
    parse_manifest,
)
from client.oci.referrers import add_referrer, describe_referrer, drop_referrer, each_once, parse_listed
from sigcore import limits
from sigcore.errors import Malformed
from tests.registry_images import LAYER, NOTE, image_parts, note

IMAGE, *_ = image_parts()
SUBJECT = describe(IMAGE_MANIFEST, IMAGE)
NOTED, _ = note(SUBJECT)


def entry(**members) -> dict:
    return {"mediaType": IMAGE_MANIFEST, "digest": SUBJECT.digest, "size": SUBJECT.size, **members}


def test_a_manifest_is_written_in_the_order_of_the_specification_without_spaces():
    manifest = ImageManifest(
        IMAGE_MANIFEST, EMPTY_CONFIG, (describe(LAYER, b"x"),), NOTE, SUBJECT, (("b", "ü"), ("a", '"'))
    )
    data = encode_manifest(manifest)
    assert list(json.loads(data)) == [
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "subject",
        "annotations",
    ]
    assert b'"annotations":{"b":"\xc3\xbc","a":"\\""}' in data
    assert b": " not in data
    assert parse_manifest(data) == manifest


def test_the_empty_config_is_that_of_the_specification():
    assert (
        Descriptor(EMPTY, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2) == EMPTY_CONFIG
    )


def test_dockers_list_is_read_with_its_platforms():
    platform = {"os": "windows", "architecture": "arm", "variant": "v7", "os.version": "10.0", "os.features": ["x"]}
    entries = [entry(mediaType=DOCKER_MANIFEST, platform=platform), entry(annotations=None)]
    data = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries}).encode()
    document = parse_manifest(data, DOCKER_LIST)
    assert isinstance(document, ImageIndex)
    assert document.manifests[0].platform == Platform("windows", "arm", "v7", "10.0")
    assert str(document.manifests[0].platform) == "windows/arm/v7"
    assert document.manifests[1] == Descriptor(IMAGE_MANIFEST, SUBJECT.digest, SUBJECT.size)


def test_g07_the_type_comes_from_the_document_or_from_outside_and_from_one_of_them_it_must():
    untyped = json.dumps({name: value for name, value in json.loads(IMAGE).items() if name != "mediaType"}).encode()
    assert parse_manifest(untyped, IMAGE_MANIFEST).media_type == IMAGE_MANIFEST
    assert parse_manifest(IMAGE).media_type == IMAGE_MANIFEST
    with pytest.raises(Malformed, match="is of type ''"):
        parse_manifest(untyped)


def test_an_annotation_is_looked_up_by_its_name():
    descriptor = Descriptor(LAYER, SUBJECT.digest, 1, annotations=(("a", "1"),))
    assert (descriptor.annotation("a"), descriptor.annotation("b"), descriptor.annotation("b", "2")) == ("1", "", "2")


# --- the list of referrers ---------------------------------------------------------------------------
def test_a_referrer_is_listed_with_its_artifact_type_or_that_of_its_config():
    assert describe_referrer(IMAGE_MANIFEST, NOTED).artifact_type == NOTE
    assert describe_referrer(IMAGE_MANIFEST, IMAGE).artifact_type == IMAGE_CONFIG
    assert describe_referrer(IMAGE_MANIFEST, NOTED).annotations == (("org.example.text", "a note"),)
    index = encode_manifest(ImageIndex(IMAGE_INDEX, (), subject=SUBJECT))
    assert describe_referrer(IMAGE_INDEX, index) == Descriptor(IMAGE_INDEX, digest_of(index), len(index))


def test_the_index_at_the_fallback_tag_gains_and_loses_one_entry():
    descriptor = describe_referrer(IMAGE_MANIFEST, NOTED)
    index = add_referrer(None, descriptor)
    assert index
    assert parse_listed(index, what="it") == (descriptor,)
    assert add_referrer(index, descriptor) is None
    assert drop_referrer(index, SUBJECT.digest) is None
    left = drop_referrer(index, descriptor.digest)
    assert left
    assert parse_listed(left, what="it") == ()


@pytest.mark.parametrize("data", [b"", b"{}", IMAGE, b'{"schemaVersion":2,"manifests":{}}'])
def test_what_is_no_index_is_not_overwritten(data):
    with pytest.raises(Malformed):
        add_referrer(data, describe_referrer(IMAGE_MANIFEST, NOTED))
    with pytest.raises(Malformed):
        drop_referrer(data, SUBJECT.digest)


def test_g10_what_two_lists_say_counts_once_and_only_so_much():
    one, two = (Descriptor(IMAGE_MANIFEST, digest_of(text), 1, NOTE) for text in (b"1", b"2"))
    untyped = Descriptor(IMAGE_MANIFEST, digest_of(b"3"), 1, EMPTY)
    assert each_once([(one, two), (two, one, untyped)], None) == (one, two, untyped)
    assert each_once([(one,), (untyped,)], NOTE) == (one, untyped)
    assert each_once([(one,), (untyped,)], "another") == (untyped,)
    many = tuple(Descriptor(IMAGE_MANIFEST, digest_of(b"%d" % i), 1) for i in range(limits.OCI_REFERRERS + 1))
    with pytest.raises(Malformed, match="more than 1000 referrers"):
        each_once([many[:600], many[600:]], None)
