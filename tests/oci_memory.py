# SPDX-License-Identifier: Apache-2.0
"""A registry in memory: the Protocol of ``client/oci/ports.py`` without HTTP, for tests of what is built on it.

``referrers_api=False`` makes it one of the old kind, where the index at the fallback tag is all there is. ``tampered`` maps a
digest to other bytes, as a hostile registry would give them; the checks of the client then refuse them.
"""

from __future__ import annotations

from pathlib import Path

from client.files import AnyPath, digest_file, save_whole
from client.oci.digests import digest_of, parse_digest, verify_digest
from client.oci.manifest import IMAGE_INDEX, Descriptor, parse_manifest
from client.oci.reference import Reference, referrers_tag
from client.oci.referrers import (
    add_referrer,
    describe_referrer,
    drop_referrer,
    each_once,
    parse_listed,
    verify_subject,
)
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused


class MemoryRegistry:
    """Any number of registries and repositories, all empty at first."""

    def __init__(self, *, referrers_api: bool = True) -> None:
        self.referrers_api = referrers_api
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        """(repository, digest) -> media type and bytes."""
        self.pointers: dict[tuple[str, str], str] = {}
        """(repository, tag) -> digest."""
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.tampered: dict[str, bytes] = {}

    async def resolve(self, ref: Reference) -> Descriptor:
        descriptor, _ = await self.manifest(ref)
        return descriptor

    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        digest = ref.digest or self.pointers.get((ref.name, ref.tag), "")
        if (ref.name, digest) not in self.manifests:
            raise NotFound(f"{ref} does not exist")
        media_type, data = self.manifests[ref.name, digest]
        data = verify_digest(self.tampered.get(digest, data), digest, what=str(ref))
        return Descriptor(media_type, digest, len(data)), data

    async def put_manifest(self, ref: Reference, media_type: str, data: bytes) -> Descriptor:
        parse_manifest(data, media_type)
        digest = digest_of(data)
        if ref.digest:
            verify_digest(data, ref.digest, what="the manifest")
        else:
            self.pointers[ref.name, ref.identifier] = digest
        self.manifests[ref.name, digest] = (media_type, data)
        return Descriptor(media_type, digest, len(data))

    async def has_blob(self, repository: Reference, descriptor: Descriptor) -> bool:
        return (repository.name, descriptor.digest) in self.blobs

    async def blob(self, repository: Reference, descriptor: Descriptor, *, limit: int = limits.OCI_ATTACHMENT) -> bytes:
        if descriptor.size > limit:
            raise Malformed(f"the blob {descriptor.digest} has {descriptor.size} bytes, the limit is {limit}")
        if (repository.name, descriptor.digest) not in self.blobs:
            raise NotFound(f"{repository.name} has no blob {descriptor.digest}")
        data = self.tampered.get(descriptor.digest, self.blobs[repository.name, descriptor.digest])
        if len(data) != descriptor.size:
            raise Refused(f"the blob {descriptor.digest} has {len(data)} bytes, expected {descriptor.size}")
        return verify_digest(data, descriptor.digest, what="the blob")

    async def put_blob(self, repository: Reference, data: bytes) -> None:
        self.blobs[repository.name, digest_of(data)] = data

    async def save_blob(self, repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        save_whole(await self.blob(repository, descriptor, limit=limits.OCI_BLOB), path, what="the blob")

    async def load_blob(self, repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        found = f"sha256:{digest_file(path).hex()}"
        if found != descriptor.digest:
            raise Refused(f"{path} has the digest {found}, expected {descriptor.digest}")
        await self.put_blob(repository, Path(path).read_bytes())

    async def referrers(self, ref: Reference, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        digest = parse_digest(ref.digest)
        lists = [parse_listed(index, what="the index")] if (index := self._fallback(ref)) else []
        if self.referrers_api:
            lists.insert(0, tuple(self._referring(ref.name, digest)))
        return each_once(lists, artifact_type)

    def _referring(self, name: str, digest: str) -> list[Descriptor]:
        there = [(kind, data) for (where, _), (kind, data) in self.manifests.items() if where == name]
        subjects = [(parse_manifest(data, kind).subject, kind, data) for kind, data in there]
        return [
            describe_referrer(kind, data) for subject, kind, data in subjects if subject and subject.digest == digest
        ]

    def _fallback(self, ref: Reference) -> bytes | None:
        digest = self.pointers.get((ref.name, referrers_tag(ref.digest)), "")
        return self.manifests[ref.name, digest][1] if digest else None

    async def referrer(self, subject: Reference, descriptor: Descriptor) -> bytes:
        found, data = await self.manifest(subject.at_digest(descriptor.digest))
        return verify_subject(data, found, subject.digest)

    async def attach(self, subject: Reference, media_type: str, data: bytes) -> Descriptor:
        descriptor = describe_referrer(media_type, data)
        verify_subject(data, descriptor, parse_digest(subject.digest))
        await self.put_manifest(subject.at_digest(descriptor.digest), media_type, data)
        if not self.referrers_api:
            index = add_referrer(self._fallback(subject), descriptor)
            if index is not None:
                await self.put_manifest(subject.at_tag(referrers_tag(subject.digest)), IMAGE_INDEX, index)
        return descriptor

    async def tags(self, repository: Reference) -> tuple[str, ...]:
        return tuple(sorted(tag for name, tag in self.pointers if name == repository.name))

    async def delete(self, ref: Reference) -> None:
        if not ref.digest:
            if self.pointers.pop((ref.name, ref.tag), None) is None:
                raise NotFound(f"{ref} does not exist")
            return
        descriptor, data = await self.manifest(ref)
        subject = parse_manifest(data, descriptor.media_type).subject
        del self.manifests[ref.name, ref.digest]
        self.pointers = {place: digest for place, digest in self.pointers.items() if digest != ref.digest}
        if subject and (index := self._fallback(ref.at_digest(subject.digest))):
            left = drop_referrer(index, ref.digest)
            if left is not None:
                await self.put_manifest(ref.at_tag(referrers_tag(subject.digest)), IMAGE_INDEX, left)
