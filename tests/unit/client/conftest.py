# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.unit.client.minisig import MiniSigstore


@pytest.fixture(scope="session")
def sigstore() -> MiniSigstore:
    """An instance that tests add entries to and change nothing else of."""
    return MiniSigstore()
