# SPDX-License-Identifier: Apache-2.0
"""The login page in a real browser, and the official Python client waiting behind it, unmodified."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from playwright.sync_api import Browser, Page, expect

from oidc_dev.logins import WRONG
from tests.browser.chromium import Hook, visitor
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox
from tests.unit.oidc_dev.visitor import ALICE, OOB, PASSWORD, REQUEST

pytestmark = [pytest.mark.interop, pytest.mark.slow]

WAIT_S = 60
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    """A running stack, and an account that was made while it ran."""
    with running_stack(tmp_path_factory.mktemp("login"), "--ephemeral") as running:
        add_account(running, ALICE, PASSWORD)
        yield running


def add_account(stack: RunningStack, email: str, password: str) -> None:
    done = subprocess.run(
        [*SIGBOX, "user", "add", "--data", str(stack.data), "--email", email, "--password-stdin"],
        input=password,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def request_url(stack: RunningStack, redirect_uri: str, **more: str) -> str:
    return f"{stack.oidc_issuer}/auth?{urlencode(REQUEST | {'redirect_uri': redirect_uri} | more)}"


def log_in(page: Page, email: str = ALICE, password: str = PASSWORD) -> None:
    """By the names of the fields, which are the same in every language."""
    page.locator("[name=email]").fill(email)
    page.locator("[name=password]").fill(password)
    page.locator("[name=action][value=login]").click()


# --- the official client -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Client:
    """``sigstore`` in a folder of its own; what it would show in a browser goes to ``hook``."""

    stack: RunningStack
    folder: Path
    hook: Hook

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        home = {
            name: str(self.folder / name) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sigstore", "--trust-config", self.stack.trust_config, *map(str, arguments)],
            cwd=self.folder,
            env={
                **home,
                "PATH": os.environ["PATH"],
                "BROWSER": str(self.hook.program),
                "NO_PROXY": "localhost,127.0.0.1",
                "NO_COLOR": "1",
                "COLUMNS": "200",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def started(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        process = self.start(*arguments)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def client(stack, tmp_path) -> Client:
    return Client(stack, tmp_path, Hook.make(tmp_path))


def finish(process: subprocess.Popen[str], given: str | None = None) -> str:
    """What it printed on standard output; it must succeed."""
    output, errors = process.communicate(given, timeout=WAIT_S)
    assert process.returncode == 0, f"{output}\n{errors}"
    return output


def test_sigstore_python_gets_its_token_through_the_page(browser: Browser, client: Client):
    with client.started("get-identity-token") as waiting, visitor(browser) as tab:
        tab.page.goto(client.hook.url())
        assert tab.page.url.startswith(f"{client.stack.oidc_issuer}/auth?")
        log_in(tab.page)
        expect(tab.page.get_by_text("authentication successful")).to_be_visible()
        token = finish(waiting).strip()
        # Its page loads nothing of ours; what it does in the browser is not held against us.
        tab.problems.clear()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["email"], claims["aud"], claims["iss"]) == (ALICE, "sigstore", client.stack.oidc_issuer)


def test_sign_through_the_page_without_javascript_then_verify(browser: Browser, client: Client):
    artifact, bundle = client.folder / "artifact", client.folder / "bundle.json"
    artifact.write_bytes(b"the content that its author meant\n")
    with (
        client.started("sign", "--bundle", bundle, artifact) as signing,
        visitor(browser, java_script_enabled=False) as tab,
    ):
        tab.page.goto(client.hook.url())
        log_in(tab.page)
        tab.page.wait_for_url("http://localhost:*/auth/callback?*", wait_until="commit")
        finish(signing)
    identity = ("--cert-identity", ALICE, "--cert-oidc-issuer", client.stack.oidc_issuer)
    with client.started("verify", "identity", "--bundle", bundle, *identity, artifact) as verifying:
        finish(verifying)
    names = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", client.stack.oidc_issuer)
    done = sigbox("verify-blob", artifact, "--bundle", bundle, "--trust-config", client.stack.trust_config, *names)
    assert done.returncode == 0, done.stderr


def test_without_a_browser_of_its_own_the_client_takes_the_code_by_hand(browser: Browser, client: Client):
    artifact, bundle = client.folder / "artifact", client.folder / "bundle.json"
    artifact.write_bytes(b"the content that its author meant\n")
    with (
        client.started("sign", "--oauth-force-oob", "--bundle", bundle, artifact) as waiting,
        visitor(browser) as tab,
    ):
        assert waiting.stderr is not None
        url = next(found for line in waiting.stderr if (found := re.search(r"http://\S+", line)))[0]
        tab.page.goto(url)
        log_in(tab.page)
        code = tab.page.locator("#code").inner_text()
        assert re.fullmatch(r"[0-9a-f]{64}", code)
        finish(waiting, f"{code}\n")
    identity = ("--cert-identity", ALICE, "--cert-oidc-issuer", client.stack.oidc_issuer)
    with client.started("verify", "identity", "--bundle", bundle, *identity, artifact) as verifying:
        finish(verifying)


def test_a_wrong_password_can_be_corrected_and_a_cancelled_login_ends_the_client(browser: Browser, client: Client):
    with client.started("get-identity-token") as waiting, visitor(browser) as tab:
        tab.page.goto(client.hook.url())
        log_in(tab.page, password="wrong password")
        expect(tab.page.get_by_role("alert")).to_have_text(WRONG)
        expect(tab.page.get_by_label("Email")).to_have_value(ALICE)
        expect(tab.page.get_by_label("Password")).to_have_value("")
        expect(tab.page.get_by_label("Password")).to_be_focused()
        tab.page.get_by_role("button", name="Cancel").click()
        tab.page.wait_for_url("http://localhost:*/auth/callback?*", wait_until="commit")
        tab.problems.clear()
        _, errors = waiting.communicate(timeout=WAIT_S)
    assert waiting.returncode != 0
    assert "access_denied" in errors


# --- redirects ---------------------------------------------------------------------------------------------
class _Catcher(http.server.BaseHTTPRequestHandler):
    """Answers the browser that comes back from a login, and remembers what it brought."""

    def do_GET(self) -> None:
        self.server.caught.append(self.path)  # type: ignore[attr-defined]  # given below
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>back</title>")

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def catcher(address: str) -> Iterator[http.server.HTTPServer]:
    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Server((address, 0), _Catcher) as server:
        server.caught = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1", "localhost"), ("127.0.0.1", "127.0.0.1"), ("127.3.2.1", "127.3.2.1"), ("::1", "[::1]")],
)
def test_a_browser_follows_the_redirect_to_every_loopback_address(browser: Browser, stack, address, host):
    """The page's policy restricts where its form may lead, redirects included; it must let these pass."""
    try:
        socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET).close()
    except OSError:
        assert address == "::1", "only IPv6 may be absent"
        return
    with catcher(address) as server, visitor(browser) as tab:
        tab.page.goto(request_url(stack, f"http://{host}:{server.server_port}"))
        log_in(tab.page)
        expect(tab.page).to_have_title("back")
        (path,) = [path for path in server.caught if "code" in path]
    assert set(parse_qs(urlsplit(path).query)) == {"code", "state"}


