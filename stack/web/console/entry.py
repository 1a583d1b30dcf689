# SPDX-License-Identifier: Apache-2.0
"""``/entries/LOG/INDEX``: one entry with everything that it says and its proof, as a page and as JSON.

The page shows what the server says. Its script asks for the JSON and computes the proof again, in the reader's browser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from sigcore import limits
from sigcore.errors import Malformed, NotFound, SigError
from sigcore.strict import JSON, encode_base64, parse_decimal, parse_json, shown
from sigcore.values import dataclass
from stack.plain import refusal
from stack.web.console.answers import json_answer
from stack.web.console.described import describe_certificate, describe_key, signature_of
from stack.web.console.provenance import describe_provenance
from stack.web.console.shelf import Shelf
from tlog.catalog.catalog import Catalog, Hit
from tlog.catalog.facts import Kind
from tlog.log import Receipt

if TYPE_CHECKING:
    from stack.web.console.pages import Pages

IMMUTABLE: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, and that it is in the log."""

    shelf: Shelf
    hit: Hit
    receipt: Receipt


def make_routes(catalog: Catalog, shelves: Mapping[str, Shelf], pages: Callable[[], Pages]) -> list[web.RouteDef]:
    """The routes; ``pages`` is asked when the first page is."""

    async def find(request: web.Request, name: str) -> Found:
        shelf = shelves.get(request.match_info["log"])
        if shelf is None:
            raise NotFound(f"there is no log {shown(request.match_info['log'])}", f"there are: {', '.join(shelves)}")
        index = parse_decimal(name, what="the index")
        if index >= shelf.log.size:
            raise NotFound(f"the log has {shelf.log.size} entries, the index is {index}")
        return Found(shelf, await catalog.entry(shelf.name, index), await shelf.log.receipt(index))

    async def page(request: web.Request) -> web.Response:
        try:
            found = await find(request, request.match_info["index"])
        except SigError as error:
            return pages().refusal(request, error)
        return pages().page(request, "entry.html", **_values(found))

    async def document(request: web.Request) -> web.Response:
        try:
            return json_answer(proof_document(await find(request, request.match_info["index"])))
        except SigError as error:
            return refusal(404 if isinstance(error, NotFound) else 400, str(error))

    return [web.get("/entries/{log}/{index}.json", document), web.get("/entries/{log}/{index}", page)]


def proof_document(found: Found) -> dict[str, Any]:
    """What a second verifier needs: leaf, path, checkpoint, key. Bytes are in base64."""
    receipt = found.receipt
    return {
        "log": found.shelf.name,
        "index": receipt.index,
        "size": receipt.size,
        "leaf": encode_base64(receipt.leaf),
        "proof": [encode_base64(node) for node in receipt.proof],
        "root": encode_base64(receipt.root),
        "checkpoint": receipt.checkpoint,
        "publicKey": encode_base64(found.shelf.spki),
    }


def _values(found: Found) -> dict[str, Any]:
    facts, receipt = found.hit.facts, found.receipt
    return {
        "shelf": found.shelf,
        "hit": found.hit,
        "terms": [(kind, term.value) for kind in Kind for term in facts.terms if term.kind is kind],
        "certificate": describe_certificate(facts.certificate) if facts.certificate else None,
        "key": describe_key(facts.spki) if facts.spki else None,
        "signature": signature_of(_body(receipt.leaf)) if found.shelf.shard.log != "ct" else "",
        "provenance": describe_provenance(facts.certificate, None),
        "receipt": receipt,
        "proof": [node.hex() for node in receipt.proof],
        "body": _readable(receipt.leaf),
    }


def _readable(leaf: bytes) -> str:
    """JSON with line ends; what is not JSON as hexadecimal digits."""
    body = _body(leaf)
    if body is not None:
        return json.dumps(body, indent=2, ensure_ascii=False)
    return "\n".join(leaf.hex()[place : place + 64] for place in range(0, 2 * len(leaf), 64))


def _body(leaf: bytes) -> JSON:
    """None for what is not JSON."""
    try:
        return parse_json(leaf, what="the log entry", limit=limits.ENTRY)
    except Malformed:
        return None
