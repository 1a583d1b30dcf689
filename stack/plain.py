# SPDX-License-Identifier: Apache-2.0
"""Answers that no role gives: errors before routing, in JSON, with the headers that every answer of the stack has."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web
from multidict import istr

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
_log = logging.getLogger("sigbox.http")


def refusal(status: int, message: str) -> web.Response:
    """``{"code", "message"}``, the members that every Sigstore client prints."""
    return web.json_response({"code": status, "message": message}, status=status)


def from_exception(error: web.HTTPException) -> web.Response:
    """404, 405, 413 and the like, which aiohttp raises before a role is asked."""
    response = refusal(error.status, error.reason)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


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
    else:
        _log.info("refused what is no HTTP request: %s", type(error).__name__)
        first = (message or "").partition("\n")[0].strip().rstrip(":")
        response = refusal(status, f"this is not an HTTP/1.1 request: {first or 'it cannot be parsed'}")
    response.headers.update(HEADERS)
    response.force_close()
    return response
