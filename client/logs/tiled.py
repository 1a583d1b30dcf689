# SPDX-License-Identifier: Apache-2.0
"""A tiled log over HTTP: Rekor v2, or a static copy of its tiles. Proofs are built here, from tiles, and then verified.

A tile is not believed: a proof that is built from wrong ones does not lead to the signed root.

Source: C2SP tlog-tiles; rekor-tiles ``CLIENTS.md`` (the prefix ``/api/v2``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, TypeVar

from client.logs.reader import SignedHead, kind_and_version, signed_head
from client.transport import ServiceRefused, Transport, call
from sigcore import limits, merkle
from sigcore.errors import NotFound
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.merkle import Frontier, Hash
from sigcore.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    encode_entries_path,
    encode_path,
    parse_entry_bundle,
    parse_tile,
)
from sigcore.trustroot import LogInstance

_T = TypeVar("_T")
_PREFIXES: Final = ("/api/v2", "")
_GONE: Final = (404, 410)
_SERVICE: Final = "the transparency log"
_KEPT: Final = 1024
"""Tiles, 40 KB each. One proof needs two of each level at most."""
_HEADS_KEPT: Final = 2
"""Heads whose tiles are kept."""
_BUNDLE: Final = WIDTH * (limits.ENTRY + 2)


class MissingTile(LookupError):
    """A node of ``tile`` was asked for: :meth:`TileNodes.put` that tile and ask again."""

    def __init__(self, tile: Tile) -> None:
        super().__init__(encode_path(tile))
        self.tile = tile


class TileNodes:
    """The nodes of a tree of ``size`` leaves, out of tiles; ``node`` is a :data:`sigcore.merkle.NodeReader`. Pure."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tiles: dict[tuple[int, int], tuple[Hash, ...]] = {}

    def node(self, level: int, index: int) -> Hash:
        """The root of the complete subtree (level, index): the tree hash of a run of one tile.

        Raises:
            MissingTile: its tile has to be put first.
        """
        row, inner = divmod(level, HEIGHT)
        place, start = divmod(index << inner, WIDTH)
        hashes = self._tiles.get((row, place))
        if hashes is None:
            width = min(WIDTH, (self._size >> HEIGHT * row) - place * WIDTH)
            raise MissingTile(Tile(row, place, width))
        return Frontier().extend(hashes[start : start + (1 << inner)]).root()

    def put(self, tile: Tile, hashes: tuple[Hash, ...]) -> None:
        """Keep the content of a tile; the one that was put first makes room."""
        self._tiles[tile.level, tile.index] = hashes
        if len(self._tiles) > _KEPT:
            del self._tiles[next(iter(self._tiles))]


