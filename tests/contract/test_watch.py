# SPDX-License-Identifier: Apache-2.0
"""Watch rules of a whole stack: who signs under a watched name is told of, over a restart, on the page and in the figures."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.split_stack import split_stack
from tests.stack_process import RunningStack, running_stack, sigbox

SECRET = "a-secret-of-this-test-and-no-other"
WAIT_S = 60


class Receiver(BaseHTTPRequestHandler):
    """Writes down what is posted; refuses while ``refusing`` is set."""

    posts: list[tuple[str, bytes]]
    refusing: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.refusing.is_set():
            self.posts.append((self.headers["X-Sigbox-Signature"], body))
        self.send_response(500 if self.refusing.is_set() else 204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[str, type[Receiver]]]:
    kind = type("OneReceiver", (Receiver,), {"posts": [], "refusing": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", kind
    server.shutdown()
    thread.join()
    server.server_close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def read(stack: RunningStack, path: str) -> str:
    with urllib.request.urlopen(f"{stack.url}{path}", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def sign(stack: RunningStack, folder: Path, email: str) -> None:
    (folder / "file").write_text(email)
    options = ("--trust-config", stack.trust_config, "--identity-token", stack.token(email))
    done = sigbox("sign-blob", folder / "file", "--bundle", folder / "bundle", *options, cwd=folder)
    assert done.returncode == 0, done.stderr


def identities(kind: type[Receiver]) -> list[tuple[str, str]]:
    return [(found["log"], found["identity"]) for found in (json.loads(body) for _, body in kind.posts)]


def test_whoever_signs_under_a_watched_name_is_told_of_once_over_a_restart(tmp_path, hook):
    url, kind = hook
    config = tmp_path / "stack.toml"
    (tmp_path / "hook.secret").write_text(SECRET)
    config.write_text(
        '[[watch]]\nname = "release"\nidentity = "release@corp.example"\nissuer = "https://login.corp.example"\n'
        'verdict = "expected"\nlogs = ["rekor"]\n'
        f'[[watch]]\nname = "issued"\nidentity = "*@corp.example"\nlogs = ["ct"]\n'
        f'[alerts]\nwebhook = "{url}"\nsecret_file = "hook.secret"\n'
    )
    options = ("--data", tmp_path / "data", "--config", config)
    with running_stack(tmp_path, *options) as stack:
        sign(stack, tmp_path, "alice@example.com")
        sign(stack, tmp_path, "release@corp.example")
        until(lambda: len(kind.posts) == 2)
        page, figures = read(stack, "/operator"), read(stack, "/metrics")
        kind.refusing.set()
        sign(stack, tmp_path, "bob@corp.example")
        until(lambda: 'sigbox_alerts_total{rule="issued"} 2.0' in read(stack, "/metrics"))
        until(lambda: "sigbox_alerts_failed_total 0.0" not in read(stack, "/metrics"))
    kind.refusing.clear()
    with running_stack(tmp_path, *options) as stack:
        until(lambda: len(kind.posts) == 3)
    expected = [("ct", "release@corp.example"), ("rekor", "release@corp.example"), ("ct", "bob@corp.example")]
    assert sorted(identities(kind)[:2]) == expected[:2]
    assert identities(kind)[2:] == expected[2:]
    for signature, body in kind.posts:
        assert signature == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert "release@corp.example" in page
    assert SECRET not in page
    assert "/hook" not in page
    assert 'sigbox_alerts_total{rule="release"} 1.0' in figures
    assert "sigbox_watch_up 1.0" in figures


def test_with_workers_an_alert_is_still_one(tmp_path, hook):
    url, kind = hook
    config = tmp_path / "stack.toml"
    (tmp_path / "hook.secret").write_text(SECRET)
    config.write_text(
        '[[watch]]\nname = "a"\nidentity = "a@example.com"\nlogs = ["rekor"]\n'
        '[[watch]]\nname = "z"\nidentity = "z@example.com"\nlogs = ["rekor"]\n'
        f'[alerts]\nwebhook = "{url}"\nsecret_file = "hook.secret"\n'
    )
    with running_stack(tmp_path, "--data", tmp_path / "data", "--config", config, "--workers", "2") as stack:
        sign(stack, tmp_path, "a@example.com")
        sign(stack, tmp_path, "z@example.com")
        until(lambda: ("rekor", "z@example.com") in identities(kind))
    assert identities(kind) == [("rekor", "a@example.com"), ("rekor", "z@example.com")]


def test_a_console_by_itself_alerts_of_what_it_reads_from_the_logs_of_others(tmp_path, hook):
    url, kind = hook
    config = tmp_path / "stack.toml"
    (tmp_path / "hook.secret").write_text(SECRET)
    config.write_text(
        '[[watch]]\nname = "a"\nidentity = "a@example.com"\nlogs = ["rekor"]\n'
        f'[alerts]\nwebhook = "{url}"\nsecret_file = "hook.secret"\n'
    )
    (tmp_path / "split").mkdir()
    with split_stack(tmp_path / "split", extra={"console": (f"--config={config}",)}) as split:
        until(lambda: b"sigbox_watch_up 1.0" in split.ask("console", "/metrics")[1])
        until(lambda: b'href="/entries/rekor/0"' in split.ask("console", "/logs")[1])
        sign(split.as_stack(), tmp_path, "a@example.com")
        until(lambda: identities(kind) == [("rekor", "a@example.com")])
        until(lambda: split.count("console", 'sigbox_alerts_total{rule="a"}') == 1)
        until(lambda: b"a@example.com" in split.ask("console", "/operator")[1])


def test_a_rule_that_cannot_be_meant_stops_the_start_with_its_place(tmp_path):
    config = tmp_path / "stack.toml"
    config.write_text('[[watch]]\nname = "a"\nidentity = "^root$"\n')
    done = sigbox("up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--config", config)
    assert done.returncode != 0
    assert "stack.toml, watch 1: identity is" in done.stderr
    assert not (tmp_path / "data").exists()
