# SPDX-License-Identifier: Apache-2.0
"""A static copy of a log's tiles in a folder, as ``sigbox log export`` writes it, read as if it were served. Nobody is asked.

It is believed as little as any server: what is read must lead to a head that the log has signed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from client.files import read_file
from client.logs.reader import SignedHead
from client.logs.tiled import TiledLog
from client.transport import Response
from sigcore.errors import NotFound, SigError
from sigcore.strict import shown
from sigcore.trustroot import LogInstance


class FolderTransport:
    """A :class:`~client.transport.Transport` whose only host is a folder; URLs are paths in it."""

    def __init__(self, folder: str) -> None:
        self.url = folder.rstrip("/") or "/"

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        """See :class:`~client.transport.Transport`; a file that is not there is 404, as of any file server."""
        del method, headers, body
        try:
            return Response(200, read_file(url, what="the copy's file", limit=limit))
        except NotFound:
            return Response(404, b"")


async def open_copy(folder: str, logs: Sequence[LogInstance]) -> tuple[TiledLog, SignedHead]:
    """The log, of ``logs``, whose copy is in ``folder``, and the head that it has there.

    How old the copy is nothing says: the head is held against none that was seen before.

    Raises:
        NotFound: no copy of a log. Malformed, Refused: of none of ``logs``.
    """
    if not holds_copy(folder):
        raise NotFound(
            f"the folder {shown(folder, 200)} holds no copy of a log: there is no checkpoint in it",
            "sigbox log export DIR makes one of a log of Rekor v2; a URL begins with http:// or https://",
        )
    transport = FolderTransport(folder)
    refusals: list[SigError] = []
    for log in logs:
        reader = TiledLog(transport, transport.url, log)
        try:
            return reader, await reader.head()
        except SigError as error:
            refusals.append(error)
    if not refusals:
        raise NotFound("the trusted root has no log of Rekor v2 of that id", "a folder holds the copy of such a log")
    raise refusals[-1]


def holds_copy(folder: str) -> bool:
    """Whether a checkpoint lies where a copy has it."""
    return any(os.path.isfile(f"{folder}{below}/checkpoint") for below in ("/api/v2", ""))  # noqa: PTH113 - see client.files
