# SPDX-License-Identifier: Apache-2.0
"""A log as a process of its own: its routes, its health, its start and stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import web

from tlog import ct, rekor_v1, rekor_v2
from tlog.certificate_log import CertificateLogService
from tlog.log import Log
from tlog.rekor_v2 import RekorV2
from tlog.sharded import Sharded
from tlog.signature_log import RekorV1


class _Service(Protocol):
    log: Log

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def make_rekor_app(rekor: RekorV2) -> web.Application:
    """Rekor v2 alone on an origin."""
    return _make_app(rekor, rekor_v2.make_routes(rekor))


def make_rekor_v1_app(rekor: RekorV1) -> web.Application:
    """Rekor v1 alone on an origin."""
    return _make_app(rekor, rekor_v1.make_routes(Sharded(rekor)))


def make_ct_app(log: CertificateLogService) -> web.Application:
    """A certificate log alone on an origin."""
    return _make_app(log, ct.make_routes(log))


def _make_app(service: _Service, routes: list[web.RouteDef]) -> web.Application:
    async def running(_app: web.Application) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "tree_size": service.log.size})

    app = web.Application()
    app.cleanup_ctx.append(running)
    app.add_routes([*routes, web.get("/healthz", health)])
    return app
