# SPDX-License-Identifier: Apache-2.0
"""What the console answers to programs, and what its pages are made with that needs no template."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources

from aiohttp import web


def moment(time_ms: int) -> str:
    """Unix time in milliseconds for a reader."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if time_ms else ""


def json_answer(value: object) -> web.Response:
    """For programs, which ask for the same thing under ``.json``."""
    return web.Response(
        text=json.dumps(value, indent=2, ensure_ascii=False) + "\n",
        content_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )


def static(name: str) -> bytes:
    """A script or style sheet of the console."""
    return resources.files("stack.web.console").joinpath("static", name).read_bytes()
