# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil

import pytest

from tests.missing import missing


@pytest.fixture(scope="session")
def openssl() -> str:
    """The openssl command: an implementation that shares no code with ours."""
    found = shutil.which("openssl")
    if found is None:
        missing("the openssl command is not installed")
    return found
