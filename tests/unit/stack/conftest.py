# SPDX-License-Identifier: Apache-2.0
"""A stack that ``sigbox init`` made, once for all tests, and copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stack.cli import main
from stack.config import Home
from stack.generations import LOGS


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its data directory, to be read only."""
    data = tmp_path_factory.mktemp("made") / "data"
    assert main(["init", "--data", str(data), "--yes"]) == 0
    return data


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    """A copy, for one test."""
    return Home(shutil.copytree(template, tmp_path / "data"))


@pytest.fixture
def served(template: Path, tmp_path: Path) -> Home:
    """A copy that was served once, as far as a rotation can see."""
    home = Home(shutil.copytree(template, tmp_path / "data"))
    for log in LOGS:
        (home.path / log / "log.db").touch()
    return home
