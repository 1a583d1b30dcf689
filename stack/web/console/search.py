# SPDX-License-Identifier: Apache-2.0
"""``/search``: one box over all logs, as a page, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore.errors import SigError, Unavailable
from stack.plain import refusal
from stack.web.console.answers import json_answer, moment
from stack.web.console.asked import Asked, parse_asked
from tlog.catalog.catalog import Answer, Catalog, Hit
from tlog.catalog.facts import Kind

if TYPE_CHECKING:
    from stack.web.console.pages import Pages

COLUMNS: Final = (
    "time",
    "log",
    "index",
    "kind",
    "identity",
    "issuer",
    "digest",
    "repository",
    "commit",
    "key",
    "serial",
    "entry",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for a formula at the beginning of a cell."""

Finder = Callable[[web.Request], Awaitable[tuple[Asked, Answer]]]


def make_routes(catalog: Catalog, pages: Callable[[], Pages]) -> list[web.RouteDef]:
    """The routes; ``pages`` is asked when the first page is."""

    async def find(request: web.Request) -> tuple[Asked, Answer]:
        asked = parse_asked(request.query)
        return asked, await catalog.find(asked.query, after=asked.after, limit=asked.limit)

    async def page(request: web.Request) -> web.Response:
        try:
            asked, answer = await find(request)
        except SigError as error:
            return pages().refusal(request, error)
        rows = [_row(hit) for hit in answer.hits]
        more = asked.link("/search", after=answer.next) if answer.next else ""
        exports = {name: asked.link(f"/search.{name.lower()}", limit="1000") for name in ("JSON", "CSV")}
        return pages().page(request, "search.html", asked=asked, rows=rows, answer=answer, more=more, exports=exports)

    return [
        web.get("/search", page),
        web.get("/search.json", _for_programs(find, _as_json)),
        web.get("/search.csv", _for_programs(find, _as_csv)),
    ]


def _for_programs(
    find: Finder, encode: Callable[[Answer], web.Response]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        try:
            _, answer = await find(request)
        except SigError as error:
            return refusal(_status(error), str(error))
        return encode(answer)

    return handler


def _status(error: SigError) -> int:
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, Unavailable) else HTTPStatus.BAD_REQUEST


def _row(hit: Hit) -> dict[str, str]:
    """An entry in the words of COLUMNS."""
    values = {kind.value: hit.facts.first(kind) for kind in Kind}
    return values | {"time": moment(hit.time_ms), "log": hit.log, "index": str(hit.index), "kind": hit.facts.kind}


def _as_json(answer: Answer) -> web.Response:
    rows = [{**_row(hit), "index": hit.index} for hit in answer.hits]
    return json_answer({"complete": dict(answer.complete), "cut": answer.cut, "next": answer.next, "entries": rows})


def _as_csv(answer: Answer) -> web.Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for hit in answer.hits:
        row = _row(hit)
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return web.Response(
        text=text.getvalue(),
        content_type="text/csv",
        headers={"Cache-Control": "no-cache", "Content-Disposition": 'attachment; filename="entries.csv"'},
    )


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
