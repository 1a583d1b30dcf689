# SPDX-License-Identifier: Apache-2.0
"""The official Python client over HTTPS with our own TLS authority: the printed lines are all that it needs.

Its OIDC, Fulcio, Rekor and timestamp requests go through requests (REQUESTS_CA_BUNDLE), those of TUF through urllib3
(SSL_CERT_FILE).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("https")
    with running_stack(folder, "--data", folder / "data", "--tls", "auto") as running:
        yield running


def printed(stack: RunningStack) -> dict[str, str]:
    """The variables of the lines that ``sigbox up`` prints."""
    text = stack.log.read_text("utf-8")
    return dict(re.findall(r"^export (SSL_CERT_FILE|REQUESTS_CA_BUNDLE)=(\S+)", text, re.MULTILINE))


def sigstore(folder: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """``sigstore`` with a home of its own and nothing else of our environment."""
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "sigstore", *map(str, arguments)],
        cwd=folder,
        env={**homes, "PATH": os.environ["PATH"], "NO_PROXY": "localhost,127.0.0.1", "COLUMNS": "200", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_over_tuf_it_signs_and_verifies(stack, tmp_path):
    trust, instance = printed(stack), ("--instance", stack.tuf_mirror)
    assert set(trust) == {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
    (tmp_path / "release.txt").write_bytes(b"content")
    policy = ("--cert-identity", ALICE, "--cert-oidc-issuer", stack.oidc_issuer)
    for step in (
        ("trust-instance", stack.tuf_root),
        ("sign", "--identity-token", stack.token(ALICE), "release.txt"),
        ("verify", "identity", *policy, "release.txt"),
    ):
        done = sigstore(tmp_path, *instance, *step, **trust)
        assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"
    bundle = (tmp_path / "release.txt.sigstore.json").read_text()
    assert bundle


def test_without_those_lines_it_trusts_nobody(stack, tmp_path):
    done = sigstore(tmp_path, "--instance", stack.tuf_mirror, "trust-instance", stack.tuf_root)
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout + done.stderr
