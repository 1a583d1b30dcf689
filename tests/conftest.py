# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.ci_skips"]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Third-party test vectors; they stay outside the repository. Their absence is a failure where CI is set."""
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "vectors"
    folder = Path(os.environ.get("SIGBOX_VECTORS", default))
    if not folder.is_dir():
        reason = "third-party vectors are absent; set SIGBOX_VECTORS to their folder"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
