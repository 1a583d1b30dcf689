# SPDX-License-Identifier: Apache-2.0
"""The operator's page, alerts, tiles and the login in a browser: with the keyboard alone, on a telephone, in both languages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import visitor
from tests.browser.test_console import opened, tab_to
from tests.browser.test_login import add_account, log_in
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import ALICE, PASSWORD

ALARM = "release@corp.example"
PAGES = ("/operator", "/logs/rekor", "/logs/ct", "/entries/rekor/1", "/account")


def sign(stack: RunningStack, email: str) -> None:
    folder = stack.data.parent
    (folder / "file").write_text(email)
    options = ("--trust-config", stack.trust_config, "--identity-token", stack.token(email))
    done = sigbox("sign-blob", folder / "file", "--bundle", folder / "bundle", *options, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    """A stack that looks out for somebody who has signed."""
    folder = tmp_path_factory.mktemp("operator")
    config = folder / "stack.toml"
    config.write_text(f'[[watch]]\nname = "release"\nidentity = "{ALARM}"\nlogs = ["rekor"]\n')
    with running_stack(folder, "--data", folder / "data", "--config", config) as running:
        sign(running, ALARM)
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[RunningStack]:
    """A stack whose pages ask for a login."""
    folder = tmp_path_factory.mktemp("guarded")
    config = folder / "stack.toml"
    config.write_text("[console]\nlogin = true\n")
    with running_stack(folder, "--data", folder / "data", "--config", config) as running:
        add_account(running, ALICE, PASSWORD)
        yield running


def until_shown(page: Page, url: str, text: str) -> None:
    """Load ``url`` until it has ``text``: the rules follow the logs within seconds."""

    def there() -> None:
        page.goto(url)
        expect(page.locator("main")).to_contain_text(text, timeout=1000)

    for _ in range(20):
        try:
            there()
        except AssertionError:
            continue
        return
    there()


def test_an_alert_leads_to_its_entry_with_the_keyboard_alone(browser: Browser, stack):
    with opened(browser) as page:
        until_shown(page, f"{stack.url}/operator", ALARM + " release")
        tab_to(page, "a.entry")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("entry 1")
        expect(page.locator("main")).to_contain_text(ALARM)


def test_the_days_of_a_log_open_with_the_keyboard_alone(browser: Browser, stack):
    with opened(browser) as page:
        page.goto(f"{stack.url}/operator")
        expect(page.locator("main")).to_contain_text("Nothing.")
        tab_to(page, "summary")
        page.keyboard.press("Enter")
        expect(page.locator("details[open] tr")).to_have_count(14)


def test_a_tile_is_where_the_page_says(browser: Browser, stack):
    with opened(browser) as page:
        page.goto(f"{stack.url}/logs/rekor")
        links = page.locator("a[href^='/tile/']").evaluate_all("found => found.map(one => one.href)")
        assert len(links) == 2
        for link in links:
            answer = page.request.get(link)
            assert answer.status == 200
            assert len(answer.body()) >= 64


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_a_telephone(browser: Browser, stack, path, scheme, language):
    options = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    with visitor(browser, **options) as tab:
        tab.page.goto(f"{stack.url}{path}?lang={language}")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert tab.page.locator("html").get_attribute("lang") == language


def test_a_login_leads_to_the_page_and_out_again_with_scripts_off(browser: Browser, guarded):
    with visitor(browser, java_script_enabled=False) as tab:
        page = tab.page
        page.goto(f"{guarded.url}/search?q=nobody")
        log_in(page)
        expect(page).to_have_url(f"{guarded.url}/search?q=nobody")
        expect(page.locator("#q")).to_have_value("nobody")
        page.get_by_role("link", name="Account").click()
        expect(page.locator("main")).to_contain_text(ALICE)
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("main")).to_contain_text("You are not logged in.")
        page.goto(f"{guarded.url}/operator")
        expect(page.get_by_role("heading", name="Go on?")).to_be_visible()


def test_behind_a_login_the_browser_still_computes_proofs(browser: Browser, guarded):
    with opened(browser) as page:
        page.goto(f"{guarded.url}/entries/rekor/0")
        log_in(page)
        expect(page.locator("#checked")).to_contain_text("it leads to the signed root")
