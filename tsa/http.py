# SPDX-License-Identifier: Apache-2.0
"""The HTTP face of the timestamp authority.

| route | answer |
|---|---|
| POST /api/v1/timestamp, ``application/timestamp-query`` or ``application/json`` | 200 ``application/timestamp-reply`` |
| GET /api/v1/timestamp/certchain | 200 ``application/pem-certificate-chain``: leaf to root |

As upstream does, a request that is refused gets HTTP 400 with JSON, not a DER rejection: clients look at the status first.

Source: sigstore/timestamp-authority ``openapi.yaml``, ``pkg/api/timestamp.go``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from aiohttp import web

from sigcore import limits
from sigcore.certify import random_serial
from sigcore.device_key import aside
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.timestamp import FailureInfo, Rejected, TimestampRequest, parse_request
from sigcore.x509 import encode_certificate_pem
from tsa.authority import Office
from tsa.json_request import parse_json_request

Clock: TypeAlias = Callable[[], datetime]

REPLY: Final = "application/timestamp-reply"
"""gitsign compares the whole header: no parameters may follow."""
_CHAIN: Final = "application/pem-certificate-chain"
_PARSERS: Final[dict[str, tuple[Callable[[bytes], TimestampRequest], int]]] = {
    "application/timestamp-query": (parse_request, limits.TIMESTAMP_REQUEST),
    "application/json": (parse_json_request, limits.TIMESTAMP_JSON_REQUEST),
}
_STATUS: Final[dict[type[SigError], int]] = {Malformed: 400, Refused: 400, NotFound: 404, Unavailable: 503}


def make_routes(office: Office, clock: Clock) -> list[web.RouteDef]:
    """The routes of one office; ``clock`` is read once per timestamp."""

    async def post_timestamp(request: web.Request) -> web.Response:
        parser = _PARSERS.get(request.content_type)
        if parser is None or request.headers.get("Content-Encoding", "identity") != "identity":
            return _error(415, "the content type must be application/timestamp-query or application/json, uncompressed")
        parse, limit = parser
        try:
            asked = parse(await _body(request, limit))
            office.check_clock()
            authority = office.authority
            respond = partial(authority.respond, asked, now=clock(), serial=random_serial())
            reply = await aside(authority.key, respond)
        except SigError as error:
            return _error(_status(error), str(error))
        return web.Response(body=reply, headers={"Content-Type": REPLY})

    async def get_chain(_request: web.Request) -> web.Response:
        pem = "".join(encode_certificate_pem(certificate.der) for certificate in office.authority.chain)
        return web.Response(body=pem.encode("ascii"), headers={"Content-Type": _CHAIN})

    return [
        web.post("/api/v1/timestamp", post_timestamp),
        web.get("/api/v1/timestamp/certchain", get_chain),
    ]


async def _body(request: web.Request, limit: int) -> bytes:
    """The body, of which never more than ``limit`` and one chunk is held."""
    if request.content.is_eof() and request.content.exception() is None:
        whole = request.content.read_nowait()  # it has arrived with its head, as small ones do
        if len(whole) <= limit:
            return whole
        raise _too_long(limit)
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                raise _too_long(limit)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Rejected(FailureInfo.BAD_DATA_FORMAT, "the timestamp request did not arrive whole") from error
    return bytes(body)


def _too_long(limit: int) -> Rejected:
    return Rejected(FailureInfo.BAD_DATA_FORMAT, f"the timestamp request is longer than {limit} bytes")


def _status(error: SigError) -> int:
    return next(status for kind, status in _STATUS.items() if isinstance(error, kind))


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"code": status, "message": message}, status=status)
