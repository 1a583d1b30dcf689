# SPDX-License-Identifier: Apache-2.0
"""Descriptors, image manifests and image indexes, as values.

A document is of one kind: what has ``layers`` and ``manifests`` at once, or says another ``mediaType`` than it was sent
with, is refused (CVE-2021-41190). Members that are not known here are passed over, ``urls`` among them: nothing is ever
fetched from where a document points to (CVE-2020-15157).

Source: OCI image-spec 1.1, descriptor.md, manifest.md, image-index.md; Docker's schema 2 has the same form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from client.oci.digests import digest_of, parse_digest
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import Fields, parse_json, shown
from sigcore.values import dataclass

IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS: Final = (IMAGE_MANIFEST, DOCKER_MANIFEST)
INDEXES: Final = (IMAGE_INDEX, DOCKER_LIST)
EMPTY_JSON: Final = b"{}"
"""The content of a blob of type :data:`EMPTY`."""

Annotations: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image of an index runs on; empty where the index does not say."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Content by digest: of which type, how many bytes."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: Annotations = ()
    platform: Platform | None = None

    def annotation(self, name: str, default: str = "") -> str:
        """The annotation's value, or ``default``."""
        return dict(self.annotations).get(name, default)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """An image for one platform, or an artifact in its form."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Annotations = ()


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """Images for several platforms, or a list of referrers."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Annotations = ()


Document: TypeAlias = ImageManifest | ImageIndex


def describe(media_type: str, data: bytes, *, artifact_type: str = "", annotations: Annotations = ()) -> Descriptor:
    """The descriptor of ``data``."""
    return Descriptor(media_type, digest_of(data), len(data), artifact_type, annotations)


EMPTY_CONFIG: Final = describe(EMPTY, EMPTY_JSON)


# --- reading -----------------------------------------------------------------------------------------
def parse_manifest(data: bytes, media_type: str = "", *, what: str = "the manifest") -> Document:
    """The document, of the type that the registry or a descriptor said (``media_type``; empty: only its own word counts).

    1. Strict JSON of at most ``limits.OCI_MANIFEST`` bytes, ``schemaVersion`` 2.
    2. Its ``mediaType``, where it has one, is the type that was said; one of the two must be there.
    3. The type decides between manifest and index, and the members of the other kind must be absent.

    Raises:
        Malformed: any of these, and members of a wrong form.
    """
    value = parse_json(data, what=what, limit=limits.OCI_MANIFEST, floats=True)
    fields = Fields.of(value, what)
    if fields.integer("schemaVersion") != 2:
        raise Malformed(f"{what} has schemaVersion {fields.integer('schemaVersion')}, expected 2")
    kind = _kind(fields, media_type)
    rest = (fields.optional_text("artifactType"), _subject(fields), _annotations(fields))
    if kind in INDEXES:
        _absent(fields, kind, "layers", "config", "fsLayers")
        return ImageIndex(kind, _descriptors(fields, "manifests"), *rest)
    _absent(fields, kind, "manifests", "fsLayers")
    return ImageManifest(kind, _descriptor(fields.object("config")), _descriptors(fields, "layers"), *rest)


def _kind(fields: Fields, said: str) -> str:
    own = fields.optional_text("mediaType")
    if own and said and own != said:
        raise Malformed(
            f"{fields.path} calls itself {shown(own, 100)} and came as {shown(said, 100)}",
            "one document must not be read as two kinds; the registry or whoever pushed it is wrong",
        )
    kind = own or said
    if kind not in MANIFESTS + INDEXES:
        raise Malformed(f"{fields.path} is of type {shown(kind, 100)}, expected an image manifest or an image index")
    return kind


def _absent(fields: Fields, kind: str, *names: str) -> None:
    found = [name for name in names if name in fields]
    if found:
        raise Malformed(
            f"{fields.path} is of type {kind} and has {found[0]}, which belongs to another kind of document"
        )


def _descriptors(fields: Fields, name: str) -> tuple[Descriptor, ...]:
    if name not in fields:
        raise Malformed(f"{fields.path}.{name} is missing")
    return tuple(_descriptor(entry) for entry in fields.objects(name, limit=limits.OCI_DESCRIPTORS))


def _descriptor(fields: Fields) -> Descriptor:
    size = fields.integer("size")
    if size < 0:
        raise Malformed(f"{fields.path}.size is {size}")
    return Descriptor(
        fields.text("mediaType"),
        parse_digest(fields.text("digest"), what=f"{fields.path}.digest"),
        size,
        fields.optional_text("artifactType"),
        _annotations(fields),
        _platform(fields.optional_object("platform")),
    )


def _subject(fields: Fields) -> Descriptor | None:
    found = fields.optional_object("subject")
    return None if found is None else _descriptor(found)


def _annotations(fields: Fields) -> Annotations:
    """Members of ``annotations``; absent and null (which Go writes for an empty map) are none."""
    if fields.raw().get("annotations") is None:
        return ()
    found = fields.object("annotations")
    if len(found.names()) > limits.OCI_ANNOTATIONS:
        raise Malformed(f"{found.path} has {len(found.names())} members, the limit is {limits.OCI_ANNOTATIONS}")
    return tuple((name, found.text(name, limit=limits.OCI_ANNOTATION)) for name in found.names())


def _platform(fields: Fields | None) -> Platform | None:
    if fields is None:
        return None
    names = ("os", "architecture", "variant", "os.version")
    return Platform(*(fields.optional_text(name) for name in names))


# --- writing -----------------------------------------------------------------------------------------
def encode_manifest(document: Document) -> bytes:
    """The document as JSON in one spelling: members in the order of the specification, no spaces, absent ones left out."""
    members: dict[str, Any] = {"schemaVersion": 2, "mediaType": document.media_type}
    if document.artifact_type:
        members["artifactType"] = document.artifact_type
    if isinstance(document, ImageManifest):
        members["config"] = descriptor_json(document.config)
        members["layers"] = [descriptor_json(layer) for layer in document.layers]
    else:
        members["manifests"] = [descriptor_json(entry) for entry in document.manifests]
    if document.subject:
        members["subject"] = descriptor_json(document.subject)
    if document.annotations:
        members["annotations"] = dict(document.annotations)
    return encode_document(members)


def encode_document(members: Mapping[str, Any]) -> bytes:
    """JSON without spaces, in the order of ``members``."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def descriptor_json(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor's members; absent ones are left out."""
    members: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.platform:
        platform = descriptor.platform
        named = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant}
        found = {name: value for name, value in {**named, "os.version": platform.os_version}.items() if value}
        members["platform"] = found
    if descriptor.artifact_type:
        members["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        members["annotations"] = dict(descriptor.annotations)
    return members
