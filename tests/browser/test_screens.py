# SPDX-License-Identifier: Apache-2.0
"""Every screen in both languages: for axe-core, for the keyboard alone, on a telephone, light and dark, without scripts.

The console's own table of paths says which screens there are: a new page is tested here by being served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import (
    DESKTOP,
    PHONE,
    SCHEMES,
    axe_source,
    grave_issues,
    open_details,
    walk,
    width_of,
)
from tests.browser.chromium import visitor
from tests.browser.furnished import BUNDLE, furnished
from tests.browser.screens import ANSWERS, LOGINS, ROUTES, Screen, screens_of
from tests.browser.test_console import tab_to
from tests.stack_process import RunningStack, running_stack
from tests.unit.oidc_dev.visitor import ALICE

LANGUAGES = ("en", "ja")
in_each_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with furnished(tmp_path_factory.mktemp("screens")) as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


def judge(page: Page, axe: str, *, dark_phone: bool = False) -> list[str]:
    """What is wrong with the page that is open: on a telephone in one scheme, on a desktop in the other."""
    open_details(page)
    wrong = []
    for size, scheme in zip((PHONE, DESKTOP), SCHEMES[::-1] if dark_phone else SCHEMES, strict=True):
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        wrong += [f"{size['width']} {scheme}: {issue}" for issue in grave_issues(page, axe)]
        if width_of(page) > size["width"]:
            wrong.append(f"it needs a width of {width_of(page)} in a window of {size['width']}")
    return wrong + walk(page)


def check(browser: Browser, stack: RunningStack, screens: Iterable[Screen], axe: str, language: str) -> list[str]:
    found = []
    with visitor(browser) as tab:
        for screen in screens:
            screen.open(tab.page, stack, language)
            assert tab.page.locator("html").get_attribute("lang") == language
            # Either language has the telephone in another scheme: each pair of language, width and scheme comes up.
            found += [f"{screen.name}: {wrong}" for wrong in judge(tab.page, axe, dark_phone=language == "ja")]
    return found


@in_each_language
@pytest.mark.parametrize("route", ROUTES)
def test_a_page_is_for_everybody(browser: Browser, stack: RunningStack, axe: str, route: str, language: str):
    assert check(browser, stack, screens_of(route, stack), axe, language) == []


@in_each_language
def test_what_a_form_leads_to_is_for_everybody(browser: Browser, stack: RunningStack, axe: str, language: str):
    assert check(browser, stack, ANSWERS, axe, language) == []


LASTING = ("/lessons/keyless", "/flow", "/operator")
"""What is another page where keys and logs stay: lessons to be read, no signing in a page, and more to operate."""


def test_what_a_stack_that_lasts_shows_is_for_everybody(browser: Browser, axe: str, tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as lasting:
        screens = [Screen(path, path) for path in LASTING]
        assert [check(browser, lasting, screens, axe, language) for language in LANGUAGES] == [[], []]


@in_each_language
@pytest.mark.parametrize("screen", LOGINS, ids=lambda screen: screen.name)
def test_the_pages_beside_the_console_are_for_everybody(
    browser: Browser, stack: RunningStack, axe: str, screen: Screen, language: str
):
    with visitor(browser, viewport=PHONE) as tab:
        screen.open(tab.page, stack, language)
        assert tab.page.locator("html").get_attribute("lang") == language
        for scheme in SCHEMES:
            assert judge(tab.page, axe, dark_phone=scheme == "dark") == []


SKELETON = """() => [...document.querySelectorAll('h1, h2, a[href], form, [name], button')]
  .filter(one => one.checkVisibility() && !one.closest('.only-script'))
  .map(one => [one.tagName, one.getAttribute('href') ?? one.getAttribute('action') ?? one.name ?? one.innerText].join(' ')).sort()"""


@pytest.mark.parametrize("route", ROUTES)
def test_without_scripts_a_page_has_the_same_headings_links_and_forms(
    browser: Browser, stack: RunningStack, route: str
):
    screens = screens_of(route, stack)
    with visitor(browser, viewport=PHONE) as tab, visitor(browser, viewport=PHONE, java_script_enabled=False) as plain:
        for screen in screens:
            screen.open(tab.page, stack)
            screen.open(plain.page, stack)
            skeleton = plain.page.evaluate(SKELETON)
            assert skeleton == tab.page.evaluate(SKELETON)
            assert [one for one in skeleton if one.startswith("H1 ")]
            assert width_of(plain.page) <= PHONE["width"]
            assert plain.page.locator("form:not(:has(button))").count() == 0, "a form is sent by a button"


@in_each_language
def test_search_entry_tree_and_inspector_with_the_keyboard_alone(browser: Browser, stack: RunningStack, language: str):
    with visitor(browser, locale=language) as tab:
        page = tab.page
        page.goto(f"{stack.url}/")
        go_on(page, "a[href='/search']")
        tab_to(page, "#q")
        page.keyboard.type(ALICE)
        go_on(page, "#q")
        go_on(page, "a.entry[href^='/entries/rekor']")
        index = page.url.rpartition("/")[2]
        expect(page.locator("#checked")).to_have_class("right")
        tab_to(page, "summary")
        page.keyboard.press("Enter")
        expect(page.locator("details[open]")).to_have_count(1)
        go_on(page, "a[href*='?leaf=']")
        expect(page.locator("g.lit text.index")).to_have_text(index)
        tab_to(page, "#leaf")
        page.keyboard.press("Control+A")
        page.keyboard.type("0")
        go_on(page, "#leaf")
        expect(page.locator("g.lit text.index")).to_have_text("0")
        go_on(page, "a[href='/inspect']")
        tab_to(page, "#text")
        page.keyboard.insert_text((stack.log.parent / BUNDLE).read_text("utf-8"))
        go_on(page, "form.inspect button")
        expect(page.locator(".verdict")).to_have_class("verdict right")
        assert page.locator("html").get_attribute("lang") == language


def go_on(page: Page, selector: str) -> None:
    """To where Enter leads from the control that the Tab key finds."""
    tab_to(page, selector)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_a_page_that_is_not_for_everybody_is_noticed(browser: Browser, axe: str):
    """The judge itself: each of its complaints can be provoked."""
    with visitor(browser, viewport=PHONE) as tab:
        tab.page.set_content(
            "<html><body><img src='data:,'><input id=nameless style='outline: none'><a href='#' tabindex=-1>x</a>"
            "<p style='color: #bbb; background: #fff'>pale</p><div style='width: 500px'>wide</div></body></html>"
        )
        wrong = "\n".join(judge(tab.page, axe))
    for part in (
        "image-alt",
        "label",
        "color-contrast",
        "a width of 508",
        "not reached: <a",
        "no visible focus: <input",
    ):
        assert part in wrong
