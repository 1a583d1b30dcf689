# SPDX-License-Identifier: Apache-2.0
"""A stack whose authorities and logs sign in a KMS: made, served, rotated; and the program is broken meanwhile."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sigcore.algorithms import HashAlgorithm
from sigcore.timestamp import TimestampRequest, encode_request
from tests import kms_program
from tests.stack_process import RunningStack, running_stack, sigbox

ROLES = ("ca", "ct", "rekor", "rekor-v1", "tsa")
ALICE = "alice@example.com"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With the program in PATH, of this process and of those that it starts."""
    made = tmp_path_factory.mktemp("kms")
    kms_program.install(made / "bin", kms_program.OPENSSL)
    (made / "held").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{made / 'bin'}{os.pathsep}{os.environ['PATH']}")
        yield made


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[RunningStack]:
    keys = [text for role in ROLES for text in ("--key", f"{role}=kms:localfile://{folder}/held/{role}")]
    done = sigbox("init", "--data", folder / "data", "--yes", *keys)
    assert done.returncode == 0, done.stderr
    assert "in a KMS         ca in the KMS of sigstore-kms-localfile, ct in" in done.stdout
    assert "in tokens" not in done.stdout
    with running_stack(folder, "--data", folder / "data") as running:
        yield running
        assert "Traceback" not in running.log.read_text("utf-8", "replace")


def sign_and_verify(stack: RunningStack, folder: Path, name: str) -> None:
    (folder / name).write_text(name)
    trust = ("--trust-config", stack.trust_config)
    for version in ("1", "2"):
        token = ("--identity-token", stack.token(ALICE))
        done = sigbox("sign-blob", folder / name, *token, "--rekor-version", version, *trust)
        assert done.returncode == 0, done.stderr
        who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        done = sigbox("verify-blob", folder / name, *who, "--trusted-root", stack.trusted_root)
        assert done.returncode == 0, done.stderr


def stamp(stack: RunningStack) -> tuple[int, bytes]:
    body = encode_request(TimestampRequest(HashAlgorithm.SHA2_256, bytes(32)))
    return answer(stack, "/api/v1/timestamp", body, "application/timestamp-query")


def answer(stack: RunningStack, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(stack.url + path, body, {"Content-Type": kind} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as given:
            return given.status, given.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_no_key_is_in_the_stack_and_everything_is_signed(stack: RunningStack, folder: Path, tmp_path: Path):
    assert {path.name for path in (folder / "held").iterdir()} == {
        *ROLES, *("ca-root", "tsa-root", "tsa-intermediate"),
    }  # fmt: skip
    for role in ROLES:
        assert not list((stack.data / role).rglob("*.key")), role
    sign_and_verify(stack, tmp_path, "release.txt")
    done = sigbox("doctor", "--data", stack.data, "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)["checks"]}
    assert "in a KMS: those of ca, ct, rekor, rekor-v1, tsa" in rows["files"]["found"]
    assert "in tokens" not in rows["files"]["found"]
    row = rows["tokens"]
    assert row["state"] == "ok", row
    assert re.search(r"ca \d+ ms, ct \d+ ms", row["found"])


def test_while_the_program_is_broken_nothing_is_signed_and_then_all_goes_on(
    stack: RunningStack, folder: Path, tmp_path: Path
):
    program = folder / "bin" / "sigstore-kms-localfile"
    whole = program.read_text()
    assert stamp(stack)[0] == 200
    program.write_text("#!/bin/sh\nexit 3\n")
    try:
        code, body = stamp(stack)
        assert code == 503
        assert b"sigstore-kms-localfile" in body
        assert answer(stack, "/healthz")[0] == 200
        assert answer(stack, "/readyz")[0] == 503
    finally:
        program.write_text(whole)
    until = time.monotonic() + PATIENCE_S
    while (stamp(stack)[0], answer(stack, "/readyz")[0]) != (200, 200):
        assert time.monotonic() < until
        time.sleep(0.1)
    sign_and_verify(stack, tmp_path, "after.txt")


def test_the_next_generation_is_another_key_there(stack: RunningStack, folder: Path, tmp_path: Path):
    done = sigbox("trust", "rotate", "ca", "--data", stack.data)
    assert done.returncode == 0, done.stderr
    assert {"ca-2", "ca-root-2"} <= {path.name for path in (folder / "held").iterdir()}
    sign_and_verify(stack, tmp_path, "rotated.txt")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (("ca=kms:nowhere://ca",), "sigstore-kms-nowhere"),
        (("ca=kms:localfile://x", "ct=kms:localfile://x"), "ca and ct would have one key"),
        (("ca=kms:localfile://x", "ct=kms:localfile://x-root"), "would have one key"),
        (("ca=kms:x",), "is no key reference"),
        (("ca=kms:localfile:///nowhere/at/all",), "sigstore-kms-localfile said"),
    ],
)
def test_what_cannot_be_is_said_before_a_stack_is_made(folder: Path, tmp_path: Path, keys: tuple[str, ...], says: str):
    assert folder.exists()
    options = [text for key in keys for text in ("--key", key)]
    done = sigbox("init", "--data", tmp_path / "data", "--yes", *options)
    assert done.returncode in (2, 3, 4)
    assert says in done.stderr
    assert not (tmp_path / "data" / "sigbox.toml").exists()
