# SPDX-License-Identifier: Apache-2.0
"""Answers that no role gives: errors before routing, in JSON, with the headers that every answer of the stack has."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from multidict import istr

from sigcore.strict import shown

HEADERS: Final = {
    istr("Server"): "sigbox",
    istr(
        "Cache-Control"
    ): "no-store",  # unless the role says otherwise: a cache may ignore the query, or keep a refusal
    istr("X-Content-Type-Options"): "nosniff",
    istr("Referrer-Policy"): "no-referrer",
    istr("Content-Security-Policy"): (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
TARGET_LIMIT: Final = 8190
"""Bytes of a request's path and query."""
HEADER_LIMIT: Final = 16 * 1024 + 256
"""Bytes of a header's name and value: an identity token in the Authorization header."""
_log = logging.getLogger("sigbox.http")

_GRPC: Final = {401: 16, 403: 7, 404: 5, 405: 12, 409: 6, 429: 8, 500: 13, 503: 14}
"""Of grpc-gateway, which answers 405 as "unimplemented"; everything else is an invalid argument, 3."""
_GATEWAY: Final = ("/api/v2/", "/log/", "/api/v1/signingCert", "/api/v1/rootCert")
_OAUTH: Final = ("/auth/token", "/auth/device/code", "/auth/userinfo")


def refusal(status: int, message: str, path: str = "") -> web.Response:
    """In the form of the role that ``path`` belongs to, which a client of that role can read; else ``{"code", "message"}``."""
    document: dict[str, object] = {"code": status, "message": message}
    if path.startswith(_GATEWAY):
        document = {"code": _GRPC.get(status, 3), "message": message, "details": []}
    elif path.startswith("/ct/"):
        document = {"error_message": message, "success": False}
    elif path in _OAUTH:
        document = {"error": "server_error" if status >= 500 else "invalid_request", "error_description": message}
    return web.json_response(document, status=status)


def from_exception(error: web.HTTPException, path: str = "") -> web.Response:
    """404, 405, 413 and the like, which aiohttp raises before a role is asked."""
    allowed = error.headers.get("Allow")
    response = refusal(error.status, f"{error.reason} (expected {allowed})" if allowed else error.reason, path)
    if allowed:
        response.headers["Allow"] = allowed
    return response


def _too_long(begins: bytes, limit: int) -> web.Response:
    """What is said of a head that has more than ``limit`` bytes where it ``begins`` so."""
    if limit != TARGET_LIMIT:
        return refusal(431, f"a header of this request is longer than {limit} bytes, its name and its value together")
    path = bytes(begins).decode("ascii", "replace").partition("?")[0]
    message = f"the target of this request is longer than {limit} bytes, and begins with {shown(path)}"
    return refusal(414, message, path)


def refuse_connection(
    request: web.BaseRequest, status: int, error: BaseException | None, message: str | None
) -> web.Response:
    """The answer to what is no HTTP request; the connection ends with it, since nobody knows where the next one begins.

    Raises:
        ConnectionError: another answer is half sent.
    """
    if request.writer.output_size > 0:
        raise ConnectionError("an answer was begun already")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a connection failed", exc_info=error)
        response = refusal(status, "internal error")
    elif isinstance(error, LineTooLong):
        _log.info("refused a request whose head is too long")
        response = _too_long(*error.args[:2])
    else:
        _log.info("refused what is no HTTP request: %s", type(error).__name__)
        first = (message or "").partition("\n")[0].strip().rstrip(":")
        response = refusal(status, f"this is not an HTTP/1.1 request: {first or 'it cannot be parsed'}")
    response.headers.update(HEADERS)
    response.force_close()
    return response
