# SPDX-License-Identifier: Apache-2.0
"""What the commands need of a registry. Implemented over HTTP in ``http.py``; the tests have one in memory.

Whatever a method returns as the content of a digest has been hashed and found to be that content; nothing that a registry
says about content (a header, a list of referrers, a tag) is more than a claim until then. Errors are kinds of
:class:`~sigcore.errors.SigError`: NotFound (no such manifest, blob or repository), Refused (the registry said no, or gave
other bytes than the digest says), Malformed (not what the specification says, or longer than allowed), Unavailable (no
usable answer).
"""

from __future__ import annotations

from typing import Protocol

from client.files import AnyPath
from client.oci.manifest import Descriptor
from client.oci.reference import Reference
from sigcore import limits


class Registry(Protocol):
    """One or many registries: each reference says which."""

    async def resolve(self, ref: Reference) -> Descriptor:
        """Type, digest and size of the manifest that ``ref`` names now.

        Use the digest for everything that follows: the tag may point elsewhere a moment later.
        """
        ...

    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        """The manifest's bytes. By tag: whatever it points to, with the digest of what came; by digest: those bytes or an error."""
        ...

    async def put_manifest(self, ref: Reference, media_type: str, data: bytes) -> Descriptor:
        """Store a manifest under the tag or digest of ``ref``; a digest must be that of ``data``.

        What it refers to must have been stored before. For a manifest with a ``subject`` use :meth:`attach`.
        """
        ...

    async def has_blob(self, repository: Reference, descriptor: Descriptor) -> bool:
        """Whether the repository says that it holds the blob."""
        ...

    async def blob(self, repository: Reference, descriptor: Descriptor, *, limit: int = limits.OCI_ATTACHMENT) -> bytes:
        """A blob of at most ``limit`` bytes, of exactly the descriptor's size and digest. Tag and digest of ``repository`` do not count."""
        ...

    async def put_blob(self, repository: Reference, data: bytes) -> None:
        """Store a blob, unless the repository has it."""
        ...

    async def save_blob(self, repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        """Write a blob of any size to a new file, which appears when it is whole and its digest is right."""
        ...

    async def load_blob(self, repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        """Store the content of a file as a blob, unless the repository has it. The file must be what the descriptor says."""
        ...

    async def referrers(self, ref: Reference, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """What claims to refer to the manifest with the digest of ``ref``, each once; with ``artifact_type``: what may be of it.

        From the referrers API and from the index at the fallback tag, together: either may know less. The list is a claim:
        read each with :meth:`referrer`, which checks it.
        """
        ...

    async def referrer(self, subject: Reference, descriptor: Descriptor) -> bytes:
        """The manifest of a referrer; its bytes are those of the descriptor and its ``subject`` is the digest of ``subject``.

        Raises:
            Refused: the list of referrers lied.
        """
        ...

    async def attach(self, subject: Reference, media_type: str, data: bytes) -> Descriptor:
        """Store by digest a manifest whose ``subject`` is the manifest with the digest of ``subject``, so that it is found.

        In a registry without the referrers API it is added to the index at the fallback tag.
        """
        ...

    async def tags(self, repository: Reference) -> tuple[str, ...]:
        """All tags of a repository."""
        ...

    async def delete(self, ref: Reference) -> None:
        """Delete the tag, or the manifest with the digest, of ``ref``; a referrer is also taken out of the fallback index."""
        ...
