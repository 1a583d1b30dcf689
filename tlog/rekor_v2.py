# SPDX-License-Identifier: Apache-2.0
"""Rekor v2: signatures over digests in a tiled log.

Source: rekor-tiles ``api/proto/rekor/v2/rekor_service.proto`` (CreateEntry; proto-JSON with zero values), CLIENTS.md.
"""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import orjson
from aiohttp import web

from sigcore import entries, keys, limits, merkle
from sigcore.algorithms import HashAlgorithm
from sigcore.entries import HashedRekord, Verifier
from sigcore.entries_v1 import KINDS, check_kind
from sigcore.entries_v2_dsse import DsseRequest, dsse_body, hashedrekord_body, parse_request
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.keys import PrivateKey
from tlog.anchor import Anchor
from tlog.http import (
    Encoded,
    Handler,
    TooLarge,
    answering,
    checkpoint_response,
    read_body,
    tile_response,
)
from tlog.log import Log, Receipt, Submission, seed
from tlog.publish import CheckpointPublisher, Clock
from tlog.storage.base import LogStore
from tlog.submission import Frozen, Intake
from tlog.writers import Unwelcome, Writers

_INVALID_ARGUMENT, _NOT_FOUND, _ALREADY_EXISTS, _PERMISSION_DENIED = 3, 5, 6, 7
_RESOURCE_EXHAUSTED, _UNIMPLEMENTED, _UNAVAILABLE = 8, 12, 14


DsseKind: TypeAlias = Literal["hashedrekord", "dsse"]
_DSSE_BODIES: Final[Mapping[DsseKind, Callable[[DsseRequest], bytes]]] = {
    "hashedrekord": hashedrekord_body,
    "dsse": dsse_body,
}
_STATUS: Final[Mapping[type[SigError], int]] = {
    Unwelcome: 403,
    Frozen: 405,
    TooLarge: 413,
    Encoded: 415,
    Malformed: 400,
    Refused: 400,
    NotFound: 404,
    Unavailable: 503,
}
_CODES: Final = {
    400: _INVALID_ARGUMENT,
    403: _PERMISSION_DENIED,
    404: _NOT_FOUND,
    405: _UNIMPLEMENTED,
    413: _RESOURCE_EXHAUSTED,
    415: _INVALID_ARGUMENT,
    503: _UNAVAILABLE,
}
"""HTTP status -> gRPC code, as the gateway of the original pairs them."""
_ANSWER: Final = (
    b'{"logIndex":"%d","logId":{"keyId":"%b"},"kindVersion":{"kind":"%b","version":"%b"},"integratedTime":"0",'
    b'"inclusionPromise":null,"inclusionProof":{"logIndex":"%d","rootHash":"%b","treeSize":"%d","hashes":[%b],'
    b'"checkpoint":{"envelope":%b}},"canonicalizedBody":"%b"}'
)
"""Kinds are lower-case letters and the rest is numbers and Base64: nothing to escape but the checkpoint."""


class Front:
    """What is done with an entry before the log has it, and with its receipt: no key is needed.

    Args:
        log: where entries are brought.
        log_id: as clients know it.
        dsse: the kind of entry that an envelope is logged as. Newer clients verify hashedrekord only; dsse is for those who sign
            with sigstore-go before 1.2 or sigstore-python before 4.3 and look at what they get.
        kinds: of the entries that it takes, empty for all; an envelope is of kind dsse, whatever it is logged as.
        writers: who may add entries; None for anybody.
    """

    def __init__(
        self,
        log: Intake,
        log_id: bytes,
        *,
        dsse: DsseKind = "hashedrekord",
        kinds: Collection[str] = (),
        writers: Writers | None = None,
    ) -> None:
        self.log = log
        self.log_id = log_id
        self._log_id = b2a_base64(log_id, newline=False)
        self._dsse_body = _DSSE_BODIES[dsse]
        self._kinds = kinds or KINDS
        self._writers = writers

    async def add(self, entry: HashedRekord | DsseRequest) -> Receipt:
        """Verify ``entry`` and log it.

        Raises:
            Malformed, Refused: as :func:`sigcore.entries.verify_entry` and :meth:`DsseRequest.verify`.
            Refused: an entry of another kind than the log takes.
            Unwelcome: one of those who are to have signed it may not write here.
            Frozen, Unavailable: as :meth:`tlog.log.Log.submit`.
        """
        check_kind("dsse" if isinstance(entry, DsseRequest) else "hashedrekord", self._kinds)
        if isinstance(entry, DsseRequest):
            body = self._dsse_body(entry)
            self._check_writers(*entry.verifiers)
            return await self.log.submit(_submission(body))
        await self._take_turns()
        entries.verify_entry(entry)
        self._check_writers(entry.verifier)
        await self._take_turns()
        return await self.log.submit(submission(entry))

    def _check_writers(self, *verifiers: Verifier) -> None:
        if self._writers is None:
            return
        for verifier in verifiers:
            if verifier.certificate is not None:
                self._writers.check_certificate(verifier.certificate)
            else:
                self._writers.check_key(keys.encode_public_key(entries.verification_key(verifier)))

    async def _take_turns(self) -> None:
        """With others under way, each step is done for all of them before the next one: its code is in the caches then."""
        if self.log.waiting:
            await asyncio.sleep(0)

    def encode_answer(self, receipt: Receipt) -> bytes:
        """A TransparencyLogEntry in proto-JSON, zero values written out; ``integratedTime`` is always 0 in Rekor v2.

        It is written straight from its fixed shape, half of the time of a general encoder; the tests compare the two.
        """
        index = receipt.index
        kind, version = entries.kind_of(receipt.leaf).encode(), entries.VERSION_002.encode()
        root, envelope = _shared(receipt.root, receipt.checkpoint)
        hashes = b'","'.join([b2a_base64(hash_, newline=False) for hash_ in receipt.proof])
        hashes = b'"%b"' % hashes if hashes else b""
        body = b2a_base64(receipt.leaf, newline=False)
        return _ANSWER % (index, self._log_id, kind, version, index, root, receipt.size, hashes, envelope, body)


