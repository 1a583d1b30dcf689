# SPDX-License-Identifier: Apache-2.0
"""``/flow``: sign a text in the page and see each step of it; ``/flow/live``: the signings of everybody, as they come.

A text is signed here only where nothing lasts and anybody may be anybody: in a stack with the control API. A durable stack says how
to do the same with the client, and explains what the newest entry of its log proves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from sigcore.errors import NotFound, Refused, SigError
from sigcore.strict import parse_decimal, shown
from stack.config import Home, Settings
from stack.files import load_file
from stack.web.console.forms import check_origin, identity_to_be, read_texts, see_other, text_to_sign
from stack.web.console.kept import Kept
from stack.web.console.live import signings
from stack.web.console.shelf import Shelf
from tlog.catalog.catalog import Catalog

if TYPE_CHECKING:
    from stack.web.console.pages import Pages
    from stack.web.console.recording import Recorded
    from stack.web.console.workshop import Workshop

NEWEST: Final = ("rekor", "rekor-v1")
"""Logs of signatures, in the order in which the newest entry is looked for."""


class Flow:
    """The pages of one stack. ``pages`` and ``workshop`` are asked when they are first needed; without a workshop nothing is signed."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        catalog: Catalog,
        shelves: Mapping[str, Shelf],
        pages: Callable[[], Pages],
        workshop: Callable[[], Workshop] | None,
    ) -> None:
        self._home, self._settings, self._catalog, self._shelves = home, settings, catalog, shelves
        self._pages, self._workshop = pages, workshop
        self._kept: Kept[Recorded] = Kept()

    def make_routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/flow", self._start),
            web.post("/flow", self._record),
            web.get("/flow/live", self._live),
            web.get("/flow/entries/{log}/{index}", self._entry),
            web.get("/flow/{name}/signing.zip", self._archive),
            web.get("/flow/{name}", self._steps),
        ]

    async def _start(self, request: web.Request) -> web.Response:
        signs = self._workshop is not None
        newest = None if signs else self._newest()
        return self._pages().page(request, "flow.html", signs=signs, newest=newest)

    def _newest(self) -> tuple[str, int] | None:
        shelves = [
            shelf for log in NEWEST for shelf in reversed(tuple(self._shelves.values())) if shelf.shard.log == log
        ]
        logs = ((shelf.name, shelf.log.size) for shelf in shelves)
        return next(((name, size - 1) for name, size in logs if size), None)

    async def _record(self, request: web.Request) -> web.Response:
        try:
            check_origin(request, self._settings)
            if self._workshop is None:
                raise Refused(
                    "nobody is signed for in a stack that lasts", "sign with your own identity: sigbox sign-blob"
                )
            texts = await read_texts(request)
            recorded = await _record(self._workshop(), text_to_sign(texts), identity_to_be(texts))
        except SigError as error:
            return self._pages().refusal(request, error)
        return see_other(f"/flow/{self._kept.add(recorded)}")

    async def _steps(self, request: web.Request) -> web.Response:
        # Deferred: the client's modules, which nothing else of a serving stack needs.
        from stack.web.console.recording import ACTORS, dump  # noqa: PLC0415 - see the line above

        name = request.match_info["name"]
        try:
            recorded = self._kept.get(name)
        except SigError as error:
            return self._pages().refusal(request, error)
        return self._pages().page(request, "steps.html", name=name, recorded=recorded, actors=ACTORS, dump=dump)

    async def _archive(self, request: web.Request) -> web.Response:
        from stack.web.console.recording import encode_archive  # noqa: PLC0415 - as in _steps

        try:
            data = encode_archive(self._kept.get(request.match_info["name"]))
        except SigError as error:
            return self._pages().refusal(request, error)
        headers = {"Content-Disposition": 'attachment; filename="signing.zip"', "Cache-Control": "no-store"}
        return web.Response(body=data, content_type="application/zip", headers=headers)

    async def _entry(self, request: web.Request) -> web.Response:
        from stack.web.console.recording import dump  # noqa: PLC0415 - as in _steps
        from stack.web.console.witnessed import explain_entry  # noqa: PLC0415 - the same

        try:
            shelf, index = self._sought(request)
            root = load_file(self._home.trusted_root, what="the trusted root")
            witnessed = explain_entry(await shelf.log.receipt(index), shelf.spki, root)
        except SigError as error:
            return self._pages().refusal(request, error)
        values: dict[str, Any] = {"parts": witnessed.parts, "error": witnessed.error, "dump": dump}
        return self._pages().page(request, "witnessed.html", shelf=shelf, index=index, **values)

    def _sought(self, request: web.Request) -> tuple[Shelf, int]:
        name = request.match_info["log"]
        if name not in self._shelves or self._shelves[name].shard.log not in NEWEST:
            raise NotFound(f"{shown(name)} is no log of signatures", f"there are: {', '.join(NEWEST)}")
        shelf, index = self._shelves[name], parse_decimal(request.match_info["index"], what="the index")
        if index >= shelf.log.size:
            raise NotFound(f"the log has {shelf.log.size} entries, the index is {index}")
        return shelf, index

    async def _live(self, request: web.Request) -> web.Response:
        try:
            found = await signings(self._catalog)
        except SigError as error:
            return self._pages().refusal(request, error)
        return self._pages().page(request, "live.html", signings=found)


async def _record(workshop: Workshop, data: bytes, identity: str) -> Recorded:
    from client.explain.signing import explain_signing  # noqa: PLC0415 - as in Flow._steps
    from sigcore.algorithms import HashAlgorithm  # noqa: PLC0415 - the same
    from stack.web.console.recording import ARTIFACT, Recorded  # noqa: PLC0415 - the same

    async with workshop.turn() as bench:
        bundle = await bench.sign(await bench.identify({"email": identity}), data)
        digest = HashAlgorithm.SHA2_256.digest(data)
        parts = explain_signing(bundle, digest, ARTIFACT, root=bench.root, made_by=bench.issued[-1])
        return Recorded(data, identity, parts, bundle, bench.root)
