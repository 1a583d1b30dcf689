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
RULES = '\n[ca]\ncertificate_lifetime = "2m"\n[log]\nentry_types = ["hashedrekord"]\n'


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("ruled")
    data = folder / "data"
    assert sigbox("init", "--data", data).returncode == 0
    with (data / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write(RULES)
    with running_stack(folder, "--data", data, *request.param) as running:
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


def test_a_log_takes_the_kinds_that_the_settings_list_and_tells_a_client_so(stack: RunningStack, tmp_path: Path):
    (tmp_path / "file").write_text("a file\n")
    (tmp_path / "predicate.json").write_text("{}")
    common = ("--trust-config", stack.trust_config, "--rekor-version", "1", "--identity-token", stack.token(ALICE))
    done = sigbox("sign-blob", "file", *common, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    attest = ("attest-blob", "file", "--predicate", "predicate.json", "--type", "custom", "--bundle", "file.att.json")
    done = sigbox(*attest, *common, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "this log takes no entries of kind dsse" in done.stderr
    assert not (tmp_path / "file.att.json").exists()
