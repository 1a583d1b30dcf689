# SPDX-License-Identifier: Apache-2.0
"""Rules for one role in the settings file, as clients of a running stack meet them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.stack_process import RunningStack, running_stack, sigbox

ALICE = "alice@example.com"
RULES = '\n[ca]\ncertificate_lifetime = "2m"\n'


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("ruled")
    data = folder / "data"
    assert sigbox("init", "--data", data).returncode == 0
    with (data / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write(RULES)
    with running_stack(folder, "--data", data) as running:
        yield running


def test_certificates_are_good_for_as_long_as_the_settings_say_and_signatures_with_them_verify(
    stack: RunningStack, tmp_path: Path
):
    (tmp_path / "file").write_text("a file\n")
    trust = ("--trust-config", stack.trust_config)
    done = sigbox(
        "sign-blob",
        "file",
        *trust,
        "--output-certificate",
        "leaf.pem",
        "--identity-token",
        stack.token(ALICE),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    dates = subprocess.run(
        ["openssl", "x509", "-in", "leaf.pem", "-noout", "-startdate", "-enddate", "-dateopt", "iso_8601"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    start, end = (datetime.fromisoformat(line.partition("=")[2]) for line in dates.splitlines())
    assert end - start == timedelta(minutes=2)
    policy = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    done = sigbox("verify-blob", "file", *trust, *policy, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
