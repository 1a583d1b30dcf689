# SPDX-License-Identifier: Apache-2.0
"""The face of a witness: ``POST /witness/add-checkpoint`` (C2SP tlog-witness).

====  ==================================================================================================
200   the cosignature, one line of a note
400   not such a request, or the old size is above the checkpoint's
403   none of the log's keys has signed the checkpoint
404   the log is not witnessed here
409   the witness is at another size, which the body says; or at another tree of this size: a fork
422   the proof does not lead from the one checkpoint to the other
503   the time or the storage of the witness is not well
====  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from tlog.http import Encoded, Handler, TooLarge, answering, read_body
from tlog.witness import Conflict, Unsigned, Witness

SIZE_TYPE: Final = "text/x.tlog.size"
REQUEST: Final = limits.NOTE + 4096
"""A note, and 63 lines of 45 bytes with the line before them."""
_STATUS: Final = {
    TooLarge: 413,
    Encoded: 415,
    Malformed: 400,
    NotFound: 404,
    Unsigned: 403,
    Conflict: 409,
    Refused: 422,
    Unavailable: 503,
}


def make_handler(witness: Callable[[], Witness]) -> Handler:
    """What answers there. ``witness`` raises NotFound where there is none."""

    async def add(request: web.Request) -> web.Response:
        body = await read_body(request, limit=REQUEST)
        return _text(200, await witness().add(body))

    return answering(add, _STATUS, _refusal)


def _refusal(status: int, error: SigError) -> web.Response:
    if isinstance(error, Conflict):
        return _text(status, f"{error.size}\n", SIZE_TYPE)
    return _text(status, f"{error}\n")


def _text(status: int, text: str, kind: str = "text/plain; charset=utf-8") -> web.Response:
    response = web.Response(status=status, body=text.encode(), headers={"Content-Type": kind})
    response.headers["Cache-Control"] = "no-store"
    return response
