# SPDX-License-Identifier: Apache-2.0
"""Accounts, logins and tokens of a running stack, as commands and over plain HTTP: the whole flow, across a restart."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.stack_process import SIGBOX, RunningStack, environment, running_stack
from tests.unit.oidc_dev.visitor import ALICE, CALLBACK, PASSWORD, REQUEST, VERIFIER, Html


def run(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """One ``sigbox`` command with ``given`` on its standard input."""
    return subprocess.run(
        [*SIGBOX, *map(str, arguments)],
        input=given,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def claims_of(token: str) -> dict[str, object]:
    """What a token says; that it verifies is tested elsewhere."""
    payload = token.strip().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at, not followed."""

    def redirect_request(self, *_arguments):
        return None


class Session:
    """A browser's half: cookies, and no redirects."""

    def __init__(self, stack: RunningStack) -> None:
        self.issuer = stack.oidc_issuer
        handlers = (Stay, urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def fetch(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
        body = urlencode(form).encode() if form is not None else None
        try:
            with self._opener.open(f"{self.issuer}{path}", body, timeout=20) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), dict(error.headers)

    def log_in(self, email: str, password: str) -> tuple[int, str]:
        """Status, and the code if there is one."""
        status, page, _ = self.fetch(f"/auth?{urlencode(REQUEST | {'nonce': 'n'})}")
        assert status == 200, page
        filled = Html(page).inputs() | {"email": email, "password": password}
        status, _, headers = self.fetch("/login", filled)
        found = parse_qs(urlsplit(headers.get("Location", "")).query)
        return status, found.get("code", [""])[0]

    def token(self, code: str) -> tuple[int, dict[str, object]]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "client_id": "sigstore",
        }
        status, body, _ = self.fetch("/token", form)
        return status, json.loads(body)


@pytest.fixture(scope="module")
def ephemeral(tmp_path_factory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("ephemeral"), "--ephemeral", "--control") as stack:
        yield stack


# --- accounts and logins ---------------------------------------------------------------------------------
def test_an_account_is_good_at_once_and_until_it_is_removed_and_stays_over_a_restart(tmp_path):
    data = tmp_path / "data"
    with running_stack(tmp_path, "--data", data) as stack:
        assert Session(stack).log_in(ALICE, PASSWORD) == (403, "")  # a durable stack starts with nobody
        assert run("user", "add", "--data", data, "--email", ALICE, "--password-stdin", given=PASSWORD).returncode == 0
        session = Session(stack)
        status, code = session.log_in(ALICE, PASSWORD)
        assert status == 303
        status, body = session.token(code)
        assert (status, body["token_type"]) == (200, "Bearer")
        claims = claims_of(str(body["access_token"]))
        assert (claims["email"], claims["iss"], claims["nonce"]) == (ALICE, stack.oidc_issuer, "n")
        assert session.token(code)[0] == 400
    with running_stack(tmp_path, "--data", data) as stack:
        assert Session(stack).log_in(ALICE, PASSWORD)[0] == 303
        changed = run("user", "passwd", "--data", data, "--email", ALICE, "--password-file", "-", given="another one\n")
        assert changed.returncode == 0, changed.stderr
        assert Session(stack).log_in(ALICE, PASSWORD)[0] == 403
        assert Session(stack).log_in(ALICE, "another one")[0] == 303
        assert run("user", "remove", "--data", data, "--email", ALICE).returncode == 0
        assert Session(stack).log_in(ALICE, "another one")[0] == 403


def test_a_test_adds_its_user_over_the_control_api(ephemeral):
    add = ("user", "add", "--url", ephemeral.url, "--email", "bob@example.com", "--password-stdin")
    done = run(*add, given=PASSWORD)
    assert (done.returncode, done.stderr) == (0, "bob@example.com may log in\n")
    assert Session(ephemeral).log_in("bob@example.com", PASSWORD)[0] == 303
    again = run(*add, given=PASSWORD)
    assert again.returncode == 3
    assert "already" in again.stderr
    short = run("user", "add", "--url", ephemeral.url, "--email", "c@example.com", "--password-stdin", given="short")
    assert "at least 8" in short.stderr


