# SPDX-License-Identifier: Apache-2.0
"""Who refers to an image: descriptors for the list, the list at the fallback tag, and the check of what a list claims.

Source: OCI distribution-spec 1.1 "Pushing Manifests with Subject", "Listing Referrers", "Referrers Tag Schema".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from client.oci.digests import digest_of
from client.oci.manifest import (
    EMPTY,
    IMAGE_INDEX,
    Descriptor,
    ImageIndex,
    ImageManifest,
    descriptor_json,
    encode_document,
    parse_manifest,
)
from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import parse_json


def describe_referrer(media_type: str, data: bytes) -> Descriptor:
    """What a list of referrers says of this manifest: its artifact type, or else its config's type, and its annotations.

    Raises:
        Malformed: no manifest or index.
    """
    document = parse_manifest(data, media_type)
    artifact_type = document.artifact_type
    if not artifact_type and isinstance(document, ImageManifest):
        artifact_type = document.config.media_type
    return Descriptor(document.media_type, digest_of(data), len(data), artifact_type, document.annotations)


def verify_subject(data: bytes, descriptor: Descriptor, subject: str) -> bytes:
    """``data``, a manifest with the digest of ``descriptor``, when its ``subject`` is that digest.

    Raises:
        Refused: it refers to something else, or to nothing. Malformed: no manifest or index.
    """
    found = parse_manifest(data, descriptor.media_type, what=f"the referrer {descriptor.digest}").subject
    if found is None or found.digest != subject:
        other = f"refers to {found.digest}" if found else "refers to nothing"
        raise Refused(
            f"{descriptor.digest} is listed among the referrers of {subject} and {other}",
            "the registry's list of referrers is wrong; what it lists there says nothing about this image",
        )
    return data


def parse_listed(data: bytes, *, what: str) -> tuple[Descriptor, ...]:
    """The descriptors of one page of referrers, or of the index at the fallback tag.

    Raises:
        Malformed: anything but an OCI image index.
    """
    document = parse_manifest(data, IMAGE_INDEX, what=what)
    if not isinstance(document, ImageIndex):
        raise Malformed(f"{what} is a manifest, expected an image index")
    return document.manifests


def each_once(lists: Iterable[tuple[Descriptor, ...]], artifact_type: str | None) -> tuple[Descriptor, ...]:
    """The listed descriptors, the first of each digest, of one artifact type if one is asked for.

    Those that are listed without a type, or with that of an empty config, are of any: go-containerregistry's registry lists
    every artifact so. Which type it is stands in the manifest.

    Raises:
        Malformed: more than ``limits.OCI_REFERRERS``.
    """
    found: dict[str, Descriptor] = {}
    for listed in lists:
        for descriptor in listed:
            found.setdefault(descriptor.digest, descriptor)
    if len(found) > limits.OCI_REFERRERS:
        raise Malformed(f"the image has more than {limits.OCI_REFERRERS} referrers", "remove some: sigbox clean")
    kept = (artifact_type, "", EMPTY)
    return tuple(d for d in found.values() if artifact_type is None or d.artifact_type in kept)


# --- the index at the fallback tag -------------------------------------------------------------------
def add_referrer(index: bytes | None, descriptor: Descriptor) -> bytes | None:
    """The index with the descriptor behind the others, which stay as they are; None where it is listed already.

    Args:
        index: what the fallback tag points to; None where there is no such tag.
        descriptor: of the referrer, from :func:`describe_referrer`.

    Raises:
        Malformed: the tag points to something else, which is not to be overwritten.
    """

    def add(entries: list[Any]) -> list[Any]:
        return entries if _lists(entries, descriptor.digest) else [*entries, descriptor_json(descriptor)]

    return _edited(index, add)


def drop_referrer(index: bytes, digest: str) -> bytes | None:
    """The index without that digest; None where it is not listed.

    Raises:
        Malformed: not an image index.
    """
    return _edited(index, lambda entries: [entry for entry in entries if entry["digest"] != digest])


def _lists(entries: list[Any], digest: str) -> bool:
    return any(entry["digest"] == digest for entry in entries)


def _edited(index: bytes | None, edit: Callable[[list[Any]], list[Any]]) -> bytes | None:
    members: Any = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}
    if index is not None:
        parse_listed(index, what="the index at the fallback tag")
        members = parse_json(index, what="the index", limit=limits.OCI_MANIFEST, floats=True)
    entries = edit(members["manifests"])
    return None if entries == members["manifests"] else encode_document({**members, "manifests": entries})