SUBMIT = """url => new Promise(resolve => {
  addEventListener('securitypolicyviolation', violation => resolve(violation.effectiveDirective));
  document.forms[0].setAttribute('action', url);
  document.forms[0].submit();
})"""


def test_the_policy_keeps_the_form_from_leading_anywhere_else(browser: Browser, stack):
    with catcher("127.0.0.1") as server, visitor(browser) as tab:
        tab.page.goto(request_url(stack, "http://localhost:1"))
        assert tab.page.evaluate(SUBMIT, f"http://127.0.0.1:{server.server_port}/stolen") == "form-action"
        assert server.caught == []
        tab.problems.clear()


def test_markup_that_was_sent_runs_nothing_o20(browser: Browser, stack):
    payload = '"><img src=x onerror=alert(1)><script>alert(1)</script>'
    with visitor(browser) as tab:
        tab.page.goto(request_url(stack, "http://localhost:1", login_hint=payload, state=payload))
        assert tab.page.get_by_label("Email").input_value() == payload
        tab.page.goto(request_url(stack, payload))
        tab.page.goto(
            request_url(stack, "http://localhost:1") + f"&{urlencode({payload: 1})}&{urlencode({payload: 2})}"
        )
        expect(tab.page.get_by_role("alert")).to_contain_text("more than once")


# --- how it looks ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_fits_and_can_be_read_in_light_and_dark(browser: Browser, stack, scheme, width):
    with visitor(browser, color_scheme=scheme, viewport={"width": width, "height": 700}) as tab:
        tab.page.goto(request_url(stack, "http://localhost:43210/auth/callback"))
        check_look(tab.page)
        tab.page.get_by_text("No account").click()
        log_in(tab.page, password="wrong password")
        check_look(tab.page)
        tab.page.goto(request_url(stack, "https://evil.example/"))
        check_look(tab.page)
        tab.page.goto(request_url(stack, OOB))
        log_in(tab.page)
        expect(tab.page.locator("#code")).to_be_visible()
        check_look(tab.page)
        for path in ("device", "device?user_code=BCDF-GHJK", "session"):
            tab.page.goto(f"{stack.oidc_issuer}/{path}")
            check_look(tab.page)
        for _ in ("with the session", "with a password"):
            tab.page.goto(begin_device(stack))
            tab.page.locator("summary", has_text="one-time").first.evaluate("e => e.parentElement.open = true")
            check_look(tab.page)
            tab.page.context.clear_cookies()
        tab.page.goto(begin_device(stack))
        log_in(tab.page)
        check_look(tab.page)


def begin_device(stack: RunningStack) -> str:
    """The page of a program that begins to wait."""
    asked = {name: REQUEST[name] for name in ("client_id", "scope", "code_challenge", "code_challenge_method")}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{stack.oidc_issuer}/device/code", urlencode(asked).encode(), timeout=WAIT_S) as answer:
        return str(json.load(answer)["verification_uri_complete"])


CONTRAST = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('h1, p, label, button, code, summary, strong, small')]
    .filter(e => e.innerText && e.offsetParent)
    .map(e => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
      return [e.tagName + ' ' + e.innerText.slice(0, 30), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; })
    .filter(([, ratio]) => ratio < 4.5);
}"""


def check_look(page: Page) -> None:
    """Nothing sticks out to the side, the style sheet is there, and text stands out from its ground (WCAG 2 1.4.3: 4.5 to 1)."""
    sizes = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1], f"the page is {sizes[0]} wide in a window of {sizes[1]}"
    assert page.evaluate("() => getComputedStyle(document.querySelector('main')).borderRadius") != "0px"
    assert page.evaluate(CONTRAST) == []
