# SPDX-License-Identifier: Apache-2.0
"""A console over two logs of its own, without the rest of a stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sigcore import keys, limits, sct
from stack.config import Home, Settings
from stack.files import save_file
from stack.web.console.routes import Console
from stack.web.console.shelf import Shelf
from tests.unit.tlog.catalog.conftest import certificate
from tests.unit.tlog.conftest import Site
from tlog.log import Log, Submission

EMPTY_ROOT = b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
PRE = certificate("a@example.com", 77)


def precertificate() -> Submission:
    leaf = sct.encode_leaf(sct.PrecertEntry(bytes(32), PRE.tbs), 1_772_323_620_000)
    return Submission(leaf, leaf[-32:])


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
    """``get``, ``post``, ``log`` (rekor) and ``ct``."""
    logs: dict[str, Log] = {}
    sites = {name: Site(tmp_path, durable=False) for name in ("rekor", "ct")}
    for name, site in sites.items():
        logs[name] = await site.open()
    spki = keys.encode_public_key(sites["rekor"].key.public_key())
    shelves = {name: Shelf(name, f"Log {name}", log, spki) for name, log in logs.items()}
    Home(tmp_path / "data").public.mkdir(parents=True)
    save_file(Home(tmp_path / "data").trusted_root, EMPTY_ROOT)
    settings = Settings(
        "http://localhost:7780",
        datetime(2026, 1, 1, tzinfo=UTC),
        ephemeral=False,
        url_follows_listen=False,
        name="A<b>&C",
    )
    app = web.Application(client_max_size=limits.LOG_REQUEST)
    pages = Console(Home(tmp_path / "data"), settings, shelves)
    app.add_routes(pages.make_routes())
    await pages.start()
    async with TestClient(TestServer(app)) as client:
        yield SimpleNamespace(get=client.get, post=client.post, log=logs["rekor"], ct=logs["ct"])
    await pages.stop()
    for log in logs.values():
        await log.stop()


@pytest.fixture
def cases(vectors) -> Path:
    return vectors / "sigstore-conformance" / "bundle-verify"
