# SPDX-License-Identifier: Apache-2.0
"""Certificate Transparency over HTTP: the messages of RFC 6962 section 4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import orjson
from aiohttp import web

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.merkle import HASH_SIZE
from sigcore.sct import SignedCertificateTimestamp, encode_digitally_signed
from sigcore.strict import Fields, encode_base64, parse_base64, parse_decimal
from tlog.certificate_log import CertificateFront, CertificateLogService
from tlog.http import Encoded, Handler, TooLarge, answering, query, read_body
from tlog.submission import Frozen
from tlog.writers import Unwelcome

__all__ = ["CertificateLogService", "make_routes"]

ENTRIES: Final = 256
"""Entries of one get-entries answer; RFC 6962 section 4.6 lets a log return fewer than were asked for."""
BODY: Final = limits.CHAIN_CERTIFICATES * limits.CERTIFICATE * 4 // 3 + 1024

_STATUS: Final[Mapping[type[SigError], int]] = {
    Frozen: 403,
    Unwelcome: 403,
    TooLarge: 413,
    Encoded: 415,
    Malformed: 400,
    Refused: 400,
    NotFound: 404,
    Unavailable: 503,
}


def make_routes(log: CertificateLogService) -> list[web.RouteDef]:
    """The routes of one certificate log, below ``/ct/v1``."""
    face = _Face(log)

    def guarded(handler: Handler) -> Handler:
        return answering(handler, _STATUS, _refusal)

    return [
        *make_front_routes(log),
        web.get("/ct/v1/get-sth", guarded(face.get_sth)),
        web.get("/ct/v1/get-sth-consistency", guarded(face.get_sth_consistency)),
        web.get("/ct/v1/get-proof-by-hash", guarded(face.get_proof_by_hash)),
        web.get("/ct/v1/get-entries", guarded(face.get_entries)),
        web.get("/ct/v1/get-roots", guarded(face.get_roots)),
        web.get("/ct/v1/get-entry-and-proof", guarded(face.get_entry_and_proof)),
    ]


def make_front_routes(front: CertificateFront, prefix: str = "") -> list[web.RouteDef]:
    """The routes that take certificates (sections 4.1, 4.2)."""

    def adding(add: Callable[[Sequence[bytes]], Awaitable[SignedCertificateTimestamp]]) -> Handler:
        return answering(partial(_add, add), _STATUS, _refusal)

    return [
        web.post(f"{prefix}/ct/v1/add-chain", adding(front.add_chain)),
        web.post(f"{prefix}/ct/v1/add-pre-chain", adding(front.add_pre_chain)),
    ]


class _Face:
    def __init__(self, service: CertificateLogService) -> None:
        self._service = service
        self._log = service.log

    # --- sections 4.3 to 4.5 -----------------------------------------------------------------------------
    async def get_sth(self, request: web.Request) -> web.Response:
        query(request)
        head = self._service.tree_head()
        return _json(
            {
                "tree_size": head.size,
                "timestamp": head.timestamp_ms,
                "sha256_root_hash": encode_base64(head.root),
                "tree_head_signature": encode_base64(head.signature),
            }
        )

    async def get_sth_consistency(self, request: web.Request) -> web.Response:
        first, second = _numbers(request, "first", "second")
        if not first <= second <= self._log.size:
            raise Malformed(f"first is {first} and second {second}, expected first <= second <= {self._log.size}")
        # Every tree is consistent with the empty one, without proof.
        proof = await self._log.consistency(first, second) if first else ()
        return _json({"consistency": [encode_base64(hash_) for hash_ in proof]})

    async def get_proof_by_hash(self, request: web.Request) -> web.Response:
        text, size_text = query(request, "hash", "tree_size")
        leaf_hash = parse_base64(text, what="the parameter hash")
        if len(leaf_hash) != HASH_SIZE:
            raise Malformed(f"the parameter hash has {len(leaf_hash)} bytes, expected {HASH_SIZE}")
        size = parse_decimal(size_text, what="the parameter tree_size")
        index = await self._log.find(leaf_hash)
        if index is None or size <= index <= self._log.size:
            raise NotFound(f"no entry with that leaf hash is in the tree of size {size}")
        proof = await self._log.inclusion(index, size)
        return _json({"leaf_index": index, "audit_path": [encode_base64(hash_) for hash_ in proof]})

    # --- sections 4.6 to 4.8 -----------------------------------------------------------------------------
    async def get_entries(self, request: web.Request) -> web.Response:
        start, last = _numbers(request, "start", "end")
        if not start <= last or start >= self._log.size:
            raise Malformed(f"start is {start} and end {last}, expected start <= end and start < {self._log.size}")
        end = min(last + 1, start + ENTRIES, self._log.size)
        found = await self._service.entries(start, end)
        return _json(
            {
                "entries": [
                    {"leaf_input": encode_base64(entry.leaf), "extra_data": encode_base64(entry.extra_data)}
                    for entry in found
                ]
            }
        )

    async def get_roots(self, request: web.Request) -> web.Response:
        query(request)
        return _json({"certificates": [encode_base64(root.der) for root in self._service.roots]})

    async def get_entry_and_proof(self, request: web.Request) -> web.Response:
        index, size = _numbers(request, "leaf_index", "tree_size")
        proof = await self._log.inclusion(index, size)
        (entry,) = await self._service.entries(index, index + 1)
        return _json(
            {
                "leaf_input": encode_base64(entry.leaf),
                "extra_data": encode_base64(entry.extra_data),
                "audit_path": [encode_base64(hash_) for hash_ in proof],
            }
        )


async def _add(
    add: Callable[[Sequence[bytes]], Awaitable[SignedCertificateTimestamp]], request: web.Request
) -> web.Response:
    fields = Fields.parse(await read_body(request, limit=BODY), what="the chain request", limit=BODY)
    fields.only("chain")
    texts = fields.texts("chain", limit=limits.CHAIN_CERTIFICATES)
    sct = await add([parse_base64(text, what=f"chain[{i}]") for i, text in enumerate(texts)])
    return _json(
        {
            "sct_version": 0,
            "id": encode_base64(sct.log_id),
            "timestamp": sct.timestamp_ms,
            "extensions": encode_base64(sct.extensions),
            "signature": encode_base64(encode_digitally_signed(sct)),
        }
    )


def _numbers(request: web.Request, *names: str) -> tuple[int, ...]:
    values = query(request, *names)
    return tuple(parse_decimal(text, what=f"the parameter {name}") for name, text in zip(names, values, strict=True))


def _json(answer: object) -> web.Response:
    # A cache that ignores the query would give one proof for another (TrustAsia log2026a).
    return web.Response(
        body=orjson.dumps(answer), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _refusal(status: int, error: SigError) -> web.Response:
    body = orjson.dumps({"error_message": str(error), "success": False})
    return web.Response(status=status, body=body, content_type="application/json")
