# SPDX-License-Identifier: Apache-2.0
"""docs/http.md lists exactly the routes that a whole stack serves."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from stack import bootstrap
from stack.compose import compose
from stack.config import Home
from stack.edge import Edge
from stack.live_issuers import LiveIssuers
from stack.logs import RequestLog
from stack.traffic import Traffic
from stack.trust.documents import save_documents

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "http.md"
ROW = re.compile(r"^\| (GET|POST|PUT|DELETE|PATCH) \| `([^`]+)` \| [^|]*\w[^|]* \|$", re.MULTILINE)


def documented() -> list[tuple[str, str]]:
    return ROW.findall(DOCUMENT.read_text("utf-8"))


async def served(folder: Path) -> set[tuple[str, str]]:
    """Every (method, path) of the composed application; HEAD goes along with GET."""
    home, now, url = Home(folder / "data"), datetime.now(UTC), "http://localhost:7780"
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=now)
    material = bootstrap.load_material(home)
    save_documents(home, material.public, settings)
    key = bootstrap.oidc_key(home, settings)
    edge, clock = Edge(Traffic(), RequestLog("json", io.StringIO())), partial(datetime.now, UTC)
    async with compose(home, settings, material, key, LiveIssuers(), clock, control_api=True, edge=edge, checks={}) as (
        app,
        _figures,
    ):
        routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    return {(method, path) for method, path in routes if method not in ("HEAD", "OPTIONS", "*")}


async def test_every_route_is_documented_once_and_nothing_else_is(tmp_path):
    rows, routes = documented(), await served(tmp_path)
    missing = "\n".join(f"| {method} | `{path}` |  |" for method, path in sorted(routes - set(rows)))
    assert not missing, f"docs/http.md lacks these rows:\n{missing}"
    assert not set(rows) - routes, "docs/http.md has rows for what is not served"
    assert len(rows) == len(set(rows))
