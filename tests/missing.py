# SPDX-License-Identifier: Apache-2.0
"""What a test needs and the machine does not have."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """The test cannot run: a skip; where CI is set a failure at once."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
