# SPDX-License-Identifier: Apache-2.0
"""The registry client: ``client/oci/ports.py`` over HTTP.

Source: OCI distribution-spec 1.1. Of its MUSTs for clients all are done for what is here; of the rest, blobs are uploaded in
one piece (POST then PUT), never in chunks, and never mounted from another repository.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Final, ParamSpec, Self, TypeVar, cast
from urllib.parse import quote

from client.files import AnyPath, writing_whole
from client.oci.credentials import Keychain
from client.oci.digests import algorithm_of, digest_of, digest_of_rest, parse_digest, verify_digest, verify_found
from client.oci.manifest import IMAGE_INDEX, INDEXES, MANIFESTS, Descriptor, parse_manifest
from client.oci.options import RegistryOptions
from client.oci.paging import pages
from client.oci.reference import Reference, parse_tag
from client.oci.referrers import describe_referrer, each_once, parse_listed, verify_subject
from client.oci.session import DELETE, PUSH, Session
from client.oci.tag_index import TagIndex
from client.oci.targets import origin_of
from client.oci.transport import Answer, Content, Wire
from client.transport import ServiceRefused
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.strict import Fields, parse_json, shown

P = ParamSpec("P")
T = TypeVar("T")

_ACCEPT: Final = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_NO_REFERRERS: Final = (400, 405, 406)
"""What registries answer, beside the 404 of the specification, that do not have the referrers API."""
_NO_DELETE: Final = (400, 405)
_TAGS_PAGE: Final = 1000


def _discreet(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The method, with errors that repeat none of the secrets that were sent."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except SigError as error:
            session = cast("HttpRegistry", args[0]).session
            error.message, error.hint = (session.authorizer.discreet(text) for text in (error.message, error.hint))
            error.args = (error.message,)
            raise

    return call


class HttpRegistry:
    """The Protocol over HTTP; use it as an asynchronous context manager.

    Args:
        options: what the user said about registries.
        environment: where docker's configuration is looked for; the process's own when None.
    """

    def __init__(self, options: RegistryOptions | None = None, *, environment: Mapping[str, str] | None = None) -> None:
        options = options or RegistryOptions()
        self._wire = Wire(options)
        keychain = Keychain(os.environ if environment is None else environment)
        self.session: Final = Session(options, keychain, self._wire)
        self._index: Final = TagIndex(self.session, options.backoff_s)

    async def __aenter__(self) -> Self:
        self._wire.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    # --- manifests -------------------------------------------------------------------------------------
    async def resolve(self, ref: Reference) -> Descriptor:
        """As the Protocol says. The manifest is read and hashed: a digest in a header is only somebody's word."""
        descriptor, _ = await self.manifest(ref)
        return descriptor

    @_discreet
    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        """As the Protocol says.

        1. GET, of at most ``limits.OCI_MANIFEST`` bytes.
        2. By digest: the bytes have it. A ``Docker-Content-Digest`` that is not theirs is refused in any case.
        3. They are one document of the type that ``Content-Type`` says.
        """
        answer = await self.session.ask(
            ref, "GET", f"manifests/{ref.identifier}", headers=_ACCEPT, limit=limits.OCI_MANIFEST
        )
        data = answer.body
        digest = ref.digest or digest_of(data)
        verify_digest(data, digest, what=f"the manifest {ref}")
        _check_said_digest(answer, data, f"the manifest {ref}")
        document = parse_manifest(data, answer.media_type, what=f"the manifest {ref}")
        return Descriptor(document.media_type, digest, len(data)), data

    @_discreet
    async def put_manifest(self, ref: Reference, media_type: str, data: bytes) -> Descriptor:
        """As the Protocol says."""
        descriptor, _ = await self._put_answered(ref, media_type, data)
        return descriptor

    async def _put_answered(self, ref: Reference, media_type: str, data: bytes) -> tuple[Descriptor, Answer]:
        parse_manifest(data, media_type)
        if ref.digest:
            verify_digest(data, ref.digest, what="the manifest to store")
        answer = await self.session.ask(
            ref,
            "PUT",
            f"manifests/{ref.identifier}",
            actions=PUSH,
            headers={"Content-Type": media_type},
            content=data,
            expected=(200, 201, 202),
        )
        _check_said_digest(answer, data, f"the manifest stored as {ref}")
        return Descriptor(media_type, ref.digest or digest_of(data), len(data)), answer

    @_discreet
    async def delete(self, ref: Reference) -> None:
        """As the Protocol says."""
        subject = None
        if ref.digest:
            descriptor, data = await self.manifest(ref)
            subject = parse_manifest(data, descriptor.media_type).subject
        try:
            await self.session.ask(
                ref, "DELETE", f"manifests/{ref.identifier}", actions=DELETE, expected=(200, 202, 204)
            )
        except ServiceRefused as error:
            if error.status in _NO_DELETE and not ref.digest:
                error.hint = "this registry deletes by digest only, and all tags of that digest with it"
            raise
        if subject:
            await self._index.drop(ref.at_digest(subject.digest), ref.digest)

    # --- blobs -----------------------------------------------------------------------------------------
    @_discreet
    async def has_blob(self, repository: Reference, descriptor: Descriptor) -> bool:
        """As the Protocol says."""
        return await self._has(repository, descriptor.digest)

    async def _has(self, repository: Reference, digest: str) -> bool:
        where = f"blobs/{parse_digest(digest)}"
        return (await self.session.ask(repository, "HEAD", where, expected=(200, 404))).status == 200

    @_discreet
    async def blob(self, repository: Reference, descriptor: Descriptor, *, limit: int = limits.OCI_ATTACHMENT) -> bytes:
        """As the Protocol says. ``urls`` and ``data`` of a descriptor are not looked at."""
        where = _blob_path(descriptor, limit)
        data = (await self.session.ask(repository, "GET", where, limit=descriptor.size)).body
        _check_size(descriptor, len(data))
        return verify_digest(data, descriptor.digest, what=f"the blob of {repository.name}")

    @_discreet
    async def save_blob(self, repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        """As the Protocol says."""
        where = _blob_path(descriptor, limits.OCI_BLOB)
        with writing_whole(path, what="the blob") as file:
            await self.session.ask(repository, "GET", where, limit=descriptor.size, into=file)
            _check_size(descriptor, file.tell())
            file.seek(0)
            _check_content(file, descriptor, f"the blob of {repository.name}")

    @_discreet
    async def put_blob(self, repository: Reference, data: bytes) -> None:
        """As the Protocol says."""
        await self._upload(repository, digest_of(data), data)

    @_discreet
    async def load_blob(self, repository: Reference, descriptor: Descriptor, path: AnyPath) -> None:
        """As the Protocol says."""
        _check_file(path, descriptor)
        await self._upload(repository, descriptor.digest, Path(path))

    async def _upload(self, repository: Reference, digest: str, content: Content) -> None:
        """Store a blob.

        1. Nothing to do where the repository has it.
        2. POST begins an upload; its ``Location`` says where the content goes, kept as it is but for the digest that is added.
           It may be on another host, which gets no credentials.
        3. PUT the content there. An upload that fails is begun anew.
        """
        if await self._has(repository, digest):
            return
        base = origin_of(await self.session.base(repository.registry))

        async def upload() -> None:
            began = await self.session.ask(
                repository, "POST", "blobs/uploads/", actions=PUSH, content=b"", expected=(202,), again=False
            )
            location = began.header("location")
            if not location:
                raise Malformed(f"{repository.registry} began an upload and does not say where")
            place = self.session.target(base, began.url, location, what="the upload")
            place = f"{place}{'&' if '?' in place else '?'}digest={quote(digest, safe='')}"
            headers = {"Content-Type": "application/octet-stream"}
            await self.session.ask(
                repository,
                "PUT",
                place,
                actions=PUSH,
                headers=headers,
                content=content,
                expected=(201,),
                again=False,
            )

        await self.session.persist(upload)

    # --- referrers -------------------------------------------------------------------------------------
    @_discreet
    async def referrers(self, ref: Reference, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """As the Protocol says; both lists are asked for at once."""
        parse_digest(ref.digest)
        listed, index = await asyncio.gather(self._listed(ref), self._index.read(ref))
        return each_once((listed or (), index.listed), artifact_type)

    async def _listed(self, ref: Reference) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists, over all its pages; None where the registry does not have it.

        An answer that is no image index comes from something that is not that API either. No filter is sent: what a list says
        of types is not always so (see ``each_once``).
        """
        found: list[Descriptor] = []
        try:
            async for page in pages(self.session, ref, f"referrers/{ref.digest}", "", accept=IMAGE_INDEX):
                if page.media_type != IMAGE_INDEX:
                    return None
                found += parse_listed(page.body, what=f"the list of referrers of {ref}")
                if len(found) > limits.OCI_REFERRERS:
                    raise Malformed(f"{ref} has more than {limits.OCI_REFERRERS} referrers")
        except NotFound:
            return None
        except ServiceRefused as error:
            if error.status not in _NO_REFERRERS:
                raise
            return None
        return tuple(found)

    @_discreet
    async def referrer(self, subject: Reference, descriptor: Descriptor) -> bytes:
        """As the Protocol says."""
        found, data = await self.manifest(subject.at_digest(descriptor.digest))
        if (found.media_type, found.size) != (descriptor.media_type, descriptor.size):
            raise Refused(
                f"{descriptor.digest} is listed as {shown(descriptor.media_type, 100)} of {descriptor.size} bytes and is "
                f"{found.media_type} of {found.size} bytes"
            )
        return verify_subject(data, found, parse_digest(subject.digest))

    @_discreet
    async def attach(self, subject: Reference, media_type: str, data: bytes) -> Descriptor:
        """As the Protocol says.

        1. PUT the manifest by its digest.
        2. ``OCI-Subject`` in the answer says that the registry keeps the list; so does the list itself, if it is in there.
        3. Otherwise it is added to the index at the fallback tag.
        """
        descriptor = describe_referrer(media_type, data)
        verify_subject(data, descriptor, parse_digest(subject.digest))
        _, answer = await self._put_answered(subject.at_digest(descriptor.digest), media_type, data)
        if answer.header("oci-subject") != subject.digest:
            listed = await self._listed(subject) or ()
            if descriptor.digest not in [one.digest for one in listed]:
                await self._index.add(subject, descriptor)
        return descriptor

    # --- tags ------------------------------------------------------------------------------------------
    @_discreet
    async def tags(self, repository: Reference) -> tuple[str, ...]:
        """As the Protocol says, each once, in the registry's order."""
        found: dict[str, None] = {}
        async for page in pages(self.session, repository, "tags/list", f"?n={_TAGS_PAGE}", accept="application/json"):
            what = f"the list of tags of {repository.name}"
            fields = Fields.of(parse_json(page.body, what=what, limit=limits.SERVICE_RESPONSE, floats=True), what)
            if fields.raw().get("tags") is not None:
                found.update(dict.fromkeys(parse_tag(tag) for tag in fields.texts("tags", limit=limits.OCI_TAGS)))
            if len(found) > limits.OCI_TAGS:
                raise Malformed(f"{repository.name} has more than {limits.OCI_TAGS} tags")
        return tuple(found)


def _blob_path(descriptor: Descriptor, limit: int) -> str:
    if not 0 <= descriptor.size <= limit:
        raise Malformed(f"the blob {descriptor.digest} has {descriptor.size} bytes, the limit is {limit}")
    return f"blobs/{parse_digest(descriptor.digest)}"


def _check_size(descriptor: Descriptor, size: int) -> None:
    if size != descriptor.size:
        raise Refused(
            f"the blob {descriptor.digest} has {size} bytes, expected {descriptor.size}",
            "other bytes came than the manifest speaks of; do not use them",
        )


def _check_content(file: BinaryIO, descriptor: Descriptor, what: str) -> None:
    verify_found(digest_of_rest(file, algorithm_of(descriptor.digest)), descriptor.digest, what=what)


def _check_file(path: AnyPath, descriptor: Descriptor) -> None:
    parse_digest(descriptor.digest)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any spelling of a path
            _check_content(file, descriptor, f"the file {path}")
            _check_size(descriptor, file.tell())
    except OSError as error:
        raise NotFound(f"the blob {path} cannot be read: {error.strerror}") from error


def _check_said_digest(answer: Answer, data: bytes, what: str) -> None:
    """The digest that the registry says it gave or took; it is never used, but a wrong one shows that something is wrong."""
    said = answer.header("docker-content-digest")
    if said:
        verify_digest(data, parse_digest(said, what=f"Docker-Content-Digest of {what}"), what=what)
