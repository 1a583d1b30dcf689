# SPDX-License-Identifier: Apache-2.0
"""The timestamp authority as an application of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from tsa.authority import Office, TimestampAuthority
from tsa.http import Clock, make_routes


def utc_clock() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def make_app(authority: TimestampAuthority, clock: Clock = utc_clock) -> web.Application:
    """An application with the routes of :mod:`tsa.http` and nothing else."""
    app = web.Application()
    app.add_routes(make_routes(Office(authority), clock))
    return app