def test_no_secret_of_an_account_can_be_read_from_its_file_o19(tmp_path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        for i in range(3):
            given = f"{PASSWORD} {i}"
            done = run(
                "user", "add", "--data", stack.data, "--email", f"u{i}@example.com", "--password-stdin", given=given
            )
            assert done.returncode == 0, done.stderr
        stored = (stack.data / "oidc" / "accounts.db").read_bytes()
        assert b"u2@example.com" in stored
        assert stored.count(b"$argon2id$") == 3
        assert PASSWORD.encode() not in stored


# --- sigbox user -------------------------------------------------------------------------------------------
def test_the_list_is_a_table_or_json(ephemeral):
    for email, more in (("carol@example.com", ()), ("dave@example.com", ("--unverified",))):
        done = run("user", "add", "--data", ephemeral.data, "--email", email, "--password-stdin", *more, given=PASSWORD)
        assert done.returncode == 0, done.stderr
    table = run("user", "list", "--data", ephemeral.data).stdout.splitlines()
    assert any(line.startswith("carol@example.com") for line in table)
    assert any(line.startswith("dave@example.com") and line.endswith("unverified") for line in table)
    listed = {
        a["email"]: a for a in json.loads(run("user", "list", "--data", ephemeral.data, "--json").stdout)["accounts"]
    }
    assert listed["carol@example.com"]["verified"] is True
    assert listed["dave@example.com"]["verified"] is False
    assert "password" not in listed["carol@example.com"]


@pytest.mark.parametrize(
    ("arguments", "given", "code", "message"),
    [
        (("add",), "", 2, "--email"),
        (("add", "--email", "no mailbox"), PASSWORD, 2, "plain ASCII mailbox"),
        (("add", "--email", "e@example.com"), "", 2, "--password-stdin"),
        (("add", "--email", "e@example.com", "--password-stdin"), "short\n", 2, "at least 8"),
        (("add", "--email", "e@example.com", "--password-stdin"), "\n", 2, "empty"),
        (("add", "--email", "e@example.com", "--password-stdin"), "x" * 5000, 2, "limit is 1024"),
        (("add", "--email", "e@example.com", "--password-file", "/nowhere"), "", 2, "does not exist"),
        (("passwd", "--email", "nobody@example.com", "--password-stdin"), PASSWORD, 2, "there is no account"),
        (("remove", "--email", "nobody@example.com"), "", 2, "there is no account"),
        (("list", "--email", "e@example.com"), "", 2, "leave --email out"),
        (("rename",), "", 2, "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_way_out(ephemeral, arguments, given, code, message):
    done = run("user", *arguments, "--data", ephemeral.data, given=given)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_without_a_stack_gets_no_accounts(tmp_path):
    done = run("user", "add", "--data", tmp_path, "--email", ALICE, "--password-stdin", given=PASSWORD)
    assert done.returncode == 2
    assert "holds no stack" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_asked_for_twice_and_never_shown(ephemeral):
    ours, theirs = pty.openpty()
    command = [*SIGBOX, "user", "add", "--data", str(ephemeral.data), "--email", "frank@example.com"]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
        preexec_fn=_own_terminal,  # noqa: PLW1509 - no threads here
    ) as process:
        os.close(theirs)
        shown = _answer(ours, b"Password: ") + _answer(ours, b"Again: ")
        assert process.wait(60) == 0, shown
    os.close(ours)
    assert PASSWORD.encode() not in shown
    assert Session(ephemeral).log_in("frank@example.com", PASSWORD)[0] == 303


def _own_terminal() -> None:
    """The child's standard input becomes its controlling terminal: there ``getpass`` asks."""
    import fcntl  # noqa: PLC0415 - in the child
    import termios  # noqa: PLC0415 - in the child

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _answer(terminal: int, prompt: bytes) -> bytes:
    shown = b""
    while prompt not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, f"{PASSWORD}\n".encode())
    return shown


# --- sigbox token ------------------------------------------------------------------------------------------
def test_a_persona_is_a_file_and_the_command_line_has_the_last_word(ephemeral, tmp_path):
    persona = tmp_path / "job.json"
    persona.write_text(
        '{"subject": "https://ci.example.com/job/7", "audience": "a", "claims": {"ref": "main", "n": 2}}'
    )
    for where in (("--data", ephemeral.data), ("--url", ephemeral.url)):
        claims = claims_of(run("token", *where, "--persona", persona).stdout)
        assert (claims["sub"], claims["aud"], claims["ref"]) == ("https://ci.example.com/job/7", "a", "main")
        assert "email" not in claims
        options = ("--subject", "s", "--audience", "sigstore", "--claim", "ref=next", "--claim", 'groups=["x"]')
        claims = claims_of(run("token", *where, "--persona", persona, *options, "--email", ALICE).stdout)
        assert (claims["sub"], claims["aud"], claims["ref"]) == ("s", "sigstore", "next")
        assert (claims["email"], claims["email_verified"], claims["groups"]) == (ALICE, True, ["x"])


@pytest.mark.parametrize("where", ["--data", "--url"])
@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ('{"email": 7}', (), "expected a string"),
        ('{"mail": "a@b.c"}', (), "unknown member"),
        ("[]", (), "expected an object"),
        ("{", (), "not JSON"),
        ("{}", (), "no identity"),
        ('{"claims": {"iss": "x"}}', ("--subject", "s"), "restate iss"),
        ("{}", ("--subject", "s", "--claim", "novalue"), "NAME=VALUE"),
        ("{}", ("--subject", "s", "--claim", "exp=1"), "restate exp"),
    ],
)
def test_a_persona_that_is_none_is_refused(ephemeral, tmp_path, where, content, options, message):
    persona = tmp_path / "persona.json"
    persona.write_text(content)
    at = ephemeral.data if where == "--data" else ephemeral.url
    done = run("token", where, at, "--persona", persona, *options)
    assert done.returncode in (2, 3)
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"email": "a@b.c"}',
        b'{"email": "a", "password": "12345678"}',
        b'{"email": "a@b.c", "password": 1}',
    ],
)
def test_the_control_api_refuses_users_that_are_none(ephemeral, body):
    request = urllib.request.Request(f"{ephemeral.url}/_ctl/user", body)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    with refused.value as error:
        assert error.code == 400
        assert json.loads(error.read())["message"]
