# SPDX-License-Identifier: Apache-2.0
"""Each official client, unmodified, logs in by each way that it has, with a real browser; then it signs, and verifies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Hook, visitor
from tests.browser.test_login import add_account, log_in
from tests.browser.waiting import waiting
from tests.interop.conftest import require
from tests.interop.places import ALICE, Kind, Place, Signed, succeed
from tests.interop.tools import JS, V2, V3, Cosign
from tests.ports import free_port
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import PASSWORD

pytestmark = [pytest.mark.interop, pytest.mark.slow]

MACHINE = "https://ci.example.com/release"
COSIGNS = pytest.mark.parametrize("cosign", [V3, V2], ids=["v3", "v2.6"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("clients"), "--ephemeral") as running:
        add_account(running, ALICE, PASSWORD)
        yield running


@pytest.fixture
def place(stack: RunningStack, tmp_path: Path) -> Place:
    return Place(stack, tmp_path)


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    return Hook.make(tmp_path)


def signing(cosign: Cosign, place: Place, flow: str, *options: str | Path) -> tuple[Signed, list[str | Path]]:
    """What cosign will have signed, and its command line. Trust comes over TUF; v2.6 has to be told where to sign."""
    require(cosign)
    cosign.trust(place)
    artifact = place.artifact()
    signed = Signed(place, artifact, place.folder / "bundle.json", Kind.MESSAGE_V2)
    where = ("--use-signing-config", "--new-bundle-format") if cosign.is_v2 else ()
    flags = ("sign-blob", "--yes", *where, "--fulcio-auth-flow", flow, *options, "--bundle", signed.bundle, artifact)
    return signed, [cosign.client.installed(), *flags]


def check(tool: Cosign, signed: Signed, identity: str = ALICE) -> None:
    """The client itself and ours verify what was signed."""
    issuer = signed.place.stack.oidc_issuer
    succeed(tool.verify(signed, identity, issuer))
    names = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
    done = sigbox(
        "verify-blob",
        signed.artifact,
        "--bundle",
        signed.bundle,
        "--trust-config",
        signed.place.stack.trust_config,
        *names,
    )
    assert done.returncode == 0, done.stderr


def allow(browser: Browser, url: str, code: str) -> None:
    """Allow a waiting program on the device page, after a look at its code."""
    with visitor(browser, java_script_enabled=False) as tab:
        tab.page.goto(url)
        expect(tab.page.locator("#user_code")).to_have_text(code)
        log_in(tab.page)
        expect(tab.page.get_by_role("heading", name="Done")).to_be_visible()


# --- cosign ------------------------------------------------------------------------------------------------
@COSIGNS
def test_cosign_with_a_browser(browser: Browser, place: Place, hook: Hook, cosign: Cosign):
    signed, command = signing(cosign, place, "normal")
    with waiting(place, *command, browser=hook) as client, visitor(browser) as tab:
        tab.page.goto(hook.url())
        asked = parse_qs(urlsplit(tab.page.url).query)
        assert re.fullmatch(r"http://localhost:\d+/auth/callback", asked["redirect_uri"][0])
        log_in(tab.page)
        tab.page.wait_for_url("http://localhost:*/auth/callback?*", wait_until="commit")
        client.finish()
        tab.problems.clear()  # the page after the redirect is cosign's
    check(cosign, signed)


@pytest.mark.parametrize("form", ["http://localhost:{}/other/path", "http://127.0.0.1:{}/auth/callback"])
def test_cosign_with_a_redirect_of_the_users_own(browser: Browser, place: Place, hook: Hook, form: str):
    uri = form.format(free_port())
    signed, command = signing(V3, place, "normal", "--oidc-redirect-url", uri)
    with waiting(place, *command, browser=hook) as client, visitor(browser) as tab:
        tab.page.goto(hook.url())
        log_in(tab.page)
        tab.page.wait_for_url(f"{uri}?*", wait_until="commit")
        client.finish()
        tab.problems.clear()
    check(V3, signed)


@COSIGNS
def test_cosign_out_of_band_where_no_browser_can_be_opened(browser: Browser, place: Place, cosign: Cosign):
    signed, command = signing(cosign, place, "normal")
    with waiting(place, *command, browser=None) as client, visitor(browser) as tab:
        url = client.said(r"(http://\S+redirect_uri=urn\S+)\s[\s\S]*Enter verification code: ")
        tab.page.goto(url)
        log_in(tab.page)
        expect(tab.page.get_by_role("heading")).to_have_text("Your verification code")
        client.type(tab.page.locator("#code").inner_text())
        client.finish()
    check(cosign, signed)


@COSIGNS
def test_cosign_by_device_flow(browser: Browser, place: Place, cosign: Cosign):
    signed, command = signing(cosign, place, "device")
    with waiting(place, *command, browser=None) as client:
        code = client.said(r"verification code ([A-Z]{4}-[A-Z]{4}) in your browser")
        allow(browser, client.said(r"in your browser at: (http://\S+user_code=\S+)\s"), code)
        assert "Token received!" in client.finish()
    check(cosign, signed)


def test_cosign_by_device_flow_that_is_denied(browser: Browser, place: Place):
    signed, command = signing(V3, place, "device")
    with waiting(place, *command, browser=None) as client, visitor(browser) as tab:
        tab.page.goto(client.said(r"in your browser at: (http://\S+user_code=\S+)\s"))
        tab.page.get_by_role("button", name="Deny").click()
        expect(tab.page.get_by_role("heading", name="Denied")).to_be_visible()
        assert "access_denied" in client.finish(code=1)
    assert not signed.bundle.exists()


def test_cosign_with_the_secret_of_a_machine(place: Place):
    done = sigbox("client", "add", "release", "--subject", MACHINE, "--data", place.stack.data)
    assert done.returncode == 0, done.stderr
    secret = place.folder / "secret"
    secret.write_text(done.stdout.strip())
    signed, command = signing(V3, place, "client_credentials", "--oidc-client-secret-file", secret)
    with waiting(place, *command, browser=None) as client:
        client.finish()
    check(V3, signed, MACHINE)


# --- sigstore-js -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["", "127.0.0.1"], ids=["port of its own", "redirect of the user"])
def test_sigstore_js_whose_redirect_has_no_path(browser: Browser, place: Place, hook: Hook, host: str):
    require(JS, V3)
    artifact, bundle, url = place.artifact(), place.folder / "bundle.json", place.stack.url
    own = ("--oidc-redirect-url", f"http://{host}:{free_port()}") if host else ()
    command = (
        *(JS.node, JS.node.with_name("sigstore"), "attest", place.statement(artifact)),
        *("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", place.stack.oidc_issuer, *own),
        *("--timeout", "30", "--output-file", bundle),
    )
    with waiting(place, *command, browser=hook) as client, visitor(browser) as tab:
        tab.page.goto(hook.url())
        (uri,) = parse_qs(urlsplit(tab.page.url).query)["redirect_uri"]
        assert re.fullmatch(r"http://(localhost|127\.0\.0\.1):\d+", uri)
        log_in(tab.page)
        tab.page.wait_for_url(f"{uri}/?*", wait_until="commit")
        client.finish()
        tab.problems.clear()
    signed = Signed(place, artifact, bundle, Kind.INTOTO_V1)
    succeed(JS.verify(signed, ALICE, place.stack.oidc_issuer))
    succeed(V3.verify(signed, ALICE, place.stack.oidc_issuer))


# --- a session ---------------------------------------------------------------------------------------------
def test_a_second_client_goes_on_with_the_session_of_the_first_until_the_user_signs_out(
    browser: Browser, place: Place, stack: RunningStack
):
    with visitor(browser) as tab:
        for password in (True, False):
            signed, command = signing(V3, place, "device")
            with waiting(place, *command, browser=None) as client:
                tab.page.goto(client.said(r"in your browser at: (http://\S+user_code=\S+)\s"))
                if password:
                    log_in(tab.page)
                else:
                    tab.page.get_by_role("button", name=f"Go on as {ALICE}").click()
                expect(tab.page.get_by_role("heading", name="Done")).to_be_visible()
                client.finish()
            check(V3, signed)
        tab.page.get_by_role("link", name="sign out").click()
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_role("heading", name="Signed out")).to_be_visible()
        tab.page.goto(f"{stack.oidc_issuer}/session")
        expect(tab.page.get_by_role("heading", name="Signed out")).to_be_visible()
