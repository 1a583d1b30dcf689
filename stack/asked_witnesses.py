# SPDX-License-Identifier: Apache-2.0
"""The way to the witnesses of a log: HTTP to the addresses of the settings file and nowhere else, within a deadline.

Redirects are not followed; https goes through the proxy of the environment where there is one (:mod:`stack.proxies`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from client.transport import AiohttpTransport, tls_context
from sigcore import limits
from sigcore.cosignature import parse_witness_verifier
from sigcore.errors import Refused, Unavailable
from stack.proxies import outside
from stack.shards import Shard
from stack.witness_rows import WitnessRow
from tlog.cosigning import PATIENCE_S, Answer, Ask, Asked, Cosigners

_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}


class Asking:
    """The way to the witnesses of a log; a :class:`~stack.service.Service` that is open while the log is."""

    def __init__(self, rows: Sequence[WitnessRow], quorum: int) -> None:
        self._rows = tuple(rows)
        self._quorum = quorum
        self._opened = AsyncExitStack()
        self._ways: dict[str, AiohttpTransport] = {}

    async def start(self) -> None:
        """Get ready to connect; nobody is asked yet. NotFound, Malformed: the file of a TLS authority is no good."""
        for row in self._rows:
            tls = tls_context(row.ca_file) if row.ca_file else None
            transport = AiohttpTransport(tls=tls, timeout_s=PATIENCE_S, way=outside)
            self._ways[row.key] = await self._opened.enter_async_context(transport)

    async def stop(self) -> None:
        """Close the connections."""
        self._ways.clear()
        await self._opened.aclose()

    def cosigners(self, shard: Shard) -> Cosigners:
        """Those of one tree.

        Raises:
            Refused: the log was rotated. Its trees have one origin, and a witness keeps one tree for each origin.
        """
        if shard.number > 1:
            raise Refused(
                f"the log was rotated to {shard.name}, which its witnesses would take for a fork of the first tree: both have one origin",
                "take [[log.witnesses]] out of sigbox.toml",
            )
        return Cosigners([Asked(parse_witness_verifier(row.key), self._asker(row)) for row in self._rows], self._quorum)

    def _asker(self, row: WitnessRow) -> Ask:
        async def ask(body: bytes) -> Answer:
            way = self._ways.get(row.key)
            if way is None:
                raise Unavailable("the stack is stopping")
            url = f"{row.url}/add-checkpoint"
            answer = await way.request("POST", url, headers=_HEADERS, body=body, limit=limits.NOTE)
            return Answer(answer.status, answer.body)

        return ask
