# SPDX-License-Identifier: Apache-2.0
"""A key of identity tokens that has signed for long enough is changed by the running stack, and no token is refused for it (O12).

The clock of the processes is turned (``clock.c``); how they run, and what they wait for, is not touched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import jwt
import pytest

from tests.faults.recorder import build
from tests.faults.turned import Clock
from tests.ports import free_ports
from tests.split_stack import ROLES, SplitStack
from tests.stack_process import running_stack, sigbox

pytestmark = pytest.mark.slow

DAY = 86400
WAIT_S = 60
"""A bound for failure on a busy machine, not an expectation."""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(tmp_path / "clock")
    made.turn(0)
    monkeypatch.setenv("LD_PRELOAD", str(build(tmp_path, "clock")))
    monkeypatch.setenv("TURNED_CLOCK", str(made.file))
    monkeypatch.setenv("TURNED_BOOT", "1")  # days pass
    return made


def key_ids(url: str) -> list[str]:
    """What is published, the key that signs first."""
    with urlopen(url) as answer:
        return [key["kid"] for key in json.load(answer)["keys"]]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} has not come about"
        time.sleep(0.1)


def settings(folder: Path) -> Path:
    file = folder / "login.toml"
    file.write_text("[login]\nkey_days = 30\n")
    return file


def test_up_changes_an_old_key_and_takes_the_tokens_of_the_one_before_o12(tmp_path: Path, clock: Clock):
    with running_stack(tmp_path, "--data", tmp_path / "data", "--config", settings(tmp_path)) as stack:
        published = f"{stack.oidc_issuer}/keys"
        wait_for(lambda: len(key_ids(published)) == 2, "the next key")
        old, coming = key_ids(published)
        clock.turn(30 * DAY - 60)
        token = stack.token("alice@example.com")
        assert jwt.get_unverified_header(token)["kid"] == old
        assert key_ids(published)[0] == old
        clock.turn(30 * DAY)
        wait_for(lambda: key_ids(published)[0] == coming, "the change of the key")
        assert old in key_ids(published)
        assert jwt.get_unverified_header(stack.token("alice@example.com"))["kid"] == coming
        for given in (token, stack.token("alice@example.com")):
            artifact = tmp_path / "artifact"
            artifact.write_text("content")
            done = sigbox("sign-blob", artifact, "--identity-token", given, "--trust-config", stack.trust_config)
            assert done.returncode == 0, done.stderr
        clock.turn(30 * DAY + 3600)
        wait_for(lambda: old not in key_ids(published), "the end of the key before")
        assert f"signs with the key {coming} from now on, after {old}" in stack.output()


@contextmanager
def provider(folder: Path) -> Iterator[SplitStack]:
    """``sigbox serve oidc``, alone."""
    split = SplitStack(folder, dict(zip(ROLES, free_ports(len(ROLES)), strict=True)))
    split.extra = {"oidc": (f"--config={settings(folder)}",)}
    split.init()
    split.start("oidc")
    try:
        yield split
    finally:
        split.stop()


def test_a_provider_alone_changes_an_old_key_and_tells_the_authority_o12(tmp_path: Path, clock: Clock):
    with provider(tmp_path) as split:

        def answered() -> list[str]:
            status, body = split.ask("oidc", "/auth/keys")
            assert status == 200
            return [key["kid"] for key in json.loads(body)["keys"]]

        wait_for(lambda: len(answered()) == 2, "the next key")
        old, coming = answered()
        clock.turn(30 * DAY + 60)
        wait_for(lambda: answered()[0] == coming, "the change of the key")
        assert old in answered()
        (shown,) = tmp_path.glob("volumes/*/jwks.json")
        wait_for(lambda: set(answered()) == {key["kid"] for key in json.loads(shown.read_text())["keys"]}, "the file")
