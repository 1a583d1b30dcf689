# SPDX-License-Identifier: Apache-2.0
"""The one way to change an answer: a role's own, granted, to one of these requests, with another body."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import web

from sigcore.strict import parse_json
from stack.faults.fault import Handler, Lie, Take

Change: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""The body that a client gets instead."""


def changing(paths: re.Pattern[str], change: Change) -> Lie:
    """Changes the granted answers to requests whose path matches; one that ``change`` leaves as it is does not count.

    Refusals stay: a fault that hid them would be another one. A header that repeats what the body says is brought after it.
    """

    async def lie(request: web.Request, handler: Handler, take: Take) -> web.StreamResponse:
        response = await handler(request)
        if not paths.match(request.path) or not isinstance(response, web.Response) or response.status not in (200, 201):
            return response
        body = response.body
        if not isinstance(body, bytes):
            return response
        changed = await change(body)
        if changed != body and take():
            response.body = changed
            _follow(response)
        return response

    return lie


def at_once(change: Callable[[bytes], bytes]) -> Change:
    """``change``, which needs nobody else for it."""

    async def changed(body: bytes) -> bytes:
        return change(body)

    return changed


def document_of(answer: bytes) -> Any:
    """What one of our own answers says in JSON: of its shape nobody needs to be convinced."""
    return parse_json(answer, what="an answer of ours", limit=len(answer), floats=True)


def altered(data: bytes) -> bytes:
    """``data`` with its last bit turned: a signature of any kind keeps its form."""
    return data[:-1] + bytes((data[-1] ^ 1,))


_NAMED = re.compile(rb'\{"([0-9a-f]{80})":')


def _follow(response: web.Response) -> None:
    """Rekor v1 says the id of its entry in two headers too."""
    named = _NAMED.match(response.body) if isinstance(response.body, bytes) else None
    if named and "ETag" in response.headers:
        response.headers["ETag"] = identifier = named[1].decode("ascii")
        response.headers["Location"] = f"/api/v1/log/entries/{identifier}"
