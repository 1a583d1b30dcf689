# SPDX-License-Identifier: Apache-2.0
"""Who reads what whom wrote: every client's bundles through every client, on one stack. ``make matrix`` prints it.

A cell holds when the reader accepts the bundle and, on the same path, refuses it for another identity. What upstream itself
cannot do is not left out: the cell then holds when the reader refuses it with upstream's own words, so that it turns red
on the day when upstream can.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.interop.clients import Missing
from tests.interop.places import ALICE, MALLORY, Kind, Place, Signed, Tool, make_signed, refuse, succeed
from tests.interop.tools import JS, PYTHON, TOOLS
from tests.stack_process import RunningStack, running_stack

WRITERS = {Kind.INTOTO_V1: (JS,)}
"""Who writes a kind, where it is not everybody."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A cell that upstream cannot do: the reader says so, and this is why."""

    kind: Kind
    reader: Tool
    says: str
    why: str


LIMITS = (
    Limit(
        Kind.INTOTO_V1,
        PYTHON,
        says="Integrated time only supported for dsse/hashedrekord 0.0.1 types",
        why="sigstore-python takes no time from other entries than dsse and hashedrekord (its verify/verifier.py)",
    ),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one client wrote, read by another or by itself."""

    writer: Tool
    kind: Kind
    reader: Tool

    def __str__(self) -> str:
        return f"{self.writer.name}, {self.kind.label}, read by {self.reader.name}"

    @property
    def limit(self) -> Limit | None:
        """Why upstream cannot do it."""
        return next((it for it in LIMITS if it.kind is self.kind and it.reader is self.reader), None)

    @property
    def number(self) -> int:
        """Of the limit, from 1; 0 for none."""
        return LIMITS.index(self.limit) + 1 if self.limit else 0


def rows() -> Iterator[tuple[Tool, Kind]]:
    """What is written."""
    for writer in TOOLS:
        yield from ((writer, kind) for kind in Kind if writer in WRITERS.get(kind, TOOLS))


CELLS = tuple(Cell(writer, kind, reader) for writer, kind in rows() for reader in TOOLS)


@dataclass(slots=True)
class Matrix:
    """A stack with a folder for each client; each writes each kind once, when it is first asked for."""

    stack: RunningStack
    folder: Path
    _written: dict[tuple[str, Kind], Signed | AssertionError] = field(default_factory=dict)

    def place(self, tool: Tool) -> Place:
        """The home of a client."""
        folder = self.folder / tool.name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        return Place(self.stack, folder)

    def signed(self, writer: Tool, kind: Kind) -> Signed:
        """What ``writer`` wrote; its failure is every reader's failure."""
        key = (writer.name, kind)
        if key not in self._written:
            try:
                signed = make_signed(writer, self.place(writer), kind, f"{kind.name.lower()}.txt")
                signed.entry()
                self._written[key] = signed
            except AssertionError as error:
                self._written[key] = error
        written = self._written[key]
        if isinstance(written, AssertionError):
            raise AssertionError(f"not written: {written}") from written  # noqa: TRY004 - it is no type error
        return written

    def check(self, cell: Cell) -> None:
        """The cell holds.

        Raises:
            AssertionError: it does not, and what the client said.
            Missing: a client is not installed.
        """
        signed = self.signed(cell.writer, cell.kind).at(self.place(cell.reader))
        done = cell.reader.verify(signed, ALICE, self.stack.oidc_issuer)
        if cell.limit:
            refuse(done, because=cell.limit.says)
            return
        succeed(done)
        refuse(cell.reader.verify(signed, MALLORY, self.stack.oidc_issuer))


# --- the table ----------------------------------------------------------------------------------------
def mark(matrix: Any, cell: Any) -> tuple[str, str]:
    """What stands in the table, and what went wrong; of this matrix or that of images."""
    try:
        matrix.check(cell)
    except (AssertionError, Missing) as error:
        return "RED", f"{cell}: {error}"
    return (f"({cell.number})" if cell.number else "ok"), ""


def table(
    matrix: Any, title: str, names: Sequence[str], rows: Iterable[tuple[str, Sequence[Any]]]
) -> Iterator[tuple[str, list[str]]]:
    """Line by line as it is found, each with what went wrong in it; a row is its label and its cells."""
    rows = list(rows)
    left = max(map(len, (title, *(label for label, _ in rows))))
    yield f"{title.ljust(left)}  read by {'  '.join(names)}", []
    for label, cells in rows:
        found = [mark(matrix, cell) for cell in cells]
        marks = "  ".join(text.ljust(len(name)) for (text, _), name in zip(found, names, strict=True))
        yield f"{label.ljust(left)}          {marks}".rstrip(), [wrong for _, wrong in found if wrong]


def show(lines: Iterable[tuple[str, list[str]]], cells: int, limits: Sequence[Any]) -> int:
    """Print the table and what its marks mean; 1 if a cell is red."""
    began, wrong = time.monotonic(), []
    for line, found in lines:
        print(line, flush=True)
        wrong += found
    print("\nok: accepted, and refused for somebody else")
    for number, limit in enumerate(limits, 1):
        print(f"({number}): refused, upstream cannot do it: {limit.why}")
    print(f"{cells - len(wrong)} of {cells} cells hold, {time.monotonic() - began:.0f} s")
    for text in wrong:
        print(f"\nRED {text}", file=sys.stderr)
    return 1 if wrong else 0


def main() -> int:
    """Print the table of bundles."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), "--ephemeral") as stack:
        labelled = [
            (f"{writer.name}, {kind.label}", [cell for cell in CELLS if (cell.writer, cell.kind) == (writer, kind)])
            for writer, kind in rows()
        ]
        names = [tool.name for tool in TOOLS]
        return show(table(Matrix(stack, Path(folder)), "written by", names, labelled), len(CELLS), LIMITS)


if __name__ == "__main__":
    sys.exit(main())
