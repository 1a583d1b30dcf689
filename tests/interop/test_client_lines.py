# SPDX-License-Identifier: Apache-2.0
"""The lines of `sigbox env` are true: typed one after the other, they trust, sign and verify, and refuse a changed file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client_lines import Shell, follow
from tests.stack_process import RunningStack, running_stack
from tests.test_readme import block_after

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


def test_the_lines_for_our_own_client(stack, tmp_path):
    assert len(follow(stack, "sigbox", Shell(tmp_path))) == 5


def test_the_lines_for_sigstore_python(stack, tmp_path):
    shell = Shell(tmp_path, Path(sys.executable).parent, NO_COLOR="1")
    lines = follow(stack, "sigstore-python", shell)
    assert any("trust-instance" in line for line in lines)
    assert any("--rekor-version 1" in line for line in lines)


def test_the_lines_of_the_readme(stack, tmp_path):
    """As a newcomer types them, in one shell; only the address and the data directory are those of the test."""
    shell = Shell(tmp_path, Path(sys.executable).parent, NO_COLOR="1", SIGBOX_DATA=str(stack.data))
    blocks = [block_after("In another terminal"), block_after("\n**sigbox**"), block_after("\n**sigstore-python**")]
    lines = [line for block in blocks for line in block if "export PATH" not in line]
    script = "\n".join(lines).replace("http://localhost:7780", stack.url).replace("sigbox-data", str(stack.data))
    removed = "rm FILE.sigstore.json\nsigstore --instance"
    printed = shell.succeed(removed.join(script.split("sigstore --instance", 1)))
    assert "Verified OK release.txt: alice@example.com" in printed
    assert "OK: release.txt" in printed
