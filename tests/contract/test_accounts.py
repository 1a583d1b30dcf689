# SPDX-License-Identifier: Apache-2.0
"""The life of accounts and machines, and of the provider's key, as commands beside a stack that runs."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from oidc_dev.signing import OVERLAP
from oidc_dev.totp import code_at, step_at
from sigcore.strict import parse_base64url
from stack.oidc_keys import FOLLOW_S
from tests.contract.test_login import Session, claims_of, run
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import ALICE, PASSWORD, REQUEST, Html

WAIT_S = 30
"""A bound for failure on a busy machine, not an expectation."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("accounts")
    (folder / "sigbox.toml").write_text("[login]\npasses = 3\nsession_hours = 1\n")
    with running_stack(folder, "--data", folder / "data", "--config", folder / "sigbox.toml") as running:
        yield running


def add(stack: RunningStack, email: str) -> None:
    done = run("user", "add", "--data", stack.data, "--email", email, "--password-stdin", given=PASSWORD)
    assert done.returncode == 0, done.stderr


def change(stack: RunningStack, action: str, email: str, *more: str) -> str:
    done = run("user", action, "--data", stack.data, "--email", email, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(url: str) -> dict[str, object]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as answer:
        return json.load(answer)


# --- accounts ----------------------------------------------------------------------------------------------
def test_an_account_is_locked_out_with_its_session_and_let_in_again(stack):
    add(stack, ALICE)
    browser = Session(stack)
    assert browser.log_in(ALICE, PASSWORD)[0] == 303
    assert ALICE in browser.fetch("/session")[1]
    change(stack, "disable", ALICE)
    assert ALICE not in browser.fetch("/session")[1]
    assert Session(stack).log_in(ALICE, PASSWORD) == (403, "")
    listed = json.loads(run("user", "list", "--data", stack.data, "--json").stdout)["accounts"]
    assert [(one["disabled"], one["totp"]) for one in listed if one["email"] == ALICE] == [(True, False)]
    change(stack, "enable", ALICE)
    assert Session(stack).log_in(ALICE, PASSWORD)[0] == 303


def test_a_hash_of_another_price_is_made_anew_at_the_next_login_o19(stack):
    """``sigbox user`` reads the data directory, the stack was told more by ``--config``: both work, and become the same."""
    add(stack, "price@example.com")
    stored = stack.data / "oidc" / "accounts.db"
    assert b",t=12," in stored.read_bytes()
    assert Session(stack).log_in("price@example.com", PASSWORD)[0] == 303
    assert b",t=3," in stored.read_bytes()
    assert Session(stack).log_in("price@example.com", PASSWORD)[0] == 303


def test_one_time_codes_are_asked_for_from_the_next_login_on(stack):
    email = "totp@example.com"
    add(stack, email)
    told = json.loads(change(stack, "totp", email, "--json"))
    assert told["address"].startswith("otpauth://totp/")
    secret = base32(told["secret"])
    stored = (stack.data / "oidc" / "accounts.db").read_bytes()
    assert secret not in stored
    assert told["secret"].encode() not in stored
    assert Session(stack).log_in(email, PASSWORD)[0] == 403
    code = code_at(secret, step_at(datetime.now(UTC)))
    assert log_in(stack, email, one_time=code) == 303
    assert log_in(stack, email, one_time=code) == 403
    assert "totp" in run("user", "list", "--data", stack.data).stdout
    change(stack, "totp", email, "--off")
    assert Session(stack).log_in(email, PASSWORD)[0] == 303


def base32(text: str) -> bytes:
    import base64  # noqa: PLC0415 - as an authenticator reads it

    return base64.b32decode(text + "=" * (-len(text) % 8))


def log_in(stack: RunningStack, email: str, **more: str) -> int:
    browser = Session(stack)
    _, page, _ = browser.fetch(
        "/auth?" + "&".join(f"{name}={urllib.request.quote(value)}" for name, value in REQUEST.items())
    )
    filled = Html(page).inputs() | {"email": email, "password": PASSWORD, "action": "login"} | more
    return browser.fetch("/login", filled)[0]


@pytest.mark.parametrize("action", ["disable", "enable", "totp"])
def test_nobody_is_changed_where_nobody_is(stack, action):
    done = run("user", action, "--data", stack.data, "--email", "nobody@example.com")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no account" in done.stderr


# --- machines ----------------------------------------------------------------------------------------------
def ask(stack: RunningStack, secret: str) -> tuple[int, dict[str, object]]:
    form = {"grant_type": "client_credentials", "client_id": "sigstore", "client_secret": secret, "scope": "openid"}
    status, body, _ = Session(stack).fetch("/token", form)
    return status, json.loads(body)


def client(stack: RunningStack, *arguments: str):
    return sigbox("client", *arguments, "--data", stack.data)


def test_a_machine_signs_with_its_secret_until_it_is_locked_out(stack, tmp_path):
    made = client(stack, "add", "release", "--subject", "https://ci.example.com/release")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    status, body = ask(stack, secret)
    assert status == 200
    assert claims_of(str(body["id_token"]))["sub"] == "https://ci.example.com/release"
    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"built")
    trust = ("--trust-config", stack.trust_config)
    done = sigbox("sign-blob", artifact, *trust, "--identity-token", str(body["id_token"]), "--bundle", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    who = ("--certificate-identity", "https://ci.example.com/release", "--certificate-oidc-issuer", stack.oidc_issuer)
    assert sigbox("verify-blob", artifact, "--bundle", tmp_path / "b", *who, *trust).returncode == 0
    assert client(stack, "disable", "release").returncode == 0
    assert ask(stack, secret)[0] == 400
    assert "disabled" in client(stack, "list").stdout
    assert client(stack, "enable", "release").returncode == 0
    other = client(stack, "secret", "release").stdout.strip()
    assert (ask(stack, secret)[0], ask(stack, other)[0]) == (400, 200)
    (listed,) = json.loads(client(stack, "list", "--json").stdout)["clients"]
    assert (listed["name"], listed["subject"], listed["disabled"]) == (
        "release",
        "https://ci.example.com/release",
        False,
    )
    assert client(stack, "remove", "release").returncode == 0
    assert ask(stack, other)[0] == 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add",), "needs a machine"),
        (("add", "release"), "needs a subject"),
        (("add", "x", "--subject", "release"), "expected an http or https URI"),
        (("add", "a_b", "--subject", "https://h/"), "the client is named"),
        (("secret", "nobody"), "there is no client nobody"),
        (("disable", "nobody"), "there is no client nobody"),
        (("remove", "nobody"), "there is no client nobody"),
    ],
)
def test_what_cannot_be_done_with_a_machine_is_said(stack, arguments, message):
    done = client(stack, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


# --- the key -----------------------------------------------------------------------------------------------
def test_a_rotation_under_load_refuses_no_token_and_the_key_before_stays_published_o12(stack):
    """Tokens are minted and shown to the provider all the time; the key changes twice meanwhile."""
    client(stack, "add", "load", "--subject", "https://ci.example.com/load")
    secret = client(stack, "secret", "load").stdout.strip()
    seen: set[str] = set()
    failed: list[object] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            status, body = ask(stack, secret)
            if status != 200:
                failed.append(body)
                continue
            token = str(body["id_token"])
            seen.add(header_of(token))
            answer = shown(stack, token)
            if answer != 200:
                failed.append(answer)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2):
            wait_for(lambda: len(keys_of(stack)) >= 2)
            done = sigbox("trust", "rotate", "oidc", "--now", "--json", "--data", stack.data)
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            wait_for(lambda told=told: told["after"] in seen)
            assert {told["before"], told["after"]} <= set(keys_of(stack)), number
            assert keys_of(stack)[0] == told["after"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert len(seen) == 3


def wait_for(condition) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, (
            f"nothing has happened within {WAIT_S} s; the stack looks every {FOLLOW_S} s"
        )
        time.sleep(0.02)


def keys_of(stack: RunningStack) -> list[str]:
    return [key["kid"] for key in get(f"{stack.oidc_issuer}/keys")["keys"]]


def header_of(token: str) -> str:
    return json.loads(parse_base64url(token.partition(".")[0], what="the header"))["kid"]


def shown(stack: RunningStack, token: str) -> int:
    request = urllib.request.Request(f"{stack.oidc_issuer}/userinfo", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_rotation_says_what_it_did_and_a_young_key_waits(stack):
    done = sigbox("trust", "rotate", "oidc", "--data", stack.data)
    assert done.returncode == 3
    assert "--now" in done.stderr
    done = sigbox("trust", "rotate", "oidc", "--now", "--data", stack.data)
    assert done.returncode == 0
    assert "stays published until" in done.stdout
    assert OVERLAP.total_seconds() == 660
