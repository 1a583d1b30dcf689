# SPDX-License-Identifier: Apache-2.0
"""Rekor v1 over HTTP.

Source: rekor ``openapi.yaml``; ``pkg/api`` for what it leaves open (statuses, messages, empty bodies).
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import orjson
from aiohttp import web

from sigcore import entries_v1, limits, merkle
from sigcore.entries_v1_verifier import LoggableEntry, parse_verifier
from sigcore.entry_id import parse_entry_id
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.strict import JSON, Fields, parse_decimal, parse_hex, shown
from tlog.http import Encoded, Handler, TooLarge, answering, optional_query, query, read_body
from tlog.sharded import Found, Sharded
from tlog.signature_log import Answer, RekorV1
from tlog.writers import Unwelcome

ENTRIES: Final = "/api/v1/log/entries"


class Unprocessable(Malformed):
    """What the original's API description rules out: its generated server answers 422 before any other code sees it."""


_STATUS: Final[Mapping[type[SigError], int]] = {
    Unwelcome: 403,
    Unprocessable: 422,
    TooLarge: 413,
    Encoded: 415,
    Malformed: 400,
    Refused: 400,
    NotFound: 404,
    Unavailable: 503,
}
_HASHES: Final = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""Hexadecimal digits -> algorithm."""


class Front(Protocol):
    """Where entries are brought."""

    kinds: Collection[str]
    """Of the entries that it takes."""

    async def enter(self, entry: LoggableEntry) -> Found:
        """Log a verified entry; the tree that has taken it. Errors: as :meth:`tlog.signature_log.FrontV1.add`."""
        ...


def make_routes(rekor: Sharded) -> list[web.RouteDef]:
    """The service's routes. ``retrieve`` has two spellings: sigstore-python ends it with a slash, and POSTs are not redirected."""
    face = _Face(rekor)

    def guarded(handler: Handler) -> Handler:
        return answering(handler, _STATUS, _refusal)

    return [
        *make_front_routes(rekor),
        web.get(ENTRIES, guarded(face.by_index)),
        web.post(f"{ENTRIES}/retrieve", guarded(face.retrieve)),
        web.post(f"{ENTRIES}/retrieve/", guarded(face.retrieve)),
        web.get(f"{ENTRIES}/{{entry_id}}", guarded(face.by_id)),
        web.get("/api/v1/log", guarded(face.log_info)),
        web.get("/api/v1/log/proof", guarded(face.proof)),
        web.get("/api/v1/log/publicKey", guarded(face.public_key)),
        web.post("/api/v1/index/retrieve", guarded(face.search)),
    ]


def make_front_routes(front: Front) -> list[web.RouteDef]:
    """The route that takes entries."""

    async def add(request: web.Request) -> web.Response:
        proposal = entries_v1.parse_proposal(await _body(request), front.kinds)
        tree, receipt = await front.enter(proposal.verify())
        entry_id = tree.entry_id(receipt.leaf)
        if receipt.duplicate:
            message = f"an equivalent entry already exists in the transparency log with UUID {entry_id}"
            response = _error(web.HTTPConflict.status_code, message)
        else:
            response = _json(await tree.answer(receipt, attestation=False), status=web.HTTPCreated.status_code)
            # Bare, without the quotes of RFC 9110: sigstore-go looks it up in the body as it stands.
            response.headers["ETag"] = entry_id
        response.headers["Location"] = f"{ENTRIES}/{entry_id}"
        return response

    return [web.post(ENTRIES, answering(add, _STATUS, _refusal))]


