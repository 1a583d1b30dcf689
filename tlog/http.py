# SPDX-License-Identifier: Apache-2.0
"""What the HTTP faces of the logs share: bounded bodies, strict queries, tiles, caching."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from sigcore.errors import Malformed, SigError
from sigcore.strict import shown
from sigcore.tiles import WIDTH, encode_entry_bundle, parse_entries_path, parse_path
from tlog.log import Log

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
Refusal: TypeAlias = Callable[[int, SigError], web.Response]

FOR_EVER: Final = "public, max-age=31536000, immutable"
REVALIDATED: Final = "no-cache"
_TILE: Final = "/tile/"


class TooLarge(Malformed):
    """A request body beyond the limit of its route."""


class Encoded(Malformed):
    """A request body with a content coding; small texts need none, and unpacking is where bombs go off."""


def answering(handler: Handler, status: Mapping[type[SigError], int], refusal: Refusal) -> Handler:
    """``handler`` whose errors become answers: the status by the nearest kind in the table, the body by the face."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except SigError as error:
            code = next(status[kind] for kind in type(error).__mro__ if kind in status)
            response = refusal(code, error)
            if code == web.HTTPServiceUnavailable.status_code:
                response.headers["Retry-After"] = "1"
            return response

    return answer


async def read_body(request: web.Request, *, limit: int) -> bytes:
    """The body, at most ``limit`` bytes, counted while it arrives.

    Raises:
        TooLarge, Encoded, Malformed: beyond the limit; compressed; not framed as HTTP says.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Encoded("the request body is compressed", "send it as it is")
    if (request.content_length or 0) > limit:
        raise TooLarge(f"the request body is {request.content_length} bytes long, the limit is {limit}")
    if request.content.is_eof() and request.content.exception() is None:
        body = request.content.read_nowait()  # it has arrived as a whole, as small ones do
        if len(body) > limit:
            raise TooLarge(f"the request body is longer than the limit of {limit} bytes")
        return body
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the request body is longer than the limit of {limit} bytes")
    except (web.RequestPayloadError, BadHttpMessage) as error:
        raise Malformed("the request body is not framed as HTTP/1.1 says") from error
    return b"".join(chunks)


def query(request: web.Request, *names: str) -> tuple[str, ...]:
    """The values of exactly these parameters, each given once.

    Raises:
        Malformed: one is missing, twice, or unknown.
    """
    given = optional_query(request, *names)
    for name in names:
        if name not in given:
            raise Malformed(f"the query has the parameter {name} 0 times, expected once")
    return tuple(given[name] for name in names)


def optional_query(request: web.Request, *names: str) -> dict[str, str]:
    """The values of those of these parameters that are given, each once.

    Raises:
        Malformed: one is twice, or unknown.
    """
    given = request.query
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise Malformed(f"the query has the unknown parameter {shown(unknown[0])}", f"known: {', '.join(names)}")
    for name in given:
        if len(given.getall(name)) != 1:
            raise Malformed(f"the query has the parameter {name} {len(given.getall(name))} times, expected once")
    return dict(given)


# --- C2SP tlog-tiles -------------------------------------------------------------------------------------
def checkpoint_response(log: Log) -> web.Response:
    """The published checkpoint (C2SP tlog-tiles, "Checkpoints")."""
    response = web.Response(text=log.checkpoint(), content_type="text/plain", charset="utf-8")
    response.headers["Cache-Control"] = REVALIDATED
    return response


async def tile_response(log: Log, request: web.Request) -> web.Response:
    """A hash tile or an entry bundle, by the path as it was sent: one resource has one spelling.

    Raises:
        Malformed: another spelling. NotFound: beyond the published tree.
    """
    path = request.rel_url.raw_path.partition(_TILE)[2]
    if path.startswith("entries/"):
        index, width = parse_entries_path(path.removeprefix("entries/"))
        entries = await log.entries(index * WIDTH, index * WIDTH + width)
        data = encode_entry_bundle([entry.leaf for entry in entries])
    else:
        tile = parse_path(path)
        width, data = tile.width, await log.tile(tile)
    caching = FOR_EVER if width == WIDTH else REVALIDATED
    return web.Response(body=data, content_type="application/octet-stream", headers={"Cache-Control": caching})
