# SPDX-License-Identifier: Apache-2.0
"""A saved image: an OCI layout in a directory, which answers like a registry. No socket is opened.

    oci-layout            {"imageLayoutVersion": "1.0.0"}
    index.json            what has a name here
    blobs/sha256/HEX      every manifest and blob

cosign gives the manifests in ``index.json`` a ``kind``: the image, its signatures, its attestations; that is read and written.
Beside it each has its tag as a standard name (``org.opencontainers.image.ref.name``), so that signatures of the images below an
index find their place too. Referrers stand in ``index.json``; where cosign has saved them they are found among the blobs alone.

Nothing in the directory is believed: what is read by digest is hashed.

Sources: OCI image-spec 1.1 ``image-layout.md``; cosign ``pkg/oci/layout``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from client.files import AnyPath, digest_file, read_file, save_whole
from client.oci.attached import ATTESTATIONS, SIGNATURES
from client.oci.digests import algorithm_of, digest_of, parse_digest, verify_digest
from client.oci.manifest import (
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    INDEXES,
    Descriptor,
    Document,
    ImageIndex,
    encode_manifest,
    parse_manifest,
)
from client.oci.reference import Reference
from client.oci.referrers import describe_referrer, each_once, verify_subject
from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, NotFound, Refused, SigError

NAME: Final = "org.opencontainers.image.ref.name"
KIND: Final = "kind"
IMAGE, INDEX = "dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex"
_KINDS: Final = {SIGNATURES: "dev.cosignproject.cosign/sigs", ATTESTATIONS: "dev.cosignproject.cosign/atts"}
_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
_SCANNED: Final = 10_000
"""Blobs that are looked at for referrers."""


class ImageDirectory:
    """One image with what is attached to it. The registry and repository of a reference do not count, tag and digest do."""

    def __init__(self, path: AnyPath) -> None:
        self._path = Path(path)

    # --- what is in it
    def image(self) -> Descriptor:
        """The image that was saved.

        Raises:
            NotFound: no such directory, or no image in it. Malformed: no OCI layout.
        """
        entries = [entry for entry in self._entries() if entry.annotation(KIND) in ("", IMAGE, INDEX)]
        own = [entry for entry in entries if entry.annotation(KIND)] or [
            entry for entry in entries if not entry.artifact_type
        ]
        if not own:
            raise NotFound(f"{self._path} holds no image", "make it: sigbox save --dir DIRECTORY IMAGE")
        return own[0]

    def mark(self, digest: str, name: str = "") -> None:
        """Call the manifest with ``digest`` the image that this directory is about."""
        entries = [entry for entry in self._entries() if entry.digest != digest]
        descriptor = self._descriptor(digest)
        kind = INDEX if descriptor.media_type in INDEXES else IMAGE
        named = ((NAME, name),) if name else ()
        entry = Descriptor(
            descriptor.media_type, descriptor.digest, descriptor.size, annotations=((KIND, kind), *named)
        )
        self._save([entry, *(self._with_kind(other, digest) for other in entries)])

    def _with_kind(self, entry: Descriptor, image: str) -> Descriptor:
        """By their kind cosign finds signatures and attestations of the image, and knows of no others."""
        for suffix, kind in _KINDS.items():
            if entry.annotation(NAME) == f"{image.replace(':', '-')}.{suffix}":
                return replace(entry, annotations=((KIND, kind), (NAME, entry.annotation(NAME))))
        return entry

    def _entries(self) -> tuple[Descriptor, ...]:
        path = self._path / "index.json"
        if not path.exists():
            return ()
        data = read_file(path, what="the index of the saved image", limit=limits.OCI_MANIFEST)
        document = parse_manifest(data, IMAGE_INDEX, what=str(path))
        if not isinstance(document, ImageIndex):
            raise Malformed(f"{path} is no image index", "is this the directory of a saved image?")
        return document.manifests

    def _save(self, entries: list[Descriptor]) -> None:
        save_whole(_LAYOUT, self._path / "oci-layout", what="the layout")
        index = encode_manifest(ImageIndex(IMAGE_INDEX, tuple(entries)))
        save_whole(index, self._path / "index.json", what="the index of the saved image")

    def _blob_path(self, digest: str) -> Path:
        algorithm, _, encoded = parse_digest(digest).partition(":")
        return self._path / "blobs" / algorithm / encoded

    def _read(self, digest: str, limit: int) -> bytes:
        data = read_file(self._blob_path(digest), what="the blob", limit=limit)
        return verify_digest(data, digest, what=f"the blob in {self._path}")

    def _descriptor(self, digest: str) -> Descriptor:
        data = self._read(digest, limits.OCI_MANIFEST)
        said = next((entry.media_type for entry in self._entries() if entry.digest == digest), "")
        return Descriptor(_document(data, said).media_type, digest, len(data))

    # --- as a registry
    async def resolve(self, ref: Reference) -> Descriptor:
        """As the Protocol says."""
        return (await self.manifest(ref))[0]

    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        """As the Protocol says; without a digest: what has the tag as its name, or the kind that stands for the tag."""
        digest = ref.digest or self._named(ref.tag)
        descriptor = self._descriptor(digest)
        return descriptor, self._read(digest, limits.OCI_MANIFEST)

    def _named(self, tag: str) -> str:
        entries = self._entries()
        for entry in entries:
            if entry.annotation(NAME) == tag:
                return entry.digest
        for suffix, kind in _KINDS.items():
            if tag == f"{self.image().digest.replace(':', '-')}.{suffix}":
                found = [entry.digest for entry in entries if entry.annotation(KIND) == kind]
                if found:
                    return found[0]
        raise NotFound(f"{self._path} holds nothing with the name {tag}")

    async def put_manifest(self, ref: Reference, media_type: str, data: bytes) -> Descriptor:
        """As the Protocol says; a tag becomes the name."""
        parse_manifest(data, media_type)
        digest = digest_of(data, algorithm_of(ref.digest) if ref.digest else "sha256")
        if ref.digest:
            verify_digest(data, ref.digest, what="the manifest")
        self._write(digest, data)
        descriptor = Descriptor(media_type, digest, len(data))
        if not ref.digest:
            rest = [entry for entry in self._entries() if entry.annotation(NAME) != ref.tag]
            self._save([*rest, replace(descriptor, annotations=((NAME, ref.tag),))])
        return descriptor

    def _write(self, digest: str, data: bytes) -> None:
        path = self._blob_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_whole(data, path, what="the blob")

    async def has_blob(self, _repository: Reference, descriptor: Descriptor) -> bool:
        """As the Protocol says."""
        path = self._blob_path(descriptor.digest)
        return path.is_file() and path.stat().st_size == descriptor.size

    async def blob(
        self, _repository: Reference, descriptor: Descriptor, *, limit: int = limits.OCI_ATTACHMENT
    ) -> bytes:
        """As the Protocol says."""
        if descriptor.size > limit:
            raise Malformed(f"the blob {descriptor.digest} has {descriptor.size} bytes, the limit is {limit}")
        data = self._read(descriptor.digest, limit)
        if len(data) != descriptor.size:
            raise Refused(f"the blob {descriptor.digest} has {len(data)} bytes, expected {descriptor.size}")
        return data

    async def put_blob(self, _repository: Reference, data: bytes) -> None:
        """As the Protocol says."""
        self._write(digest_of(data), data)

    async def save_blob(self, _repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        """As the Protocol says."""
        source = self._blob_path(descriptor.digest)
        if not source.is_file():
            raise NotFound(f"{self._path} has no blob {descriptor.digest}")
        _check_file(source, descriptor)
        shutil.copyfile(source, path)

    async def load_blob(self, _repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        """As the Protocol says; the file is taken, not copied, where that can be done."""
        _check_file(path, descriptor)
        target = self._blob_path(descriptor.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(os.fspath(path), target)

    async def referrers(self, ref: Reference, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """As the Protocol says: whatever manifest here has the digest as its subject."""
        return each_once([tuple(self._referring(parse_digest(ref.digest)))], artifact_type)

    def _referring(self, digest: str) -> Iterator[Descriptor]:
        paths = sorted((self._path / "blobs").glob("sha*/*"))
        if len(paths) > _SCANNED:
            raise Malformed(f"{self._path} holds {len(paths)} blobs, the limit is {_SCANNED}")
        for path in paths:
            if path.stat().st_size > limits.OCI_MANIFEST or digest.encode() not in (data := path.read_bytes()):
                continue
            try:
                document = _document(data)
                if document.subject is not None and document.subject.digest == digest:
                    yield describe_referrer(document.media_type, data)
            except SigError:
                continue  # a blob of another kind that happens to hold the digest

    async def referrer(self, subject: Reference, descriptor: Descriptor) -> bytes:
        """As the Protocol says."""
        data = self._read(descriptor.digest, limits.OCI_MANIFEST)
        return verify_subject(data, descriptor, subject.digest)

    async def attach(self, subject: Reference, media_type: str, data: bytes) -> Descriptor:
        """As the Protocol says; it also stands in ``index.json``, for readers who look there."""
        descriptor = describe_referrer(media_type, data)
        verify_subject(data, descriptor, parse_digest(subject.digest))
        self._write(descriptor.digest, data)
        rest = [entry for entry in self._entries() if entry.digest != descriptor.digest]
        self._save([*rest, descriptor])
        return descriptor

    async def tags(self, _repository: Reference) -> tuple[str, ...]:
        """As the Protocol says."""
        return tuple(name for entry in self._entries() if (name := entry.annotation(NAME)))

    async def delete(self, ref: Reference) -> None:
        """As the Protocol says: the name is forgotten, the blobs stay."""
        entries = self._entries()
        kept = [entry for entry in entries if ref.identifier not in (entry.digest, entry.annotation(NAME))]
        if len(kept) == len(entries):
            raise NotFound(f"{self._path} holds nothing with the name {ref.identifier}")
        self._save(kept)


def _document(data: bytes, said: str = "") -> Document:
    """A manifest whose type may stand nowhere: then its members tell."""
    try:
        return parse_manifest(data, said)
    except Malformed:
        if said or b'"mediaType"' in data[:200]:
            raise
    return parse_manifest(data, IMAGE_INDEX if b'"manifests"' in data else IMAGE_MANIFEST)


def _check_file(path: AnyPath, descriptor: Descriptor) -> None:
    algorithm = algorithm_of(descriptor.digest)
    hashing = next(known for known in HashAlgorithm if known.hashlib_name == algorithm)
    found = f"{algorithm}:{digest_file(path, hashing).hex()}"
    if found != descriptor.digest:
        raise Refused(
            f"{path} has the digest {found}, expected {descriptor.digest}", "the file is damaged, or not what it says"
        )
