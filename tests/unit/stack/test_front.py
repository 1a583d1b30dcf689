# SPDX-License-Identifier: Apache-2.0
"""The front page says what is so, escapes what it says, and does not tell the network where the stack lies on its machine."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from sigcore.errors import Unavailable
from stack import bootstrap
from stack.config import Home, Settings
from stack.trust.documents import save_documents
from stack.trust.publish import publish
from stack.trust.serving import fingerprint
from stack.web.front_page import describe, render
from tlog.storage.base import Head


class Broken:
    """A log that cannot say where it is."""

    @property
    def head(self) -> Head:
        raise Unavailable("the log is <being> recovered")


HEAD = Head(12345, b"\xab" * 32, 1_780_000_000_000, "checkpoint")
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


def test_paths_of_the_machine_are_shown_on_that_machine_only(stack):
    home, settings = stack
    assert str(home.path) in render(describe(home, settings, LOGS))
    page = render(describe(home, replace(settings, url="https://sig.example"), LOGS))
    assert str(home.path) not in page
    assert str(Path.home()) not in page
    assert "DATA/public/tuf/1.root.json" in page


def test_the_page_needs_no_script_and_nothing_from_elsewhere(stack):
    home, settings = stack
    page = render(describe(home, settings, LOGS))
    assert "<script" not in page
    assert not re.search(r"\sstyle=|\son\w+=", page)
    assert set(re.findall(r"(?:href|src)=(\S+?)>", page)) == {
        "/style.css",
        "/icon.svg",
        "/search",
        "/flow",
        "/lessons",
        "/operator",
    }
