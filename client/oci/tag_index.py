# SPDX-License-Identifier: Apache-2.0
"""The list of referrers at the fallback tag, kept by the clients of registries without the referrers API.

Nothing in such a registry keeps two clients from overwriting each other's list. What is done about it: requests are
conditional (``If-Match``), for registries that heed that; what was written is read again; and within one command one list is
written by one task at a time. What remains is a client elsewhere that read before us and writes after us.

Source: OCI distribution-spec 1.1 "Pushing Manifests with Subject", "Referrers Tag Schema"; RFC 9110 section 13.1.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from client.oci.manifest import IMAGE_INDEX, Descriptor, ImageIndex, parse_manifest
from client.oci.reference import Reference, referrers_tag
from client.oci.referrers import add_referrer, drop_referrer
from client.oci.session import PUSH, Session
from client.transport import ServiceRefused
from sigcore import limits
from sigcore.errors import NotFound, Refused, Unavailable
from sigcore.values import dataclass

_ATTEMPTS: Final = 8
_CONFLICT: Final = (409, 412)


@dataclass(frozen=True, slots=True)
class Found:
    """What the tag points to: the bytes (None: there is no such tag), their ETag, and whom they list."""

    data: bytes | None
    etag: str
    listed: tuple[Descriptor, ...]
    is_index: bool = True


class TagIndex:
    """The lists of the registries that one command talks to."""

    def __init__(self, session: Session, backoff_s: float) -> None:
        self._session = session
        self._backoff_s = backoff_s
        self._locks: dict[str, asyncio.Lock] = {}

    async def read(self, subject: Reference) -> Found:
        """The list for the digest of ``subject``. A tag of that name that points to an image is no list, and lists nobody.

        Raises:
            Malformed: neither an index nor an image.
        """
        where = f"manifests/{referrers_tag(subject.digest)}"
        try:
            answer = await self._session.ask(
                subject, "GET", where, headers={"Accept": IMAGE_INDEX}, limit=limits.OCI_MANIFEST
            )
        except NotFound:
            return Found(None, "", ())
        document = parse_manifest(answer.body, answer.media_type, what=f"the index at {where} of {subject.name}")
        if not isinstance(document, ImageIndex):
            return Found(answer.body, "", (), is_index=False)
        return Found(answer.body, answer.header("etag"), document.manifests)

    async def add(self, subject: Reference, descriptor: Descriptor) -> None:
        """Have ``descriptor`` in the list.

        Raises:
            Refused: the tag points to an image. Unavailable: others write there all the time.
        """

        def add(found: Found) -> bytes | None:
            if not found.is_index:
                raise Refused(
                    f"the fallback tag of {subject} is an image, expected the list of referrers that belongs there",
                    "it was not overwritten; whoever made that tag should remove it",
                )
            return add_referrer(found.data, descriptor)

        await self._edit(subject, add)

    async def drop(self, subject: Reference, digest: str) -> None:
        """Have ``digest`` out of the list, if there is one."""

        def drop(found: Found) -> bytes | None:
            return drop_referrer(found.data, digest) if found.data is not None and found.is_index else None

        await self._edit(subject, drop)

    async def _edit(self, subject: Reference, edit: Callable[[Found], bytes | None]) -> None:
        """1. Read the list. 2. Edit it; where that changes nothing, it is as wanted. 3. Write it, if it is still what was read.
        4. Whatever came of that: from the beginning.
        """
        tag = subject.at_tag(referrers_tag(subject.digest))
        async with self._locks.setdefault(str(tag), asyncio.Lock()):
            for attempt in range(_ATTEMPTS):
                if attempt > 1:
                    await asyncio.sleep(self._backoff_s * attempt * (1 + secrets.randbelow(100) / 100))
                found = await self.read(subject)
                data = edit(found)
                if data is None:
                    return
                await self._write(tag, data, found)
        raise Unavailable(f"the list at {tag} changes whenever it is written", "other clients write there; try again")

    async def _write(self, tag: Reference, data: bytes, found: Found) -> None:
        headers = {"Content-Type": IMAGE_INDEX}
        if found.data is None:
            headers["If-None-Match"] = "*"
        elif found.etag.startswith('"'):  # a weak one never matches
            headers["If-Match"] = found.etag
        try:
            await self._session.ask(
                tag,
                "PUT",
                f"manifests/{tag.tag}",
                actions=PUSH,
                headers=headers,
                content=data,
                expected=(200, 201, 202),
            )
        except ServiceRefused as error:
            if error.status not in _CONFLICT:
                raise
