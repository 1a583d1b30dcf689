# SPDX-License-Identifier: Apache-2.0
"""A clock that is wrong for a while, far ahead (F06, S05): a running stack signs nothing meanwhile, one that was started so has a way back.

The clock of the processes is turned (``clock.c``); how they run, and what they wait for, is not touched.
"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.faults.recorder import build
from tests.faults.turned import Clock
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.until import wait_until

pytestmark = pytest.mark.slow

YEAR = 365 * 86400
ALICE = "alice@example.com"


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of every process that is started from now on."""
    made = Clock(tmp_path / "clock")
    made.turn(0)
    monkeypatch.setenv("LD_PRELOAD", str(build(tmp_path, "clock")))
    monkeypatch.setenv("TURNED_CLOCK", str(made.file))
    return made


def sign(stack: RunningStack, folder: Path, version: str, token: str) -> subprocess.CompletedProcess[str]:
    (folder / "f").write_bytes(b"content")
    trust = ("--trust-config", stack.trust_config)
    return sigbox("sign-blob", folder / "f", "--rekor-version", version, "--identity-token", token, *trust)


def sign_alone(stack: RunningStack, folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """In a folder that nobody else writes to."""
    own = folder / f"v{version}"
    own.mkdir()
    return sign(stack, own, version, stack.token(ALICE))


def signs(stack: RunningStack, folder: Path) -> None:
    """Certificate, both logs, timestamp: and what comes out verifies."""
    for version in ("1", "2"):
        done = sign(stack, folder, version, stack.token(ALICE))
        assert done.returncode == 0, done.stderr
        said = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        done = sigbox("verify-blob", folder / "f", *said, "--trust-config", stack.trust_config)
        assert done.returncode == 0, done.stderr


def faults(stack: RunningStack) -> str:
    try:
        with urlopen(f"{stack.url}/readyz", timeout=60) as answer:
            return str(json.load(answer)["faults"])
    except HTTPError as error:
        with error:
            return str(json.load(error)["faults"])


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_a_running_stack_signs_nothing_with_a_time_that_its_clock_leapt_to_f06(tmp_path: Path, clock: Clock, options):
    with running_stack(tmp_path, "--data", tmp_path / "data", *options) as stack:
        signs(stack, tmp_path)
        clock.turn(YEAR)
        with ThreadPoolExecutor() as pool:  # each tries again for seconds before it gives up
            for done in pool.map(lambda version: sign_alone(stack, tmp_path, version), ("1", "2")):
                assert done.returncode == 4, done.stderr
                assert "leapt forward by 8760 hours" in done.stderr
        wait_until(lambda: "leapt" in faults(stack))
        clock.turn(0)
        wait_until(lambda: faults(stack) == "[]")
        signs(stack, tmp_path)


def test_a_stack_that_was_started_with_a_wrong_clock_has_a_way_back_s05(tmp_path: Path, clock: Clock):
    data = ("--data", tmp_path / "data")
    with running_stack(tmp_path, *data) as stack:
        signs(stack, tmp_path)
    clock.turn(YEAR)
    with running_stack(tmp_path, *data) as stack:
        signs(stack, tmp_path)
    clock.turn(0)
    refused = sigbox("up", *data, "--listen", "127.0.0.1:0")
    assert refused.returncode == 4
    assert "start once with --accept-clock" in refused.stderr
    with running_stack(tmp_path, *data, "--accept-clock") as stack:
        assert faults(stack) == "[]"
        signs(stack, tmp_path)
    with running_stack(tmp_path, *data) as stack:
        assert faults(stack) == "[]"
        signs(stack, tmp_path)


def test_a_stack_whose_timestamp_certificate_has_ended_says_how_to_go_on_f12(tmp_path: Path, clock: Clock):
    data = ("--data", tmp_path / "data")
    done = sigbox("init", *data, "--yes")
    assert done.returncode == 0, done.stderr
    clock.turn(11 * YEAR)
    refused = sigbox("up", *data, "--listen", "127.0.0.1:0")
    assert refused.returncode == 3, refused.stderr
    assert "expired at" in refused.stderr
    assert "sigbox trust rotate tsa" in refused.stderr
