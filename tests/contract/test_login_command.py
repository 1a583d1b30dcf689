# SPDX-License-Identifier: Apache-2.0
"""``sigbox login`` against a running stack, with a browser that the test plays; and what signing makes of the token."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest

from sigcore.strict import encode_base64url
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox
from tests.unit.oidc_dev.visitor import ALICE, PASSWORD, Html


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", "--control") as running:
        add = [*SIGBOX, "user", "add", "--url", running.url, "--email", ALICE, "--password-stdin"]
        subprocess.run(add, input=PASSWORD, text=True, env=environment(), check=True, capture_output=True)
        yield running


def browse(url: str, action: str = "login") -> str:
    """Log in where ``url`` leads, or press another button; follow every redirect; the last page."""
    handlers = (urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(url, timeout=20) as answer:
        page, place = answer.read().decode(), answer.url
    html = Html(page)
    form = next(attributes for tag, attributes in html.elements if tag == "form")
    filled = html.inputs() | {"email": ALICE, "password": PASSWORD, "action": action}
    with opener.open(urljoin(place, form.get("action") or ""), urlencode(filled).encode(), timeout=20) as answer:
        return answer.read().decode()


class User:
    """Somebody at a terminal, with a home of his own."""

    def __init__(self, stack: RunningStack, home: Path) -> None:
        self.stack, self.home = stack, home
        self.variables = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "SIGBOX_TRUST_CONFIG": str(stack.trust_config),
            "SIGSTORE_ID_TOKEN": "",
        }
        self.said = ""
        self.session = home / "run" / "sigbox" / "identity-token"

    def begin(self, *options: str) -> tuple[subprocess.Popen[str], str]:
        """The command, which waits, and the URL that it prints."""
        process = subprocess.Popen(
            [*SIGBOX, "login", *options, "--json"],
            env=environment(**self.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
        )
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.match(r"  (http\S+)$", line):
                watchdog.cancel()
                self.said = "".join(lines)
                return process, found[1]
        watchdog.cancel()
        process.wait(20)
        raise AssertionError("".join(lines))

    def end(self, process: subprocess.Popen[str], typed: str = "", code: int = 0) -> tuple[str, str]:
        out, err = process.communicate(typed, timeout=60)
        assert process.returncode == code, err
        return out, err

    def sign(self, code: int = 0, **more: str) -> str:
        (self.home / "file").write_text("a file\n")
        done = sigbox("sign-blob", "file", cwd=self.home, **(self.variables | more))
        assert done.returncode == code, done.stderr
        return done.stderr


@pytest.fixture
def user(stack: RunningStack, tmp_path: Path) -> User:
    return User(stack, tmp_path)


def test_a_login_with_a_browser_signs_without_another_token(user: User):
    process, url = user.begin("--no-browser")
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"][0].startswith("http://localhost:")
    assert "close this page" in browse(url)
    out, err = user.end(process)
    report = json.loads(out)
    assert (report["identity"], report["issuer"]) == (ALICE, user.stack.oidc_issuer)
    assert f"logged in as {ALICE}" in err
    assert user.session.stat().st_mode & 0o777 == 0o600
    assert user.session.parent.stat().st_mode & 0o777 == 0o700
    assert user.session.read_text() not in out + err
    user.sign()
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", user.stack.oidc_issuer)
    done = sigbox("verify-blob", "file", *who, cwd=user.home, **user.variables)
    assert done.returncode == 0, done.stderr


def test_the_browser_is_opened_where_there_is_one(user: User):
    opened, script = user.home / "opened", user.home / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    script.chmod(0o755)
    user.variables["BROWSER"] = f"{script} %s"
    process, url = user.begin()
    browse(url)
    user.end(process)
    assert opened.read_text() == url


def test_out_of_band_the_code_is_typed(user: User):
    process, url = user.begin("--flow", "oob", "--oidc-issuer", user.stack.oidc_issuer)
    page = Html(browse(url))
    code = next(word for word in re.findall(r"[\w-]{30,}", page.text))
    user.end(process, f"{code}\n")
    user.sign()


def test_an_answer_to_another_login_is_not_taken(user: User):
    process, url = user.begin("--no-browser")
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{redirect}?code=x&state=y", timeout=20):
        _, err = user.end(process, code=3)
    assert "another state" in err
    assert not user.session.exists()


def test_nobody_comes(user: User):
    process, _ = user.begin("--no-browser", "--timeout", "1")
    _, err = user.end(process, code=4)
    assert "nobody logged in" in err


def test_a_wrong_code_and_none(user: User):
    process, _ = user.begin("--flow", "oob")
    user.end(process, "x" * 43 + "\n", code=3)
    process, _ = user.begin("--flow", "oob")
    user.end(process, "\n", code=2)


def test_a_token_goes_only_to_services_that_name_its_issuer_and_only_while_it_is_good(user: User):
    process, url = user.begin("--no-browser")
    browse(url)
    user.end(process)
    token = user.session.read_text()
    trust = json.loads(user.stack.trust_config.read_text())
    trust["signingConfig"]["oidcUrls"][0]["url"] = "https://else.example"
    other = user.home / "trust.json"
    other.write_text(json.dumps(trust))
    assert "does not name" in user.sign(code=2, SIGBOX_TRUST_CONFIG=str(other))
    user.session.write_text("not a token")
    user.sign(code=2)
    user.sign(SIGSTORE_ID_TOKEN=token)
    user.session.unlink()
    assert "sigbox login" in user.sign(code=2)


def test_an_expired_login_says_so(user: User):
    claims = {"iss": user.stack.oidc_issuer, "sub": "s", "email": ALICE, "exp": 1}
    user.session.parent.mkdir(mode=0o700, parents=True)
    user.session.write_text(f"e30.{encode_base64url(json.dumps(claims).encode())}.AAAA")
    assert "has expired" in user.sign(code=2)


# --- device flow -------------------------------------------------------------------------------------------
@pytest.mark.at_once("device")
def test_with_the_device_flow_the_code_is_allowed_on_a_page_anywhere(stack: RunningStack, tmp_path: Path):
    user = User(stack, tmp_path)
    process, url = user.begin("--flow", "device")
    page = browse(url)
    assert "goes on as" in page
    out, err = user.end(process)
    assert json.loads(out)["identity"] == ALICE
    assert re.match(r"allow the code [A-Z]{4}-[A-Z]{4} on this page, on any machine:\n", user.said)
    assert f"logged in as {ALICE}" in err
    user.sign()


@pytest.mark.at_once("device")
def test_a_device_login_that_is_denied_ends_at_once(stack: RunningStack, tmp_path: Path):
    user = User(stack, tmp_path)
    process, url = user.begin("--flow", "device")
    assert "Denied" in browse(url, action="deny")
    _, err = user.end(process, code=3)
    assert "the login was denied" in err
    assert not user.session.exists()


@pytest.mark.at_once("device")
def test_a_device_login_that_nobody_allows_ends_in_time(stack: RunningStack, tmp_path: Path):
    user = User(stack, tmp_path)
    process, _ = user.begin("--flow", "device", "--timeout", "1")
    _, err = user.end(process, code=3)
    assert "nobody allowed this login in time" in err
