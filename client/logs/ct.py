# SPDX-License-Identifier: Apache-2.0
"""A Certificate Transparency log over HTTP, followed: nothing of it is believed that does not lead to a head that it has signed.

Source: RFC 6962 sections 2.1 and 4.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from client.logs.certificates import LoggedCertificate, read_logged, usual_text
from client.logs.reader import CT, SignedHead, signed_head
from client.transport import Transport, call
from sigcore import limits, merkle
from sigcore.errors import Malformed, Refused
from sigcore.merkle import Frontier, Hash
from sigcore.strict import Fields, parse_base64
from sigcore.trustroot import LogInstance

_SERVICE: Final = "the certificate log"
_ANSWER: Final = "the certificate log's answer"
_PAGE: Final = 128
"""Entries that are asked for at once; a log may give fewer."""
_LIMIT: Final = 2 * limits.SERVICE_RESPONSE


class CertificateLog:
    """A :class:`~client.logs.reader.Followed` log below ``url``, where ``ct/v1/`` is."""

    generation = CT

    def __init__(self, transport: Transport, url: str, log: LogInstance) -> None:
        self.log = log
        self._transport = transport
        self._url = url.rstrip("/")

    async def _get(self, path: str, limit: int = limits.SERVICE_RESPONSE) -> bytes:
        url = f"{self._url}/ct/v1/{path}"
        return await call(self._transport, "GET", url, service=_SERVICE, headers={}, limit=limit)

    async def _fields(self, path: str, limit: int = limits.SERVICE_RESPONSE) -> Fields:
        return Fields.parse(await self._get(path, limit), what=_ANSWER, limit=limit)

    async def head(self) -> SignedHead:
        """See :class:`~client.logs.reader.Followed`: get-sth."""
        text = (await self._get("get-sth", limits.NOTE)).decode("utf-8", "replace")
        return signed_head(usual_text(text), self.log, CT)

    async def consistency(self, first: int, second: int, head: SignedHead) -> tuple[Hash, ...]:
        """See :class:`~client.logs.reader.Followed`: get-sth-consistency."""
        fields = await self._fields(f"get-sth-consistency?first={first}&second={min(second, head.size)}")
        return _hashes(fields, "consistency")

    async def entries(self, first: int, head: SignedHead) -> AsyncIterator[LoggedCertificate]:
        """See :class:`~client.logs.reader.Followed`: get-entries.

        1. The path of the leaf ``first`` leads to the head; on its left are the roots of all that comes before.
        2. To these the leaves of one page are added. The tree so far must be the head's, or the beginning of it.
        3. Only then the page is handed out. On with the next.
        """
        frontier = await self._before(first, head) if first < head.size else Frontier()  # 1
        while frontier.size < head.size and first < head.size:
            begin = frontier.size
            leaves = await self._page(begin, min(begin + _PAGE, head.size))
            frontier = frontier.extend(map(merkle.hash_leaf, leaves))
            await self._check(frontier, head)  # 2
            for index, leaf in enumerate(leaves, begin):
                yield read_logged(index, self.log.log_id, leaf)  # 3

    async def _before(self, first: int, head: SignedHead) -> Frontier:
        if first == 0:
            return Frontier()
        fields = await self._fields(f"get-entry-and-proof?leaf_index={first}&tree_size={head.size}")
        leaf_hash = merkle.hash_leaf(fields.base64("leaf_input", limit=limits.ENTRY))
        path = _hashes(fields, "audit_path")
        merkle.verify_inclusion(leaf_hash=leaf_hash, index=first, size=head.size, proof=path, root=head.root)
        sides = merkle.sides_of_proof(first, head.size)
        left = [node for is_left, node in zip(sides, path, strict=True) if is_left]
        return Frontier(first, tuple(reversed(left)))

    async def _page(self, begin: int, end: int) -> list[bytes]:
        fields = await self._fields(f"get-entries?start={begin}&end={end - 1}", _LIMIT)
        rows = fields.objects("entries", limit=end - begin)
        if not rows:
            raise Malformed(f"the certificate log gives no entry {begin}, and has signed {end}")
        return [row.base64("leaf_input", limit=limits.ENTRY) for row in rows]

    async def _check(self, frontier: Frontier, head: SignedHead) -> None:
        if frontier.size == head.size:
            if frontier.root() != head.root:
                raise Refused("the entries that the certificate log gives are not those that it has signed")
            return
        proof = await self.consistency(frontier.size, head.size, head)
        merkle.verify_consistency(
            first=frontier.size, second=head.size, first_root=frontier.root(), second_root=head.root, proof=proof
        )


def _hashes(fields: Fields, name: str) -> tuple[Hash, ...]:
    """Base64 nodes; Go writes null for an empty list."""
    if fields.raw().get(name) is None:
        return ()
    return tuple(parse_base64(text, what=name) for text in fields.texts(name, limit=limits.PROOF_HASHES))
