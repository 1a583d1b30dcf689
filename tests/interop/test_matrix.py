# SPDX-License-Identifier: Apache-2.0
"""Every client's bundles through every client; and what each reader must refuse, on its own bundles.

``make matrix`` prints the same cells as a table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.conftest import require
from tests.interop.matrix import CELLS, Cell, Matrix, rows
from tests.interop.places import ALICE, CONTENT, Kind, Place, Tool, refuse, succeed
from tests.interop.tools import JS
from tests.stack_process import RunningStack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

OWN = [pytest.param(tool, kind, id=f"{tool.name}, {kind.label}") for tool, kind in rows()]
READS_THE_FILE = [row for row in OWN if not (row.values[0] is JS and row.values[1].dsse)]
"""sigstore-js looks at an attestation, never at the file that it is about."""


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_bundle_is_read(matrix: Matrix, cell: Cell):
    require(cell.writer, cell.reader)
    matrix.check(cell)


@pytest.mark.parametrize(("tool", "kind"), READS_THE_FILE)
def test_a_changed_byte_is_refused(matrix: Matrix, tool: Tool, kind: Kind, tmp_path: Path):
    require(tool)
    changed = matrix.signed(tool, kind).beside(bytes([CONTENT[0] ^ 1]) + CONTENT[1:], tmp_path)
    refuse(tool.verify(changed, ALICE, matrix.stack.oidc_issuer))


@pytest.mark.parametrize(("tool", "kind"), READS_THE_FILE)
def test_an_unchanged_copy_is_not_refused(matrix: Matrix, tool: Tool, kind: Kind, tmp_path: Path):
    """What the refusals above are measured against: the same path with the right bytes."""
    require(tool)
    copy = matrix.signed(tool, kind).beside(CONTENT, tmp_path)
    succeed(tool.verify(copy, ALICE, matrix.stack.oidc_issuer))


@pytest.mark.parametrize(("tool", "kind"), OWN)
def test_another_issuer_is_refused(matrix: Matrix, tool: Tool, kind: Kind):
    require(tool)
    refuse(tool.verify(matrix.signed(tool, kind), ALICE, f"{matrix.stack.oidc_issuer}/"))


@pytest.mark.parametrize(("tool", "kind"), OWN)
def test_a_bundle_of_another_stack_is_refused(
    matrix: Matrix, stranger: RunningStack, tool: Tool, kind: Kind, tmp_path: Path
):
    require(tool)
    there = matrix.signed(tool, kind).at(Place(stranger, tmp_path))
    refuse(tool.verify(there, ALICE, matrix.stack.oidc_issuer))
