# SPDX-License-Identifier: Apache-2.0
"""Who reads what whom attached to an image: every client's signatures and attestations through every client, in both layouts, on
one stack and one registry. ``make matrix`` prints it below the table of bundles.

A cell holds when the reader accepts what the writer attached and, on the same path, refuses it for somebody else. What upstream
cannot do holds when upstream says so in its own words, so that it turns red on the day when it can.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from client.oci.http import HttpRegistry
from tests.interop.images import IMAGE_TOOLS, IMAGE_V2, IMAGE_V3, ROWS, ImageTool, Means, Row, make_keys
from tests.interop.matrix import show, table
from tests.interop.places import Place, refuse, succeed
from tests.platform_images import push_image
from tests.registries import RunningRegistry, docker_registry
from tests.stack_process import RunningStack, running_stack


@dataclass(frozen=True, slots=True)
class ImageLimit:
    """Something that upstream cannot write or read: it says so, and this is why."""

    tools: tuple[ImageTool, ...]
    writing: bool
    says: str
    why: str

    def is_about(self, row: Row, tool: ImageTool, *, writing: bool) -> bool:
        """All limits are about the layout of tags on Rekor v2."""
        on_v2 = row.layout == "tag" and row.means is Means.KEYLESS_V2
        return on_v2 and writing == self.writing and tool in self.tools


LIMITS = (
    ImageLimit(
        (IMAGE_V3, IMAGE_V2),
        writing=True,
        says="must provide --new-bundle-format",
        why="cosign writes the layout of tags with Rekor v1 alone: a signing config, and so Rekor v2, needs bundles",
    ),
    ImageLimit(
        (IMAGE_V3, IMAGE_V2),
        writing=False,
        says="no matching",
        why="cosign reads at a tag the promise (SET) of Rekor v1 and no proof; Rekor v2 promises nothing",
    ),
)


@dataclass(frozen=True, slots=True)
class ImageCell:
    """What one client attached, read by another or by itself."""

    writer: ImageTool
    row: Row
    reader: ImageTool

    def __str__(self) -> str:
        return f"{self.writer.name}, {self.row}, read by {self.reader.name}"

    def limit(self, *, writing: bool) -> ImageLimit | None:
        """Why upstream cannot do it."""
        tool = self.writer if writing else self.reader
        return next((one for one in LIMITS if one.is_about(self.row, tool, writing=writing)), None)

    @property
    def number(self) -> int:
        """Of the limit that counts, from 1; 0 for none."""
        found = self.limit(writing=True) or self.limit(writing=False)
        return LIMITS.index(found) + 1 if found else 0


CELLS = tuple(ImageCell(writer, row, reader) for writer in IMAGE_TOOLS for row in ROWS for reader in IMAGE_TOOLS)


@dataclass(slots=True)
class ImageMatrix:
    """A stack and a registry, with a folder for each client; each attaches each kind once, to an image of its own."""

    stack: RunningStack
    registry: RunningRegistry
    folder: Path
    _written: dict[tuple[str, Row], str | AssertionError] = field(default_factory=dict)

    def place(self, tool: ImageTool) -> Place:
        """The home of a client, beside the keys."""
        if not (self.folder / "own.key").exists():
            make_keys(self.folder)
        folder = self.folder / tool.name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        return Place(self.stack, folder)

    def image(self, name: str, content: str = "") -> str:
        """A fresh image, by its digest."""
        ref = self.registry.image(f"{name}:1")

        async def push() -> str:
            async with HttpRegistry(environment={}) as registry:
                return (await push_image(registry, ref, content or name)).digest

        return f"{ref.name}@{asyncio.run(push())}"

    def written(self, writer: ImageTool, row: Row) -> str:
        """The image that ``writer`` attached to; its failure is every reader's failure."""
        key = (writer.name, row)
        if key not in self._written:
            image = self.image(f"{row.slug}-by-{writer.name.replace(' ', '-').lower()}")
            try:
                done = writer.write(self.place(writer), image, row)
                limit = ImageCell(writer, row, writer).limit(writing=True)
                if limit is not None:
                    refuse(done, because=limit.says)
                else:
                    succeed(done)
                self._written[key] = image
            except AssertionError as error:
                self._written[key] = error
        written = self._written[key]
        if isinstance(written, AssertionError):
            raise AssertionError(f"not written: {written}") from written  # noqa: TRY004 - it is no type error
        return written

    def check(self, cell: ImageCell) -> None:
        """The cell holds.

        Raises:
            AssertionError: it does not, and what the client said.
            Missing: a client is not installed.
        """
        image = self.written(cell.writer, cell.row)
        if cell.limit(writing=True):
            return
        place = self.place(cell.reader)
        done = cell.reader.read(place, image, cell.row)
        if limit := cell.limit(writing=False):
            refuse(done, because=limit.says)
            return
        succeed(done)
        refuse(cell.reader.read(place, image, cell.row, right=False))


def main() -> int:
    """Print the table of images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "registry").mkdir()
        with running_stack(folder, "--ephemeral") as stack, docker_registry(folder / "registry") as registry:
            matrix, names = ImageMatrix(stack, registry, folder), [tool.name for tool in IMAGE_TOOLS]
            labelled = [
                (f"{writer.name}, {row}", [cell for cell in CELLS if (cell.writer, cell.row) == (writer, row)])
                for writer in IMAGE_TOOLS
                for row in ROWS
            ]
            return show(table(matrix, "attached by", names, labelled), len(CELLS), LIMITS)


if __name__ == "__main__":
    sys.exit(main())