class TiledLog:
    """A :class:`~client.logs.reader.LogReader` at ``url``, below which ``checkpoint`` and ``tile/`` are, or ``api/v2/``."""

    generation = 2

    def __init__(self, transport: Transport, url: str, log: LogInstance) -> None:
        self.log = log
        self._transport = transport
        self._url = url.rstrip("/")
        self._prefix: str | None = None
        self._nodes: dict[int, TileNodes] = {}

    # --- reading -----------------------------------------------------------------------------------------
    async def head(self) -> SignedHead:
        """See :class:`~client.logs.reader.LogReader`."""
        return signed_head((await self._get("checkpoint", limits.NOTE)).decode("utf-8", "replace"), self.log, 2)

    async def _get(self, path: str, limit: int) -> bytes:
        """The first request finds out which of the prefixes it is."""
        if self._prefix is not None:
            return await self._get_below(self._prefix, path, limit)
        for prefix in _PREFIXES:
            try:
                found = await self._get_below(prefix, path, limit)
            except ServiceRefused as error:
                if error.status not in _GONE or prefix == _PREFIXES[-1]:
                    raise
            else:
                self._prefix = prefix
                return found
        raise AssertionError("there is a last prefix")

    async def _get_below(self, prefix: str, path: str, limit: int) -> bytes:
        url = f"{self._url}{prefix}/{path}"
        return await call(self._transport, "GET", url, service=_SERVICE, headers={}, limit=limit)

    async def _get_tile(self, encode: Callable[[int], str], width: int, limit: int) -> tuple[bytes, int]:
        """A tile or entry bundle and its width: a partial one may be gone, once the full one is there."""
        try:
            return await self._get(f"tile/{encode(width)}", limit), width
        except ServiceRefused as error:
            if width == WIDTH or error.status not in _GONE:
                raise
        return await self._get(f"tile/{encode(WIDTH)}", limit), WIDTH

    async def _computed(self, size: int, compute: Callable[[merkle.NodeReader], _T]) -> _T:
        nodes = self._nodes.setdefault(size, TileNodes(size))
        for other in [*self._nodes][:-_HEADS_KEPT]:  # whoever follows a log for months asks for each of its heads once
            if other != size:
                del self._nodes[other]
        while True:
            try:
                return compute(nodes.node)
            except MissingTile as missing:
                await self._fetch(nodes, missing.tile)

    async def _fetch(self, nodes: TileNodes, tile: Tile) -> None:
        limit = WIDTH * merkle.HASH_SIZE
        data, width = await self._get_tile(
            lambda width: encode_path(Tile(tile.level, tile.index, width)), tile.width, limit
        )
        nodes.put(tile, parse_tile(data, width)[: tile.width])

    async def bodies(self, index: int, size: int) -> tuple[bytes, ...]:
        """The bodies [index * 256, index * 256 + 256) as far as a tree of ``size`` leaves has them. Not verified."""
        asked = min(WIDTH, size - index * WIDTH)
        data, width = await self._get_tile(lambda width: f"entries/{encode_entries_path(index, width)}", asked, _BUNDLE)
        return parse_entry_bundle(data, width)[:asked]

    # --- entries -----------------------------------------------------------------------------------------
    async def entry(self, index: int, head: SignedHead) -> LogEntry:
        """See :class:`~client.logs.reader.LogReader`."""
        _check_index(index, head)
        bodies = await self.bodies(index // WIDTH, head.size)
        proof = await self._computed(head.size, lambda node: merkle.inclusion_proof(index, head.size, node))
        return self._entry(index, bodies[index % WIDTH], proof, head)

    def _entry(self, index: int, body: bytes, proof: tuple[Hash, ...], head: SignedHead) -> LogEntry:
        leaf_hash = merkle.hash_leaf(body)
        merkle.verify_inclusion(leaf_hash=leaf_hash, index=index, size=head.size, proof=proof, root=head.root)
        included = InclusionProof(index, head.size, head.root, proof, head.envelope)
        kind, version = kind_and_version(body)
        return LogEntry(index, self.log.log_id, kind, version, 0, body, included)

    async def find(self, entry_id: str) -> LogEntry:
        """See :class:`~client.logs.reader.LogReader`."""
        raise NotFound(
            f"a log of Rekor v2 finds entries by their index alone, not by {entry_id[:16]}...",
            "where a sigbox stack serves it, its console knows the index: sigbox log search --entry HEX",
        )

    async def entries(self, first: int, head: SignedHead) -> AsyncIterator[LogEntry]:
        """See :class:`~client.logs.reader.LogReader`. The proofs of one bundle share their tiles."""
        for index in range(first // WIDTH, -(-head.size // WIDTH)):
            bodies = await self.bodies(index, head.size)
            begin, end = max(first, index * WIDTH), index * WIDTH + len(bodies)
            proofs = await self._computed(head.size, partial(merkle.inclusion_proofs, begin, end, head.size))
            for place, proof in zip(range(begin, end), proofs, strict=True):
                yield self._entry(place, bodies[place % WIDTH], proof, head)

    # --- heads -------------------------------------------------------------------------------------------
    async def root(self, size: int, head: SignedHead) -> Hash:
        """See :class:`~client.logs.reader.LogReader`."""
        if size > head.size:
            raise NotFound(f"the log has {head.size} entries, a tree of {size} is not there yet")
        return await self._computed(head.size, lambda node: merkle.root_of(size, node))

    async def consistency(self, first: int, second: int, head: SignedHead) -> tuple[Hash, ...]:
        """See :class:`~client.logs.reader.LogReader`."""
        return await self._computed(head.size, lambda node: merkle.consistency_proof(first, second, node))


def _check_index(index: int, head: SignedHead) -> None:
    if not 0 <= index < head.size:
        raise NotFound(f"the log has no entry {index}: it has {head.size}, the first of them is 0")
