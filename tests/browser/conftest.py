# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module; each takes a fresh profile from it.

    Not for the session: as long as Playwright runs, no other event loop can, and later tests have theirs.
    """
    with chromium() as running:
        yield running
