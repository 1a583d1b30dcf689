# SPDX-License-Identifier: Apache-2.0
"""Every client's signatures and attestations of images through every client, in both layouts; and what each reader must refuse.

``make matrix`` prints the same cells as a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.interop.conftest import require
from tests.interop.image_matrix import CELLS, LIMITS, ImageCell, ImageMatrix
from tests.interop.images import IMAGE_SIGBOX, IMAGE_TOOLS, IMAGE_V3, ROWS, ImageTool, Means, Row
from tests.interop.matrix import mark
from tests.interop.places import Done, refuse, succeed
from tests.registries import docker_registry
from tests.stack_process import running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SIGNED = [Row(attestation=False, layout=layout, means=Means.KEYLESS_V1) for layout in ("tag", "referrers")]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageMatrix]:
    """What every client attached, on a stack and a registry of its own."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "registry").mkdir()
    with running_stack(folder, "--ephemeral") as stack, docker_registry(folder / "registry") as registry:
        yield ImageMatrix(stack, registry, folder)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_is_attached_is_read(images: ImageMatrix, cell: ImageCell):
    require(cell.writer, cell.reader)
    images.check(cell)


@pytest.mark.parametrize("row", SIGNED, ids=str)
@pytest.mark.parametrize("reader", IMAGE_TOOLS, ids=lambda tool: tool.name)
def test_another_image_has_no_signature(images: ImageMatrix, reader: ImageTool, row: Row):
    require(reader)
    other = images.image("unsigned", f"{reader.name} {row}")
    refuse(reader.read(images.place(reader), other, row))


@pytest.mark.parametrize("row", SIGNED, ids=str)
@pytest.mark.parametrize("writer", [IMAGE_V3, IMAGE_SIGBOX], ids=lambda tool: tool.name)
def test_the_claims_are_printed_in_the_same_shape(images: ImageMatrix, writer: ImageTool, row: Row):
    """What ``cosign verify`` prints for our signature is what it prints for its own, and ours prints the same."""
    require(IMAGE_V3)
    image = images.written(writer, row)
    printed = [
        IMAGE_V3.read(images.place(IMAGE_V3), image, row),
        IMAGE_SIGBOX.read(images.place(IMAGE_SIGBOX), image, row),
    ]
    (theirs,), (ours,) = map(claims, printed)
    assert theirs["critical"] == ours["critical"]
    assert set(theirs) == set(ours) == {"critical", "optional"}
    assert ours["critical"]["image"]["docker-manifest-digest"] == image.partition("@")[2]
    if row.layout == "tag":
        assert set(ours["optional"]) - {"RFC3161Timestamp"} == set(theirs["optional"]) - {"RFC3161Timestamp"}
        assert {name: theirs["optional"][name] for name in ("Issuer", "Subject", "Bundle")} == {
            name: ours["optional"][name] for name in ("Issuer", "Subject", "Bundle")
        }


def claims(done: Done) -> list[dict]:
    succeed(done)
    return json.loads(done.stdout)


# --- the table can be red ----------------------------------------------------------------------------------
class Actor:
    """A reader that ends as it is told: for the right signer, for another one."""

    def __init__(self, right: int, other: int, name: str = "actor") -> None:
        self.ends, self.name = {True: right, False: other}, name

    def require(self) -> None: ...

    def write(self, *_what: object) -> Done:
        return Done(["sign"], 3, "", "the pen is dry")

    def read(self, _place: object, _image: str, _row: Row, *, right: bool = True) -> Done:
        return Done(["verify"], self.ends[right], "", "because")


@pytest.fixture
def acted(images: ImageMatrix, monkeypatch: pytest.MonkeyPatch) -> ImageMatrix:
    """A matrix where everything is written already by the actor."""
    made = ImageMatrix(images.stack, images.registry, images.folder)
    monkeypatch.setattr(ImageMatrix, "place", lambda *_: None)
    monkeypatch.setattr(ImageMatrix, "image", lambda *_: "image")
    for row in ROWS:
        made._written["actor", row] = "image"
    return made


@pytest.mark.parametrize(
    ("ends", "shown"),
    [((0, 1), "ok"), ((1, 1), "RED"), ((0, 0), "RED"), ((0, -9), "RED")],
    ids=["as it should", "refuses the signer", "takes anybody", "is killed"],
)
def test_a_cell_is_green_only_if_the_reader_takes_the_signer_and_nobody_else(
    acted: ImageMatrix, ends: tuple[int, int], shown: str
):
    text, wrong = mark(acted, ImageCell(Actor(0, 1), SIGNED[0], Actor(*ends)))
    assert (text, bool(wrong)) == (shown, shown == "RED")


def test_what_could_not_be_attached_is_red_for_every_reader(acted: ImageMatrix):
    text, wrong = mark(acted, ImageCell(Actor(0, 1, "another"), SIGNED[0], Actor(0, 1)))
    assert text == "RED"
    assert "the pen is dry" in wrong


def test_a_limit_of_upstream_that_is_gone_is_red(acted: ImageMatrix, monkeypatch: pytest.MonkeyPatch):
    reader = Actor(0, 1)
    monkeypatch.setattr("tests.interop.image_matrix.LIMITS", [_about(limit, reader) for limit in LIMITS])
    row = Row(attestation=False, layout="tag", means=Means.KEYLESS_V2)
    assert mark(acted, ImageCell(Actor(0, 1), row, reader))[0] == "RED"


def _about(limit, tool):
    return type(limit)((tool,), limit.writing, limit.says, limit.why)
