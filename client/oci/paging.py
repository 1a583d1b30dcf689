# SPDX-License-Identifier: Apache-2.0
"""Lists that come in pages, each with a ``Link`` to the next (RFC 8288; OCI distribution-spec 1.1 "Listing Tags")."""

from __future__ import annotations

from collections.abc import AsyncIterator

from client.oci.reference import Reference
from client.oci.session import Session
from client.oci.targets import next_page
from client.oci.transport import Answer
from sigcore import limits
from sigcore.errors import Malformed


async def pages(session: Session, ref: Reference, where: str, query: str, *, accept: str) -> AsyncIterator[Answer]:
    """The pages of a list at ``where`` (a path below ``/v2/NAME/``), the first with ``query``.

    Raises:
        Refused: the next page is of another list or another host. Malformed: pages without end. Else as
        :meth:`Session.ask`.
    """
    seen: set[str] = set()
    url: str | None = where + query
    while url is not None:
        page = await session.ask(ref, "GET", url, headers={"Accept": accept}, limit=limits.OCI_MANIFEST)
        yield page
        seen.add(page.url)
        url = next_page(page.url, page.all("link"), f"/v2/{ref.repository}/{where}")
        if url in seen or len(seen) >= limits.OCI_PAGES:
            raise Malformed(f"the list {where} of {ref.name} has no end", "the registry's paging is wrong")