class _Face:
    def __init__(self, rekor: Sharded) -> None:
        self._rekor = rekor

    # --- entries -------------------------------------------------------------------------------------------
    async def by_index(self, request: web.Request) -> web.Response:
        with _described():
            (text,) = query(request, "logIndex")
            index = parse_decimal(text, what="the parameter logIndex")
        return _json(await _answer(await self._rekor.by_index(index)))

    async def by_id(self, request: web.Request) -> web.Response:
        with _described():
            query(request)
            parse_entry_id(entry_id := request.match_info["entry_id"])
        return _json(await _answer(await self._rekor.by_id(entry_id)))

    async def retrieve(self, request: web.Request) -> web.Response:
        """As the original: what is asked for by its hash comes from each tree that has it."""
        fields = Fields.parse(await _body(request), what="the query", limit=limits.LOG_REQUEST)
        fields.only("entryUUIDs", "logIndexes", "entries")
        ids, indexes, proposals = (_list(fields, name) for name in ("entryUUIDs", "logIndexes", "entries"))
        count = len(ids) + len(indexes) + len(proposals)
        if count > limits.RETRIEVE_QUERIES:
            raise Unprocessable(f"the query asks for {count} entries, more than max allowed {limits.RETRIEVE_QUERIES}")
        found: list[Found] = []
        for id_ in ids:
            found += await _if_found(self._rekor.every_by_id(_id(id_)))
        for proposal in proposals:
            found += await _if_found(self._by_proposal(proposal))
        for index in indexes:
            found += await _if_found(_alone(self._rekor.by_index(_index(index))))
        return _json([await _answer(one) for one in found])

    async def _by_proposal(self, proposal: JSON) -> Sequence[Found]:
        body = entries_v1.sought_body(proposal)
        if body is None:
            raise NotFound("entries of this kind were never logged")
        return await self._rekor.by_leaf_hash(merkle.hash_leaf(body))

    # --- the log -------------------------------------------------------------------------------------------
    async def log_info(self, request: web.Request) -> web.Response:
        with _described():
            optional_query(request, "stable")
        *older, active = map(_shown_tree, self._rekor.trees)
        return _json({"inactiveShards": older, **active})

    async def proof(self, request: web.Request) -> web.Response:
        with _described():
            given = optional_query(request, "firstSize", "lastSize", "treeID")
            if "lastSize" not in given:
                raise Malformed("the query has the parameter lastSize 0 times, expected once")
            first, last = (
                parse_decimal(given.get(name, "1"), what=f"the parameter {name}") for name in ("firstSize", "lastSize")
            )
            if not (first and last):
                raise Malformed("firstSize and lastSize are sizes of trees, expected 1 and more")
        log = self._tree(given).log
        if first > last:
            raise Malformed(f"firstSize is {first} and lastSize {last}, expected firstSize <= lastSize")
        head = log.head
        if last > head.size:
            raise Malformed(f"lastSize is {last}, the log has {head.size} entries")
        hashes = await log.consistency(first, last)
        return _json({"hashes": [hash_.hex() for hash_ in hashes], "rootHash": head.root.hex()})

    async def public_key(self, request: web.Request) -> web.Response:
        with _described():
            given = optional_query(request, "treeID")
        pem = self._tree(given).public_key_pem.encode("ascii")
        return web.Response(body=pem, content_type="application/x-pem-file")

    def _tree(self, given: Mapping[str, str]) -> RekorV1:
        """The one that is meant: without a word the active one."""
        if not (text := given.get("treeID")):
            return self._rekor.active
        with _described():
            tree_id = parse_decimal(text, what="the parameter treeID")
        try:
            return self._rekor.tree(tree_id)
        except NotFound as error:
            raise Malformed(error.message, error.hint) from error

    # --- search --------------------------------------------------------------------------------------------
    async def search(self, request: web.Request) -> web.Response:
        keys, every = _parse_search(await _body(request))
        return _json(await self._rekor.find(keys, every=every))


# --- reading queries -------------------------------------------------------------------------------------
@contextmanager
def _described() -> Iterator[None]:
    """Parameters and members that do not fit the API description: Malformed becomes Unprocessable."""
    try:
        yield
    except Malformed as error:
        raise Unprocessable(error.message, error.hint) from error


async def _body(request: web.Request) -> bytes:
    body = await read_body(request, limit=limits.LOG_REQUEST)
    if not body:
        raise Unprocessable("the request has no body", "send JSON")
    return body


