# SPDX-License-Identifier: Apache-2.0
"""``[console] login``: every page asks for it, the interfaces of the services do not, and nobody gets in by another way."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from stack.web.console.door import OPEN
from stack.web.console.routes import PATHS
from tests.contract.test_login import Stay, run
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import ALICE, PASSWORD, REQUEST, Html

BOB = "bob@elsewhere.example"
CAROL = "carol@elsewhere.example"
"""May read, and nobody has verified that she is who she says."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("console-login")
    config = folder / "stack.toml"
    config.write_text(f'[console]\nlogin = true\ndomains = ["{ALICE.partition("@")[2]}"]\nsubjects = ["{CAROL}"]\n')
    with running_stack(folder, "--data", folder / "data", "--config", config) as running:
        for email in (ALICE, BOB):
            done = run("user", "add", "--data", running.data, "--email", email, "--password-stdin", given=PASSWORD)
            assert done.returncode == 0, done.stderr
        unverified = ("--email", CAROL, "--unverified", "--password-stdin")
        done = run("user", "add", "--data", running.data, *unverified, given=PASSWORD)
        assert done.returncode == 0, done.stderr
        yield running


class Reader:
    """A browser's half: cookies, and no redirects."""

    def __init__(self, stack: RunningStack) -> None:
        self.url = stack.url
        self.jar = CookieJar()
        handlers = (Stay, urllib.request.HTTPCookieProcessor(self.jar), urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def fetch(
        self, path: str, form: dict[str, str] | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        url = path if "://" in path else f"{self.url}{path}"
        body = urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8", "replace"), dict(error.headers)

    def callback(self, path: str, email: str, *, scope: str = "openid email") -> str:
        """The address that the provider sends the browser back to, after a login as ``email``; it may ask for another scope."""
        status, _, headers = self.fetch(path)
        assert status == 303
        status, page, _ = self.fetch(headers["Location"].replace("openid+email", scope.replace(" ", "+")))
        assert status == 200, page
        assert "nothing goes into a log" in page
        filled = Html(page).inputs() | {"email": email, "password": PASSWORD}
        status, page, headers = self.fetch("/auth/login", filled)
        assert status == 303, page
        return headers["Location"]

    def log_in(self, path: str = "/search", email: str = ALICE) -> tuple[int, str, dict[str, str]]:
        return self.fetch(self.callback(path, email))


def concrete(path: str) -> str:
    names = {"log": "rekor", "index": "0", "name": "none", "lesson": "checksum"}
    return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], path)


@pytest.mark.parametrize(("method", "path"), [pair for pair in PATHS if pair[1] not in OPEN])
def test_every_path_of_the_console_asks_for_a_login(stack, method, path):
    form = {} if method == "POST" else None
    status, body, headers = Reader(stack).fetch(concrete(path), form)
    if path.endswith((".json", ".csv", ".zip")):
        assert status == 401
        assert "login" in body
    else:
        assert status == 303
        assert headers["Location"].startswith(f"{stack.oidc_issuer}/auth?")
        assert body == ""


def test_whoever_logs_in_gets_to_the_page_that_was_asked_for_and_out_again(stack):
    reader = Reader(stack)
    status, _, headers = reader.log_in("/entries/rekor/0?lang=en")
    assert (status, headers["Location"]) == (303, "/entries/rekor/0?lang=en")
    status, page, headers = reader.fetch("/entries/rekor/0?lang=en")
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert "entry 0" in page
    assert reader.fetch("/search.json")[0] == 200
    assert reader.fetch("/operator")[0] == 200
    status, page, _ = reader.fetch("/account")
    assert ALICE in page
    filled = Html(page).inputs()
    assert reader.fetch("/account", filled | {"csrf": "0" * 64})[0] == 403
    assert reader.fetch("/account", filled, Origin="http://evil.example")[0] == 403
    assert reader.fetch("/search")[0] == 200
    assert reader.fetch("/account", filled, Origin=stack.url)[0] == 303
    assert reader.fetch("/search")[0] == 303


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites_and_change_with_a_login(stack):
    reader = Reader(stack)
    status, _, headers = reader.log_in()
    assert status == 303
    assert re.fullmatch(r"sigbox-visit=[\w-]{43}; HttpOnly; Path=/; SameSite=Lax", headers["Set-Cookie"])
    first = next(cookie.value for cookie in reader.jar if cookie.name == "sigbox-visit")
    old = Reader(stack)
    assert old.fetch("/search", Cookie=f"sigbox-visit={first}")[0] == 200
    reader.fetch("/account", Html(reader.fetch("/account")[1]).inputs())
    assert old.fetch("/search", Cookie=f"sigbox-visit={first}")[0] == 303


def test_a_visit_ends_with_its_account(stack):
    email = f"gone@{ALICE.partition('@')[2]}"
    for how in (("disable",), ("passwd", "--password-stdin"), ("remove",)):
        added = run("user", "add", "--data", stack.data, "--email", email, "--password-stdin", given=PASSWORD)
        enabled = run("user", "enable", "--data", stack.data, "--email", email)
        assert 0 in (added.returncode, enabled.returncode)
        reader = Reader(stack)
        assert reader.log_in(email=email)[0] == 303
        assert reader.fetch("/search")[0] == 200
        action, *options = how
        done = run("user", action, "--data", stack.data, "--email", email, *options, given=PASSWORD)
        assert done.returncode == 0, done.stderr
        assert reader.fetch("/search")[0] == 303
        assert email not in reader.fetch("/account")[1]