class RekorV2(Front):
    """A log of hashedrekord entries, and of dsse entries where it is told so.

    Args:
        store, anchor: where it is kept.
        origin: the bare host name of the URL that clients are given (no scheme, port or path).
        key: Ed25519 or ECDSA P-256, of this log only.
        clock: the time of day.
        dsse, kinds, writers: see :class:`Front`.
    """

    log: Log

    def __init__(
        self,
        store: LogStore,
        anchor: Anchor,
        *,
        origin: str,
        key: PrivateKey,
        clock: Clock,
        dsse: DsseKind = "hashedrekord",
        kinds: Collection[str] = (),
        writers: Writers | None = None,
    ) -> None:
        publisher = CheckpointPublisher(origin, key)
        self.origin = origin
        self.key = publisher.note_key
        log, log_id = Log(store, anchor, publisher, clock), publisher.note_key.id
        super().__init__(log, log_id, dsse=dsse, kinds=kinds, writers=writers)

    async def start(self) -> None:
        """Open the log and give it its first entry. Refused and Unavailable: as :meth:`tlog.log.Log.start`."""
        await self.log.start()
        try:
            await seed(self.log, submission(genesis(self.origin)))
        except BaseException:
            await self.log.stop()
            raise

    async def stop(self) -> None:
        """Commit what waits and release the log."""
        await self.log.stop()


@lru_cache(maxsize=4)
def _shared(root: bytes, checkpoint: str) -> tuple[bytes, bytes]:
    """What the answers of one batch have in common: the root in Base64, the checkpoint as a JSON string."""
    return b2a_base64(root, newline=False), orjson.dumps(checkpoint)


def submission(entry: HashedRekord) -> Submission:
    """``entry`` for the log: two entries are the same when their canonical bodies are."""
    return _submission(entries.encode_body(entry))


def _submission(body: bytes) -> Submission:
    return Submission(body, merkle.hash_leaf(body))


def genesis(origin: str) -> HashedRekord:
    """The first entry of a log: a signature over its name by a key that is forgotten at once."""
    key = keys.generate_p256()
    text = f"the first entry of the transparency log {origin}\n".encode()
    spki = keys.encode_public_key(key.public_key())
    return HashedRekord(HashAlgorithm.SHA2_256.digest(text), keys.sign(key, text), entries.key_verifier(spki))


# --- HTTP --------------------------------------------------------------------------------------------
def make_routes(rekor: RekorV2) -> list[web.RouteDef]:
    """The service's routes; reads are served below the API's prefix and at the root, where monitors look."""

    async def checkpoint(_request: web.Request) -> web.Response:
        return checkpoint_response(rekor.log)

    async def tile(request: web.Request) -> web.Response:
        return await tile_response(rekor.log, request)

    def get(path: str, handler: Handler) -> list[web.RouteDef]:
        guarded = answering(handler, _STATUS, _refusal)
        return [web.get(f"{prefix}{path}", guarded) for prefix in ("/api/v2", "")]

    return [*make_front_routes(rekor), *get("/checkpoint", checkpoint), *get("/tile/{path:.*}", tile)]


def make_front_routes(front: Front, prefix: str = "") -> list[web.RouteDef]:
    """The route that takes entries, below ``prefix``."""

    async def add(request: web.Request) -> web.Response:
        body = await read_body(request, limit=limits.LOG_REQUEST)
        receipt = await front.add(parse_request(body))
        if receipt.duplicate:
            return _duplicate(receipt.index)
        return web.Response(
            status=web.HTTPCreated.status_code,
            body=front.encode_answer(receipt),
            content_type="application/json",
        )

    return [web.post(f"{prefix}/api/v2/log/entries", answering(add, _STATUS, _refusal))]


def _refusal(status: int, error: SigError) -> web.Response:
    return _status(status, _CODES[status], str(error))


def _duplicate(index: int) -> web.Response:
    response = _status(
        409, _ALREADY_EXISTS, f"an equivalent entry already exists in the transparency log with index {index}"
    )
    response.headers["x-log-index"] = str(index)
    return response


def _status(status: int, code: int, message: str) -> web.Response:
    """google.rpc.Status as the gateway writes it."""
    body = orjson.dumps({"code": code, "message": message, "details": []})
    return web.Response(status=status, body=body, content_type="application/json")
