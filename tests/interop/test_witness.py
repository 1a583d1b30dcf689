# SPDX-License-Identifier: Apache-2.0
"""The official clients sign on a log whose checkpoints carry cosignatures, and verify bundles with them: they pass over the lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import require
from tests.interop.places import ALICE, CONTENT, MALLORY, Kind, Place, make_signed, refuse, succeed
from tests.interop.tools import JS, PYTHON, SIGBOX, V3
from tests.until import wait_until
from tests.witness_pair import Side, carries, make_pair

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TOOLS = pytest.mark.parametrize("tool", [PYTHON, V3, JS, SIGBOX], ids=lambda tool: tool.name)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    sides = make_pair(tmp_path_factory.mktemp("pair"), quorum=1)
    try:
        for side in sides:
            side.start()
        wait_until(lambda: all(side.ready() == "ok" for side in sides))
        yield sides
    finally:
        for side in sides:
            side.stop()


@TOOLS
def test_a_client_takes_a_checkpoint_with_cosignatures(pair: tuple[Side, Side], tmp_path: Path, tool):
    """It signs, and every other one that is here verifies what it has written."""
    require(tool)
    first, second = pair
    place = Place(first.running(), tmp_path)
    signed = make_signed(tool, place, Kind.MESSAGE_V2)
    assert carries(signed.entry()["inclusionProof"]["checkpoint"]["envelope"], first, second)
    for reader in dict.fromkeys((tool, PYTHON, SIGBOX)):
        succeed(reader.verify(signed, ALICE, place.stack.oidc_issuer))
        refuse(reader.verify(signed, MALLORY, place.stack.oidc_issuer))
    signed.artifact.write_bytes(CONTENT + b".")
    refuse(tool.verify(signed, ALICE, place.stack.oidc_issuer))
