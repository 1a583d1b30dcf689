# SPDX-License-Identifier: Apache-2.0
"""The lines of `sigbox env` are true: typed one after the other, they trust, sign and verify, and refuse a changed file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client_lines import Shell, follow
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


def test_the_lines_for_our_own_client(stack, tmp_path):
    assert len(follow(stack, "sigbox", Shell(tmp_path))) == 2


def test_the_lines_for_sigstore_python(stack, tmp_path):
    shell = Shell(tmp_path, Path(sys.executable).parent, NO_COLOR="1")
    lines = follow(stack, "sigstore-python", shell)
    assert any("trust-instance" in line for line in lines)
    assert any("--rekor-version 1" in line for line in lines)