async def _if_found(found: Awaitable[Sequence[Found]]) -> Sequence[Found]:
    """What is not there is left out of an answer to several questions."""
    try:
        return await found
    except NotFound:
        return ()


async def _alone(found: Awaitable[Found]) -> Sequence[Found]:
    return (await found,)


def _list(fields: Fields, name: str) -> list[JSON]:
    value = fields.raw().get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{fields.path}.{name} is no array")
    return value


def _id(value: JSON) -> str:
    if not isinstance(value, str):
        raise Malformed(f"an element of entryUUIDs is {shown(value)}, expected a string")
    with _described():
        parse_entry_id(value)
    return value


def _index(value: JSON) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"an element of logIndexes is {shown(value)}, expected a number")
    if value < 0:
        raise Unprocessable(f"an element of logIndexes is {value}, expected a number from 0 on")
    return value


def _parse_search(data: bytes) -> tuple[list[str], bool]:
    """The search keys of a query, and whether an entry must have every one of them. Malformed and Refused: it is none."""
    fields = Fields.parse(data, what="the query", limit=limits.LOG_REQUEST)
    fields.only("hash", "publicKey", "email", "subject", "operator")
    operator = _given(fields, "operator") or "or"
    if operator not in ("and", "or"):
        raise Unprocessable(f"{fields.path}.operator is {shown(operator)}, expected and, or")
    keys = []
    if text := _given(fields, "hash"):
        keys.append(_hash_key(text))
    if fields.raw().get("publicKey") is not None:
        keys.append(_verifier_key(fields.object("publicKey")))
    keys += [text for name in ("email", "subject") if (text := _given(fields, name))]
    return keys, operator == "and"


def _given(fields: Fields, name: str) -> str:
    text = "" if fields.raw().get(name) is None else fields.text(name)
    if len(text) > limits.INDEX_KEY:
        raise Unprocessable(f"{fields.path}.{name} is {len(text)} characters long, the limit is {limits.INDEX_KEY}")
    return text


def _hash_key(text: str) -> str:
    name, colon, value = text.rpartition(":")
    expected = _HASHES.get(len(value))
    if expected is None or (colon and name.lower() != expected):
        raise Unprocessable(
            f"the hash is {shown(text)}, expected hexadecimal digits, with or without their algorithm before a colon",
            ", ".join(f"{algorithm}: {digits} digits" for digits, algorithm in _HASHES.items()),
        )
    with _described():
        return f"{expected}:{parse_hex(value.lower(), what='the hash').hex()}"


def _verifier_key(fields: Fields) -> str:
    fields.only("format", "content", "url")
    if "format" not in fields:
        raise Unprocessable(f"{fields.path}.format is missing", "this log has x509 keys")
    if (form := fields.text("format")) != "x509":
        raise Refused(f"{fields.path}.format is {shown(form)}, this log has x509 keys")
    if fields.raw().get("url"):
        raise Refused(f"{fields.path}.url is not fetched", "send the PEM block itself as content, in base64")
    pem = fields.base64("content", limit=2 * limits.CERTIFICATE)
    return parse_verifier(pem, what=f"{fields.path}.content").fingerprint


# --- answers ---------------------------------------------------------------------------------------------
async def _answer(found: Found) -> dict[str, Answer]:
    tree, receipt = found
    return await tree.answer(receipt, attestation=True)


def _shown_tree(tree: RekorV1) -> dict[str, Answer]:
    head = tree.log.head
    return {
        "rootHash": head.root.hex(),
        "signedTreeHead": head.checkpoint,
        "treeID": str(tree.tree_id),
        "treeSize": head.size,
    }


def _json(value: Mapping[str, object] | Sequence[Answer], *, status: int = 200) -> web.Response:
    """Heads move: what was answered once must not be answered again by a cache."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json", headers=headers)


def _refusal(status: int, error: SigError) -> web.Response:
    """As the original: what is not found has no body."""
    return web.Response(status=status) if status == web.HTTPNotFound.status_code else _error(status, str(error))


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"code": status, "message": message}, status=status)
