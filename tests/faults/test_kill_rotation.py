# SPDX-License-Identifier: Apache-2.0
"""Rotations are killed at any moment beside a running stack: clients follow, the stack signs, and what it signs verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from stack.config import Home
from stack.generations import load_generations
from stack.succession import is_published
from tests.chance import chosen_seed
from tests.faults.test_kill_publisher import Follower
from tests.stack_process import SIGBOX, environment, running_stack, sigbox

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 12
ALICE = "alice@example.com"


def kill_a_rotation(home: Home, role: str, after_s: float) -> bool:
    """Whether it was hit; its publisher is killed with it."""
    process = subprocess.Popen(
        [*SIGBOX, "trust", "rotate", role, "--data", str(home.path)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after_s)  # where in its work it ends, not a wait for anything
    hit = process.poll() is None
    if hit:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return hit


def test_kill_9_at_any_moment_of_a_rotation(tmp_path: Path):
    seed = chosen_seed()
    print(f"seed {seed}")
    chance, hits = random.Random(seed), 0
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        home = Home(stack.data)
        follower = Follower(home, tmp_path / "cache")
        begun = time.monotonic()
        assert sigbox("trust", "rotate", "tuf", "--data", home.path).returncode == 0
        whole_s = time.monotonic() - begun
        artifact = tmp_path / "artifact"
        artifact.write_text("an artifact\n")
        trust = ("--trust-config", stack.trust_config)
        who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        for number in range(KILLS):
            role = chance.choice(["ca", "tsa", "tuf", "ct", "rekor-v1", "rekor-v2"])
            hit = kill_a_rotation(home, role, (0.3 + 0.6 * chance.random()) * whole_s)
            hits += hit
            whole_s *= 1.0 if hit else 0.8  # the machine has become faster
            follower.fetch("trusted_root.json")
            if number % 3 == 2:
                log = ("--rekor-version", "1") if number % 2 else ()
                done = sigbox("sign-blob", artifact, *trust, *log, "--identity-token", stack.token(ALICE))
                assert done.returncode == 0, (number, done.stderr)
        assert sigbox("trust", "refresh", "--data", home.path).returncode == 0
        assert is_published(home)
        assert sigbox("fsck", "--data", home.path).returncode == 0
        assert follower.fetch("trusted_root.json") == home.trusted_root.read_bytes()
        done = sigbox("verify-blob", artifact, *who, *trust)
        assert done.returncode == 0, done.stderr
        before = len(load_generations(home).get("ca", ())) or 1
        assert sigbox("trust", "rotate", "all", "--now", "--data", home.path).returncode == 0
        assert len(load_generations(home)["ca"]) == before + 1
        assert sigbox("audit", "verify", "--data", home.path).returncode == 0
        follower.fetch("trusted_root.json")
    assert hits >= KILLS // 3, "the rotations were not hit while they ran"
