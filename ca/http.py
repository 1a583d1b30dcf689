# SPDX-License-Identifier: Apache-2.0
"""Fulcio's HTTP face: API v2, and API v1 as a thin second face over the same authority.

Errors are grpc-gateway's ``{"code", "message", "details"}``. ``Accept`` is ignored: sigstore-python asks for PEM on API v2 and
then reads JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeAlias

import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from ca.authority import Authority
from ca.issuers import Issuer
from ca.request import CertificateRequest, parse_request_v1, parse_request_v2
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.x509 import encode_certificate_pem

Clock: TypeAlias = Callable[[], datetime]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

_STATUS: Final[dict[type[SigError], tuple[int, int]]] = {
    # kind: (gRPC code, HTTP status). Fulcio answers InvalidArgument to a bad token, a bad proof and a bad key alike.
    Malformed: (3, 400),
    Refused: (3, 400),
    NotFound: (5, 404),
    Unavailable: (14, 503),
}
_INTERNAL: Final = (13, 500)
_HEADERS: Final = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT: Final = _HEADERS | {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
}
_PEM_CHAIN: Final = "application/pem-certificate-chain"

_log = logging.getLogger(__name__)


def make_routes(authority: Authority, clock: Clock) -> list[web.RouteDef]:
    """The routes of API v2 and v1; each request reads ``clock`` once."""

    async def signing_cert_v2(request: web.Request) -> web.Response:
        chain = await _issue(authority, clock(), request, parse_request_v2(await _body(request)))
        return _json({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})

    async def signing_cert_v1(request: web.Request) -> web.Response:
        chain = await _issue(authority, clock(), request, parse_request_v1(await _body(request)))
        return _pem_chain(chain, status=201)

    async def trust_bundle(_: web.Request) -> web.Response:
        return _json({"chains": [{"certificates": [f"{pem}\n" for pem in _pems(authority.chain)]}]})

    async def root_cert(_: web.Request) -> web.Response:
        return _pem_chain(_pems(authority.chain), status=200)

    async def issuers(_: web.Request) -> web.Response:
        return _json({"issuers": [_issuer(issuer, kind) for issuer in authority.issuers for kind in issuer.kinds]})

    async def preflight(_: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT)

    return [
        web.post("/api/v2/signingCert", _answered(signing_cert_v2)),
        web.options("/api/v2/signingCert", preflight),
        web.get("/api/v2/trustBundle", trust_bundle),
        web.get("/api/v2/configuration", issuers),
        web.post("/api/v1/signingCert", _answered(signing_cert_v1)),
        web.options("/api/v1/signingCert", preflight),
        web.get("/api/v1/rootCert", root_cert),
    ]


async def _issue(authority: Authority, now: datetime, request: web.Request, wanted: CertificateRequest) -> list[str]:
    """The new certificate and its chain in PEM, without final newlines, as Fulcio writes them in this answer."""
    issued = await authority.issue(_token(request, wanted.token), wanted.proof, now=now)
    return [encode_certificate_pem(issued.chain[0]).rstrip("\n"), *_pems(issued.chain[1:])]


@lru_cache(maxsize=4)
def _pems(chain: tuple[bytes, ...]) -> tuple[str, ...]:
    """The chain of an authority, the same for all that it issues."""
    return tuple(encode_certificate_pem(der).rstrip("\n") for der in chain)


async def _body(request: web.Request) -> bytes:
    """The body, bounded while it arrives (and after decompression), whatever the application's own limit is."""
    if request.content.is_eof() and request.content.exception() is None:
        whole = request.content.read_nowait()  # it has arrived with its head, as small ones do
        if len(whole) <= limits.CERTIFICATE_REQUEST:
            return whole
        raise _too_long()
    data = bytearray()
    try:
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > limits.CERTIFICATE_REQUEST:
                raise _too_long()
    except (web.RequestPayloadError, BadHttpMessage, ConnectionError) as error:
        raise Malformed("the certificate request's body did not arrive whole, or cannot be decoded") from error
    return bytes(data)


def _too_long() -> Malformed:
    return Malformed(f"the certificate request is longer than {limits.CERTIFICATE_REQUEST} bytes")


def _token(request: web.Request, in_body: str) -> str:
    """The one identity token of the request: from the header, the body, or the same in both."""
    headers = request.headers.getall("Authorization", [])
    if len(headers) > 1:
        raise Malformed("the request has more than one Authorization header")
    in_header = ""
    if headers:
        scheme, _, in_header = headers[0].partition(" ")
        if scheme.lower() != "bearer" or not in_header:
            raise Malformed("the Authorization header is not of the form 'Bearer TOKEN' (RFC 6750)")
    if in_header and in_body and in_header != in_body:
        raise Refused("the Authorization header and the body carry different identity tokens", "send one of them")
    if not (in_header or in_body):
        raise Refused("the request carries no identity token", "send it as 'Authorization: Bearer TOKEN'")
    return in_header or in_body


def _answered(handler: Handler) -> Handler:
    """``handler``, with every failure as the wire wants it, and in the log with the request's id.

    What nobody foresaw is logged and shows no detail.
    """

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except SigError as error:
            _log.info("no certificate: %s", error)
            response = _error(*_STATUS.get(type(error), _INTERNAL), str(error))
            if isinstance(error, Unavailable):
                response.headers["Retry-After"] = "1"
            return response
        except Exception:  # noqa: BLE001 - the last line of defence; logged with its traceback
            _log.exception("the certificate request failed for a reason that is not the requester's")
            return _error(*_INTERNAL, "internal error; the server's log says more")

    return answer


def _error(code: int, status: int, message: str) -> web.Response:
    return _json({"code": code, "message": message, "details": []}, status=status)


def _json(value: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=_HEADERS, content_type="application/json")


def _pem_chain(chain: Sequence[str], *, status: int) -> web.Response:
    body, headers = "\n".join(chain).encode("ascii"), _HEADERS | {"Content-Type": _PEM_CHAIN}
    return web.Response(body=body, status=status, headers=headers)


def _issuer(issuer: Issuer, kind: str) -> dict[str, object]:
    """A member of ``GET /api/v2/configuration``, zero values spelt out."""
    return {
        "wildcardIssuerUrl" if "*" in issuer.url else "issuerUrl": issuer.url,
        "audience": issuer.audience,
        "challengeClaim": issuer.challenge(kind),
        "spiffeTrustDomain": issuer.trust_domain,
        "issuerType": kind,
        "subjectDomain": issuer.subject_domain,
        "skipEmailVerification": issuer.skip_email_verification,
    }
