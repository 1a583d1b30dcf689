# SPDX-License-Identifier: Apache-2.0
"""Flow and lessons in a stack that lasts: they are read there, and nothing is signed. And every text of a lesson has two languages."""

from __future__ import annotations

import tomllib
from html import unescape
from pathlib import Path

import pytest

import stack.web.console
from stack.web.console.course import LESSONS
from stack.web.console.forms import TEXT
from stack.web.console.recording import ACTORS, dump
from tests.unit.stack.console.conftest import precertificate
from tests.unit.stack.console.test_console import text_of
from tests.unit.tlog.catalog.conftest import signed, signed_by_key

FOLDER = Path(stack.web.console.__file__).parent


def said_in_lessons() -> set[str]:
    texts = {*ACTORS, *ACTORS.values()}
    for lesson in LESSONS.values():
        texts |= {lesson.title, *lesson.text, lesson.rest}
        for attack in lesson.attacks:
            texts |= {attack.title, attack.story, attack.caught} - {""}
    return texts


def test_every_text_of_the_lessons_and_the_flow_is_in_japanese_too():
    japanese = tomllib.loads((FOLDER / "ja.toml").read_text("utf-8"))
    assert len(said_in_lessons()) > 80
    assert said_in_lessons() - set(japanese) == set()


@pytest.mark.parametrize("path", ["/flow", *(f"/lessons/{name}" for name in LESSONS)])
async def test_a_stack_that_lasts_signs_for_nobody(console, path):
    page = await text_of(console, path)
    assert '<form method="post"' not in page
    assert "sigbox " in page or "openssl" in page or "sha256sum" in page
    async with console.post(path, data={"text": "a", "identity": "alice@example.com"}) as response:
        assert response.status == 403
        assert "sigbox" in await response.text()
    assert console.log.size == 0


async def test_a_lesson_that_is_only_read_says_what_each_attack_does(console):
    page = unescape(await text_of(console, "/lessons/keyless"))
    for attack in LESSONS["keyless"].attacks:
        assert attack.title in page
        assert attack.story in page
    assert unescape(await text_of(console, "/lessons")).count('class="entry"') == len(LESSONS)


@pytest.mark.parametrize(
    "path",
    [
        "/flow/x",
        "/flow/x/signing.zip",
        "/flow/%00",
        "/flow/entries/none/0",
        "/flow/entries/ct/0",
        "/flow/entries/rekor/7",
        "/lessons/x",
        "/lessons/keyless/x",
        "/lessons/x/y",
        "/lessons/keyless/%3Cscript%3E",
    ],
)
async def test_what_is_not_there_is_404(console, path):
    await text_of(console, path, 404)


async def test_what_is_no_index_is_400(console):
    await text_of(console, "/flow/entries/rekor/-1", 400)


async def test_a_log_that_nobody_trusts_explains_nothing(console):
    await console.log.submit(signed("alice@example.com", 1))
    assert "not in the trusted root" in await text_of(console, "/flow/entries/rekor/0", 404)


async def test_signings_come_with_the_certificate_that_they_used(console):
    await console.log.submit(signed_by_key(1))
    await console.log.submit(signed("alice@example.com", 2))
    await console.ct.submit(precertificate())
    page = await text_of(console, "/flow/live")
    assert page.count("<strong>alice@example.com</strong>") == 1
    assert "/entries/ct/0" in page
    assert "/flow/entries/rekor/1" in page


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
@pytest.mark.parametrize("path", ["/flow", "/lessons/keyless", "/lessons/keyless/name"])
async def test_a_form_of_another_site_is_refused_w07(console, path, headers):
    async with console.post(path, data={"text": "a"}, headers=headers) as response:
        assert response.status == 403
        assert "another site" in await response.text()


def test_bytes_are_shown_as_text_where_they_are_text():
    assert dump("grüß\n".encode()) == "grüß\n"
    assert dump(b"\x30\x82\x01\x00\xff") == "30820100 ff"
    assert dump(b"a\x1b[2J") == "611b5b32 4a"
    assert dump(bytes(TEXT)).endswith(f"... {TEXT} bytes")
