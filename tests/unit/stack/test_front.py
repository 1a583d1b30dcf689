# SPDX-License-Identifier: Apache-2.0
"""The front page says what is so, escapes what it says, and does not tell the network where the stack lies on its machine."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from sigcore.errors import Unavailable
from stack import bootstrap
from stack.config import Home, Settings
from stack.trust.documents import save_documents
from stack.trust.publish import publish
from stack.trust.serving import fingerprint
from stack.web import front_page
from stack.web.console.language import translations
from stack.web.front import make_routes
from stack.web.front_page import describe, render
from tlog.storage.base import Head


class Broken:
    """A log that cannot say where it is."""

    @property
    def head(self) -> Head:
        raise Unavailable("the log is <being> recovered")


HEAD = Head(12345, b"\xab" * 32, 1_780_000_000_000, "checkpoint")
DOWNLOADS = {"root.json", "trusted_root.json", "trusted_root.jsonl", "signing_config.json", "trust_config.json"}
LOGS = {
    "ct": SimpleNamespace(head=HEAD, damage="", fault=""),
    "rekor": Broken(),
    "rekor-v1": SimpleNamespace(head=HEAD, damage="entry 7 is not what was published", fault=""),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> tuple[Home, Settings]:
    home, now = Home(tmp_path_factory.mktemp("front") / "data"), datetime.now(UTC)
    url = "http://localhost:7780"
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=False, now=now, organization="A<b>&C")
    save_documents(home, bootstrap.load_material(home).public, settings)
    publish(home, now)
    return home, settings


def test_the_page_shows_fingerprint_logs_and_how_long_the_trust_root_is_good(stack):
    home, settings = stack
    page = render(describe(home, settings, LOGS))
    assert fingerprint(home) in page
    assert "12,345" in page
    assert "ab" * 32 in page
    assert "2026-05-28 20:26:40 UTC" in page
    assert "3,649 days" in page
    assert "the log is &lt;being&gt; recovered" in page
    assert "takes no entries: entry 7 is not what was published" in page
    assert "UNTRUSTED" not in page
    assert "A&lt;b&gt;&amp;C" in page
    assert "A<b>" not in page


def test_an_ephemeral_stack_says_what_it_is_worth(stack):
    home, settings = stack
    assert "UNTRUSTED" in render(replace(describe(home, settings, LOGS), untrusted=True))


@pytest.mark.parametrize("url", ["http://localhost:7780", "https://sig.example"])
def test_paths_of_the_machine_are_never_shown(stack, url):
    home, settings = stack
    page = render(describe(home, replace(settings, url=url), LOGS))
    assert str(home.path) not in page
    assert f"{Path.home()}/" not in page
    assert "public/" not in page
    assert "--data" not in page


def test_the_first_line_to_paste_enrolls_with_the_fingerprint_which_must_come_over_another_channel(stack):
    home, settings = stack
    page = render(describe(home, settings, LOGS))
    first = re.findall("<pre tabindex=0><code>([^<]*)", page)[0]
    assert first == f"sigbox enroll http://localhost:7780 --fingerprint sha256:{fingerprint(home)}"
    assert page.index("over another channel") < page.index(first)


def test_the_downloads_are_listed_where_the_trust_role_is(stack):
    home, settings = stack
    page = render(describe(home, replace(settings, services={"trust": "https://tuf.example"}), LOGS))
    assert set(re.findall("<li><a href=/[a-z_.]*><code>https://tuf.example/([^<]*)", page)) == DOWNLOADS


def test_the_page_needs_no_script_and_nothing_from_elsewhere(stack):
    home, settings = stack
    page = render(describe(home, settings, LOGS))
    assert "<script" not in page
    assert not re.search(r"\sstyle=|\son\w+=", page)
    assert set(re.findall(r"(?:href|src)=([^\s>]+)", page)) == {
        "/style.css",
        "/icon.svg",
        "/search",
        "/logs",
        "/inspect",
        "/flow",
        "/lessons",
        "/operator",
        "'/?lang=ja'",
        *(f"/{name}" for name in DOWNLOADS),
    }


def test_everything_that_it_says_is_said_in_japanese_too(stack, monkeypatch):
    home, settings = stack
    said: set[str] = set()

    def recorded(language: str, english: str) -> str:
        said.add(english)
        return translations(language)[english]

    monkeypatch.setattr(front_page, "translate", recorded)
    front = describe(home, settings, LOGS)
    front = replace(front, untrusted=True, trust=(*front.trust, ("old", 1, -1)))
    page = render(front, "ja")
    assert len(said) > 30
    assert "<html lang=ja>" in page
    assert "A&lt;b&gt;&amp;C" in page
    assert "<strong>A&lt;b&gt;&amp;C</strong> のプライベート Sigstore" in page
    assert "<a href='/?lang=en' hreflang=en lang=en rel=alternate>English</a>" in page


async def test_the_language_is_chosen_remembered_and_what_the_browser_asks_for(stack, aiohttp_client):
    home, settings = stack
    app = web.Application()
    app.add_routes(make_routes(home, settings, LOGS))
    reader = await aiohttp_client(app)

    async def language(path: str = "/", accepted: str = "") -> str:
        async with reader.get(path, headers={"Accept-Language": accepted}) as answer:
            assert answer.headers["Vary"] == "Accept-Language, Cookie"
            return re.findall("<html lang=(..)>", await answer.text())[0]

    assert await language() == "en"
    assert await language(accepted="ja,en;q=0.8") == "ja"
    assert await language("/?lang=ja") == "ja"
    assert await language(accepted="en") == "ja"
    assert await language("/?lang=%22%3E%3Cscript%3E", accepted="en") == "ja"
    assert await language("/?lang=en", accepted="ja") == "en"
