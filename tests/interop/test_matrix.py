# SPDX-License-Identifier: Apache-2.0
"""Every client's bundles through every client; and what each reader must refuse, on its own bundles.

``make matrix`` prints the same cells as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.interop import matrix as printed
from tests.interop.clients import Missing
from tests.interop.conftest import require
from tests.interop.matrix import CELLS, LIMITS, Cell, Matrix, mark, rows
from tests.interop.places import ALICE, CONTENT, MALLORY, Done, Kind, Place, Signed, Tool, refuse, succeed
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


# --- the table can be red ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Actor:
    """A reader that ends as it is told: for Alice, for Mallory."""

    ends: tuple[int, int] = (0, 1)
    name: str = "actor"

    def require(self) -> None: ...

    def sign(self, *_what: object) -> Done:
        return Done(["sign"], 3, "", "the pen is dry")

    def verify(self, _signed: Signed, identity: str, _issuer: str) -> Done:
        return Done(["verify"], self.ends[identity == MALLORY], "", "because")


class Absent(Actor):
    def verify(self, *_what: object) -> Done:
        raise Missing("absent is not installed")


@pytest.fixture
def acted(tmp_path: Path) -> Matrix:
    """A matrix without a stack, where a bundle is written already."""
    matrix = Matrix(SimpleNamespace(oidc_issuer="issuer"), tmp_path)
    place = matrix.place(Actor())
    for kind in (Kind.MESSAGE_V1, Kind.INTOTO_V1):
        matrix._written["actor", kind] = Signed(place, tmp_path / "file", tmp_path / "bundle", kind)
    return matrix


@pytest.mark.parametrize(
    ("reader", "shown"),
    [
        (Actor(), "ok"),
        (Actor((1, 1)), "RED"),
        (Actor((0, 0)), "RED"),
        (Actor((0, -9)), "RED"),
        (Absent(), "RED"),
    ],
    ids=["as it should", "refuses the signer", "takes anybody", "is killed", "is not there"],
)
def test_a_cell_is_green_only_if_the_reader_takes_the_signer_and_nobody_else(acted: Matrix, reader: Tool, shown: str):
    text, wrong = mark(acted, Cell(Actor(), Kind.MESSAGE_V1, reader))
    assert (text, bool(wrong)) == (shown, shown == "RED")


def test_what_could_not_be_written_is_red_for_every_reader(acted: Matrix):
    text, wrong = mark(acted, Cell(Actor(), Kind.MESSAGE_V2, Actor()))
    assert text == "RED"
    assert "not written" in wrong
    assert "the pen is dry" in wrong


def test_a_limit_of_upstream_that_is_gone_is_red(acted: Matrix, monkeypatch: pytest.MonkeyPatch):
    reader = Actor((0, 1))
    monkeypatch.setattr(printed, "LIMITS", (printed.Limit(Kind.INTOTO_V1, reader, says="because", why="it was so"),))
    assert mark(acted, Cell(Actor(), Kind.INTOTO_V1, reader))[0] == "RED"


def test_a_red_cell_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    @contextmanager
    def no_stack(folder: Path, *options: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(oidc_issuer="issuer")

    monkeypatch.setattr(printed, "running_stack", no_stack)
    monkeypatch.setattr(printed, "TOOLS", (Actor(),))
    monkeypatch.setattr(printed, "CELLS", (Cell(Actor(), Kind.MESSAGE_V1, Actor()),))
    monkeypatch.setattr(printed, "rows", lambda: [(Actor(), Kind.MESSAGE_V1)])
    assert printed.main() == 1
    output = capsys.readouterr()
    assert "0 of 1 cells hold" in output.out
    assert "the pen is dry" in output.err
    assert len(LIMITS) == output.out.count("upstream cannot do it")
