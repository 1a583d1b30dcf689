# SPDX-License-Identifier: Apache-2.0
"""What a test needs and the machine does not have."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """For tests that start ``program``, which Debian has in ``package``; `make test` installs it where it may."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is absent; on Debian: apt-get install {package}"
    )


def missing(reason: str) -> NoReturn:
    """The test cannot run: a skip; where CI is set a failure at once."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
