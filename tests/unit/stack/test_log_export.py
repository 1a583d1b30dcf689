# SPDX-License-Identifier: Apache-2.0
"""An export of a log: cut off anywhere, beside another one, and what a power cut leaves of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from client.logs.reader import SignedHead
from sigcore import merkle
from sigcore.checkpoint import Checkpoint, encode_checkpoint, parse_checkpoint
from sigcore.merkle import Frontier
from sigcore.tiles import WIDTH
from stack.log_export import CHECKPOINT, Exported, export
from tests.cutting import Durable, cut_at

FIRST, SECOND = 300, 600
CALLS = 400


def body(number: int) -> bytes:
    return b"entry %d" % number


def read(text: str) -> SignedHead:
    return SignedHead(parse_checkpoint(text), text)


class Growing:
    """A log of ``size`` entries; ``asked`` is called before each bundle."""

    def __init__(self, size: int, asked: Callable[[], object] = lambda: None) -> None:
        root = Frontier().extend(merkle.hash_leaf(body(number)) for number in range(size)).root()
        self.envelope = encode_checkpoint(Checkpoint("log.example", size, root))
        self.asked = asked

    async def head(self) -> SignedHead:
        return read(self.envelope)

    async def bodies(self, index: int, size: int) -> tuple[bytes, ...]:
        self.asked()
        return tuple(body(number) for number in range(index * WIDTH, min((index + 1) * WIDTH, size)))


def exported(folder: Path, source: Growing) -> Exported:
    return asyncio.run(export(source, folder, read, lambda _done, _total: None))


def check_whole(folder: Path) -> int:
    """Every tile that the checkpoint leads to is there; its size."""
    head = read((folder / CHECKPOINT).read_text())
    names = [f"tile/entries/{index:03}" for index in range(head.size // WIDTH)]
    names += [f"tile/0/{index:03}" for index in range(head.size // WIDTH)]
    if rest := head.size % WIDTH:
        names += [f"tile/{level}/{head.size // WIDTH:03}.p/{rest}" for level in ("0", "entries")]
    names.append(f"tile/1/000.p/{head.size // WIDTH}")
    for name in names:
        # The next complete one takes the place of a partial one that an older checkpoint leads to.
        assert (folder / name).exists() or (folder / name.partition(".p/")[0]).exists(), name
    return head.size


def test_f03_a_checkpoint_gets_its_name_when_every_tile_and_every_name_on_the_way_to_it_is_on_the_disk(
    tmp_path: Path, monkeypatch
):
    folder = tmp_path / "www"
    disk = Durable(monkeypatch, CHECKPOINT)
    for size in (FIRST, SECOND, SECOND + WIDTH * 2):
        exported(folder, Growing(size))
        assert disk.missing == []
        assert check_whole(folder) == size
        assert disk.in_memory(folder) == set()


def test_an_export_that_is_cut_off_at_any_call_leaves_a_whole_one_and_the_next_goes_on(tmp_path: Path, monkeypatch):
    sizes = []
    for number in range(0, CALLS, 3):
        folder, whole = tmp_path / str(number), False
        exported(folder, Growing(FIRST))
        with cut_at(monkeypatch, number):
            exported(folder, Growing(SECOND))
            whole = True
        sizes.append(check_whole(folder))
        exported(folder, Growing(SECOND))
        assert check_whole(folder) == SECOND
        assert not (folder / ".incoming").exists()
        assert not list(folder.glob(".checkpoint.*")), "of a process that was killed"
        if whole:
            break
    assert whole
    assert sizes == sorted(sizes)
    assert set(sizes) == {FIRST, SECOND}


def test_two_exports_at_once_take_turns(tmp_path: Path):
    folder, there = tmp_path / "www", threading.Event()
    later, done = Growing(SECOND), []

    class Second(Growing):
        async def head(self) -> SignedHead:
            there.set()
            return await super().head()

    second = threading.Thread(target=lambda: done.append(exported(folder, Second(SECOND))))

    def meanwhile() -> None:
        if second.ident is None:
            second.start()
        assert there.wait(60)

    first = exported(folder, Growing(FIRST, meanwhile))
    second.join(60)
    assert first.before is None
    (found,) = done
    assert found.before == first.head
    assert check_whole(folder) == SECOND
    assert exported(folder, later).files == 0