def test_an_answer_is_good_once_and_in_its_own_browser_only(stack):
    reader, thief = Reader(stack), Reader(stack)
    back = reader.callback("/search", ALICE)
    status, page, _ = thief.fetch(back)
    assert status == 403
    assert "not begun in this browser" in page
    thief.fetch("/search")  # with a cookie of its own
    assert thief.fetch(back)[0] == 403
    assert reader.fetch(back)[0] == 303
    assert reader.fetch(back)[0] == 403
    assert thief.fetch("/search")[0] == 303


@pytest.mark.parametrize("change", ["code", "state", "none"])
def test_a_forged_answer_begins_no_visit(stack, change):
    reader = Reader(stack)
    words = {name: value for name, (value,) in parse_qs(urlsplit(reader.callback("/search", ALICE)).query).items()}
    query = "" if change == "none" else urlencode(words | {change: "0" * 64})
    status, _, headers = reader.fetch(f"/account/callback?{query}")
    assert status == 403
    assert "Set-Cookie" not in headers
    assert reader.fetch("/search")[0] == 303


def test_somebody_of_another_domain_can_log_in_and_may_not_read(stack):
    reader = Reader(stack)
    status, page, _ = reader.log_in(email=BOB)
    assert status == 403
    assert "may not read these pages" in page
    assert reader.fetch("/search")[0] == 303


@pytest.mark.parametrize("scope", ["openid email", "openid"])
def test_whom_nobody_has_verified_may_not_read_whatever_the_browser_asks_for(stack, scope):
    reader = Reader(stack)
    status, page, _ = reader.fetch(reader.callback("/search", CAROL, scope=scope))
    assert status == 403, page
    assert reader.fetch("/search")[0] == 303


def test_a_cookie_that_is_no_text_is_none_of_ours(stack):
    url = urlsplit(Reader(stack).callback("/search", ALICE))
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        head = "GET %s?%s HTTP/1.1\r\nHost: h\r\nCookie: sigbox-console=\xff\r\nConnection: close\r\n\r\n"
        connection.sendall((head % (url.path, url.query)).encode("latin-1"))
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 403 ")


def test_a_refused_login_is_said(stack):
    reader = Reader(stack)
    page = reader.fetch(reader.fetch("/search")[2]["Location"])[1]
    status, _, headers = reader.fetch("/auth/login", Html(page).inputs() | {"action": "cancel"})
    assert status == 303
    status, page, _ = reader.fetch(headers["Location"])
    assert status == 403
    assert "access_denied" in page


def test_the_consoles_code_buys_no_token_and_its_client_leads_nowhere_else(stack):
    reader = Reader(stack)
    back = parse_qs(urlsplit(reader.callback("/search", ALICE)).query)
    form = {
        "grant_type": "authorization_code",
        "code": back["code"][0],
        "redirect_uri": f"{stack.url}/account/callback",
        "code_verifier": "v" * 43,
        "client_id": "sigbox-console",
    }
    status, body, _ = reader.fetch("/auth/token", form)
    assert (status, "invalid_client" in body) == (400, True)
    for uri in ("http://localhost:1/", f"{stack.url}/other", "http://evil.example/account/callback"):
        asked = urlencode(REQUEST | {"client_id": "sigbox-console", "redirect_uri": uri})
        assert reader.fetch(f"/auth/auth?{asked}")[0] == 400


def test_the_official_interfaces_and_a_signing_need_no_visit(stack, tmp_path):
    reader = Reader(stack)
    for path in ("/", "/healthz", "/readyz", "/metrics", "/tuf/timestamp.json", "/checkpoint", "/api/v1/log"):
        assert reader.fetch(path)[0] == 200, path
    assert reader.fetch("/console/console.css")[0] == 200
    (tmp_path / "file").write_text("x")
    options = ("--trust-config", stack.trust_config, "--identity-token", stack.token(ALICE))
    done = sigbox("sign-blob", tmp_path / "file", "--bundle", tmp_path / "bundle", *options)
    assert done.returncode == 0, done.stderr


def test_with_workers_a_login_is_the_same(tmp_path):
    """The provider and the console are in one process there too, whichever worker is asked."""
    config = tmp_path / "stack.toml"
    config.write_text("[console]\nlogin = true\n")
    with running_stack(tmp_path, "--data", tmp_path / "data", "--config", config, "--workers", "2") as stack:
        done = run("user", "add", "--data", stack.data, "--email", ALICE, "--password-stdin", given=PASSWORD)
        assert done.returncode == 0, done.stderr
        for _ in range(3):
            reader = Reader(stack)
            assert reader.log_in("/operator")[0] == 303
            assert all(reader.fetch("/operator")[0] == 200 for _ in range(4))


def test_a_console_by_itself_does_not_start_open_where_a_login_is_demanded(tmp_path):
    config = tmp_path / "stack.toml"
    config.write_text("[console]\nlogin = true\n")
    data = ("--data", tmp_path / "data")
    done = run("init", *data, "--url", "http://localhost:7780", "--yes")
    assert done.returncode == 0, done.stderr
    done = run("serve", "console", *data, "--listen", "127.0.0.1:0", "--config", config)
    assert done.returncode != 0
    assert "asks for a login, which takes the provider in the same process" in done.stderr
