# SPDX-License-Identifier: Apache-2.0
"""Flow and lessons in a browser: in both languages, on a telephone, with the keyboard alone, without scripts; signings come live."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from stack.web.console.course import LESSONS
from tests.browser.chromium import visitor
from tests.browser.test_console import tab_to
from tests.stack_process import RunningStack, running_stack, sigbox

PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory):
    with running_stack(tmp_path_factory.mktemp("lessons"), "--ephemeral", "--control") as running:
        yield running


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_is_practised_on_a_telephone_in_either_language(
    browser: Browser, stack: RunningStack, lesson, language
):
    with visitor(browser, viewport=PHONE) as tab:
        page = tab.page
        page.goto(f"{stack.url}/lessons/{lesson}?lang={language}")
        page.locator("form button").click()
        for attack in LESSONS[lesson].attacks:
            page.locator(f"button[value={attack.name}]").click()
            page.wait_for_url(re.compile(f"attack={attack.name}#result$"))
            expect(page.locator("#caught")).to_have_count(int(bool(attack.caught)))
            expect(page.locator(".verdict")).to_have_class(f"verdict {'right' if attack.caught else 'problem'}")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.locator("html").get_attribute("lang") == language
        assert not page.locator("main").inner_text().isascii() or language == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_steps_of_a_signing_with_all_their_bytes_fit_a_telephone(browser: Browser, stack: RunningStack, scheme):
    with visitor(browser, viewport=PHONE, color_scheme=scheme) as tab:
        page = tab.page
        page.goto(f"{stack.url}/flow")
        page.locator("#text").fill("a text\nof two lines")
        page.locator("form button").click()
        expect(page.locator(".checks > li.held")).to_have_count(14)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        with page.expect_download() as download:
            page.locator("a[download]").click()
        assert download.value.suggested_filename == "signing.zip"


def test_a_lesson_with_the_keyboard_alone(browser: Browser, stack: RunningStack):
    with visitor(browser) as tab:
        page = tab.page
        page.goto(f"{stack.url}/lessons")
        tab_to(page, "a[href='/lessons/keyless']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/lessons/keyless")
        tab_to(page, "#identity")
        page.keyboard.press("Control+A")
        page.keyboard.type("dora@example.com")
        page.keyboard.press("Enter")
        expect(page.locator(".verdict")).to_contain_text("Every check holds")
        tab_to(page, "button[value=rogue]")
        page.keyboard.press("Enter")
        expect(page.locator("#caught")).to_have_text("certificate")
        tab_to(page, "form[method=post] button")
        page.keyboard.press("Enter")
        page.wait_for_url("**/lessons/keyless")
        expect(page.locator("#identity")).to_have_value("alice@example.com")


def test_without_scripts_a_lesson_is_the_same(browser: Browser, stack: RunningStack):
    with visitor(browser, java_script_enabled=False) as tab:
        page = tab.page
        page.goto(f"{stack.url}/lessons/logged")
        page.get_by_role("button", name="Make it").click()
        page.get_by_role("button", name="Show a tree of his own").click()
        page.wait_for_url("**attack=fork**")
        assert page.locator("#caught").text_content() == "checkpoint"


def test_a_signing_of_the_client_is_seen_while_one_looks(browser: Browser, stack: RunningStack, tmp_path: Path):
    (tmp_path / "file").write_text("signed while somebody looks")
    token = stack.token("zoe@example.com")
    with visitor(browser) as tab:
        page = tab.page
        page.goto(f"{stack.url}/flow/live")
        expect(page.get_by_text("zoe@example.com")).to_have_count(0)
        done = sigbox(
            "sign-blob", "file", "--identity-token", token, "--trust-config", stack.trust_config, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        entry = page.locator("#live > li", has_text="zoe@example.com")
        expect(entry).to_have_count(1)
        entry.get_by_text("step by step").click()
        expect(page.locator(".verdict")).to_contain_text("Every check holds")
