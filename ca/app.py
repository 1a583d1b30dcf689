# SPDX-License-Identifier: Apache-2.0
"""The authority as a service of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from ca.authority import Authority
from ca.http import Clock, make_routes


def system_clock() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)


def make_app(authority: Authority, clock: Clock = system_clock) -> web.Application:
    """An application that serves ``authority``."""
    app = web.Application()
    app.add_routes(make_routes(authority, clock))
    return app
