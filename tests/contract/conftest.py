# SPDX-License-Identifier: Apache-2.0
"""What the tests of commands against a running stack begin with, where they need nothing special of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack_process import RunningStack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that lasts, for the tests of one module."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, "--data", folder / "data") as running:
        yield running
