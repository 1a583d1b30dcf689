# SPDX-License-Identifier: Apache-2.0
"""The console in a browser: it computes proofs itself, says when one does not hold, hashes files without sending them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.chromium import visitor
from tests.stack_process import running_stack, sigbox

HOLDS = "it leads to the signed root. The signature of the log over that root holds."


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack with signatures of three people in both signature logs."""
    folder = tmp_path_factory.mktemp("console")
    with running_stack(folder, "--data", folder / "data") as stack:
        for name in ("alice", "bob", "carol"):
            (folder / name).write_text(name)
            token = sigbox("token", "--data", stack.data, "--email", f"{name}@example.com").stdout.strip()
            for version in ("1", "2"):
                options = ("--trust-config", stack.trust_config, "--identity-token", token, "--rekor-version", version)
                done = sigbox(
                    "sign-blob", folder / name, "--bundle", folder / f"{name}.{version}", *options, cwd=folder
                )
                assert done.returncode == 0, done.stderr
        yield stack


@contextmanager
def opened(browser: Browser) -> Iterator[Page]:
    with visitor(browser) as tab:
        yield tab.page


@pytest.mark.parametrize("log", ["rekor", "rekor-v1"])
@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_the_browser_computes_the_proof_of_every_entry(browser: Browser, stack, log, index):
    with opened(browser) as page:
        page.goto(f"{stack.url}/entries/{log}/{index}")
        expect(page.locator("#checked")).to_contain_text(HOLDS)


@pytest.mark.parametrize("member", ["leaf", "proof", "root in the checkpoint", "publicKey"])
def test_a_server_that_lies_is_caught_in_the_browser(browser: Browser, stack, member):
    """The document is changed on its way: the page must not say that all is well."""

    def lie(route: Route) -> None:
        document = json.loads(route.fetch().body())
        if member == "proof":
            document["proof"][0] = document["proof"][0].swapcase()
        elif member == "root in the checkpoint":
            origin, size, _root, *rest = document["checkpoint"].split("\n")
            document["checkpoint"] = "\n".join((origin, size, "A" * 43 + "=", *rest))
        elif member == "publicKey":
            document["publicKey"] = document["publicKey"][:-4] + "AAA="
        else:
            document["leaf"] = document["leaf"].swapcase()
        route.fulfill(json=document)

    with opened(browser) as page:
        page.route("**/entries/rekor/2.json", lie)
        page.goto(f"{stack.url}/entries/rekor/2")
        expect(page.locator("#checked")).to_contain_text("NOT")
        expect(page.locator("#checked")).to_have_class("problem")


def test_a_file_is_found_by_its_hash_and_never_sent(browser: Browser, stack):
    sent: list[bytes] = []
    with opened(browser) as page:
        page.on("request", lambda request: sent.append((request.post_data_buffer or b"") + request.url.encode()))
        page.goto(f"{stack.url}/search")
        page.get_by_text("More ways to search").click()
        page.locator("#file").set_input_files(stack.data.parent / "alice")
        expect(page.locator(".entries > li")).to_have_count(2)
        expect(page.locator("#q")).to_have_value("sha256:" + hashlib.sha256(b"alice").hexdigest())
    assert not any(b"alice" in one for one in sent)


def test_with_the_keyboard_alone_from_the_search_to_an_entry(browser: Browser, stack):
    with opened(browser) as page:
        page.goto(f"{stack.url}/search")
        tab_to(page, "#q")
        page.keyboard.type("bob@example.com")
        page.keyboard.press("Enter")
        expect(page.locator(".entries > li")).to_have_count(4)
        tab_to(page, "a.entry")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("entry")


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{selector} is not reached with the Tab key")


def test_the_first_view_is_light(browser: Browser, stack):
    """Under 100 KiB, scripts and style sheet included."""
    sizes: list[int] = []
    with opened(browser) as page:
        page.on("response", lambda response: sizes.append(len(response.body())))
        page.goto(f"{stack.url}/search", wait_until="networkidle")
    assert len(sizes) >= 3
    assert sum(sizes) < 100 * 1024


def test_without_scripts_everything_is_there(browser: Browser, stack):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/search")
    page.locator("#q").fill("carol@example.com")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".entries > li")).to_have_count(4)
    page.goto(f"{stack.url}/entries/rekor/2")
    expect(page.locator("#path li")).to_have_count(2)
    assert "The server has computed it" in (page.locator("#checked").text_content() or "")
    context.close()


def test_a_bundle_that_is_put_into_the_inspector_is_judged_with_the_file_and_the_signer(browser: Browser, stack):
    folder = stack.data.parent
    with opened(browser) as page:
        page.goto(f"{stack.url}/inspect")
        page.locator("#inspected").set_input_files(folder / "alice.2")
        page.locator("#artifact").set_input_files(folder / "alice")
        page.locator("#identity").fill("alice@example.com")
        page.locator("#issuer").fill(stack.oidc_issuer)
        expect(page.locator("#digest")).to_have_value("sha256:" + hashlib.sha256(b"alice").hexdigest())
        page.get_by_role("button", name="Look into it").click()
        expect(page.locator(".verdict")).to_contain_text("Every check holds")
        assert page.locator(".checks > li.refused").count() == 0
        page.locator("#inspected").set_input_files(folder / "bob.1")
        page.get_by_role("button", name="Look into it").click()
        expect(page.locator(".verdict")).to_contain_text("Refused")
        expect(page.locator(".checks > li.refused")).to_have_count(1)
