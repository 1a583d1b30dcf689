# SPDX-License-Identifier: Apache-2.0
"""The plain downloads beside the TUF repository, and how both are cached."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from aiohttp import web

from stack import bootstrap
from stack.config import Home
from stack.trust.documents import save_documents
from stack.trust.publish import publish
from stack.trust.serving import downloads, fingerprint, make_routes

NAMES = ("root.json", "trusted_root.json", "trusted_root.jsonl", "signing_config.json", "trust_config.json")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home, now, url = Home(tmp_path_factory.mktemp("serving") / "data"), datetime.now(UTC), "http://localhost:7780"
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=now)
    save_documents(home, bootstrap.load_material(home).public, settings)
    publish(home, now)
    return home


@pytest.fixture
async def reader(home: Home, aiohttp_client):
    app = web.Application()
    app.add_routes(make_routes(home))
    return await aiohttp_client(app)


@pytest.mark.parametrize("name", NAMES)
async def test_a_download_is_what_lies_in_public(home, reader, name):
    async with reader.get(f"/{name}") as answer:
        body = await answer.read()
        assert answer.status == 200
        assert answer.content_type == ("application/jsonl" if name.endswith("l") else "application/json")
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    assert json.loads(body) == json.loads(downloads(home)[name].read_bytes())
    async with reader.head(f"/{name}") as answer:
        assert answer.status == 200
        assert answer.content_length == len(body)
        assert await answer.read() == b""


async def test_gh_reads_one_compact_document_and_a_final_newline(home, reader):
    async with reader.get("/trusted_root.jsonl") as answer:
        text = await answer.text()
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) + "\n"


async def test_the_root_is_the_one_that_the_fingerprint_is_of(home, reader):
    async with reader.get("/root.json") as answer:
        assert hashlib.sha256(await answer.read()).hexdigest() == fingerprint(home)


@pytest.mark.parametrize("path", ["/trust_config.json", "/tuf/timestamp.json", "/tuf/1.root.json"])
async def test_who_has_it_already_is_told_so(reader, path):
    async with reader.get(path) as answer:
        tag, caching = answer.headers["ETag"], answer.headers["Cache-Control"]
    async with reader.get(path, headers={"If-None-Match": f'"other", {tag}'}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
        assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (tag, caching)
    async with reader.get(path, headers={"If-None-Match": '"other"'}) as answer:
        assert answer.status == 200
    async with reader.get(path, headers={"If-None-Match": "no tag"}) as answer:
        assert answer.status == 200


async def test_what_is_missing_is_404_and_nothing_beside_it_is_served(home, reader):
    home.trust_config.rename(home.public / "elsewhere.json")
    try:
        async with reader.get("/trust_config.json") as answer:
            assert answer.status == 404
            assert "trust_config.json" in (await answer.json())["message"]
    finally:
        (home.public / "elsewhere.json").rename(home.trust_config)
    for path in ("/elsewhere.json", "/public/trust_config.json", "/..%2Ftrust_config.json", "/signing_config_v1.json"):
        async with reader.get(path) as answer:
            assert answer.status == 404


async def test_any_tag_will_do_for_a_star(reader):
    async with reader.get("/root.json", headers={"If-None-Match": "*"}) as answer:
        assert answer.status == 304
