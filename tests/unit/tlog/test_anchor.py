# SPDX-License-Identifier: Apache-2.0
"""The anchor in a file: one of two records is always whole, nobody else may have written, former anchors are carried over."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from sigcore.errors import Refused, Unavailable
from tests.faults.former_anchors import write_former
from tlog import anchor_file
from tlog.anchor import Anchored
from tlog.anchor_file import FileAnchor, load_anchored

SLOT, SECTOR = 4096, 512


def at(size: int) -> Anchored:
    return Anchored(size, bytes([size % 256]) * 32, f"log.example\n{size}\n\n\N{EM DASH} log.example {'A' * size}\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rekor.checkpoint"


async def opened(path: Path) -> FileAnchor:
    anchor = FileAnchor(path)
    await anchor.open()
    return anchor


async def reached(path: Path, size: int) -> FileAnchor:
    """An open anchor that was moved through all sizes up to ``size``."""
    anchor, previous = await opened(path), None
    for number in range(1, size + 1):
        await anchor.advance(previous, at(number))
        previous = at(number)
    return anchor


def make_former(path: Path, anchored: Anchored | None) -> Path:
    """The anchor as earlier versions kept it."""
    former = path.with_suffix(".db")
    write_former(former, anchored)
    return former


async def test_what_was_recorded_last_is_there_after_it_was_opened_again(path):
    for size in (1, 2, 3, 200):
        anchor = await reached(path, size)
        assert await anchor.read() == load_anchored(path) == at(size)
        await anchor.close()
        anchor = await opened(path)
        assert await anchor.read() == at(size)
        await anchor.close()
        assert path.stat().st_mode & 0o777 == 0o600
        path.unlink()


async def test_nothing_recorded_leaves_no_file(path):
    anchor = await opened(path)
    assert await anchor.read() is None
    assert load_anchored(path) is None
    with pytest.raises(Refused, match="not at size 3 any more"):
        await anchor.advance(at(3), at(4))
    assert list(path.parent.iterdir()) == []


async def test_a_write_that_is_cut_at_any_sectors_leaves_the_record_before_it(path):
    await (await reached(path, 4)).close()
    before = path.read_bytes()
    await (await reached_from(path, 4)).close()
    after = path.read_bytes()
    changed = [
        start for start in range(0, 2 * SLOT, SECTOR) if before[start : start + SECTOR] != after[start : start + SECTOR]
    ]
    assert len({start // SLOT for start in changed}) == 1
    for written in product((False, True), repeat=len(changed)):
        content = bytearray(before)
        for start, there in zip(changed, written, strict=True):
            if there:
                content[start : start + SECTOR] = after[start : start + SECTOR]
        path.write_bytes(content)
        expected = at(5) if all(written) else at(4)
        assert load_anchored(path) == expected
        anchor = await opened(path)
        await anchor.advance(expected, at(6))
        await anchor.close()
        assert load_anchored(path) == at(6)


async def reached_from(path: Path, size: int) -> FileAnchor:
    anchor = await opened(path)
    await anchor.advance(at(size), at(size + 1))
    return anchor


@pytest.mark.parametrize("content", [b"", bytes(2 * SLOT), b"x" * 2 * SLOT], ids=["empty", "zeros", "nonsense"])
async def test_a_file_without_a_whole_record_is_damage_and_not_a_beginning(path, content):
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="is damaged"):
        await FileAnchor(path).open()
    with pytest.raises(Unavailable, match="is damaged"):
        load_anchored(path)
    assert path.read_bytes() == content


async def test_every_changed_byte_of_a_lone_record_is_noticed(path):
    await (await reached(path, 1)).close()
    whole = path.read_bytes()
    for place in (*range(200), SLOT - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Unavailable, match="is damaged"):
            load_anchored(path)


async def test_two_who_move_the_same_anchor_do_not_both_succeed(path):
    first, second = await opened(path), await opened(path)
    await first.advance(None, at(1))
    with pytest.raises(Refused, match="another process signs"):
        await second.advance(None, at(2))
    third = await opened(path)
    await first.advance(at(1), at(2))
    with pytest.raises(Refused, match="another process signs"):
        await third.advance(at(1), at(3))
    assert load_anchored(path) == at(2)


async def test_after_a_failed_synchronisation_it_is_closed_and_the_next_owner_writes_it_again(path, monkeypatch):
    anchor = await reached(path, 2)

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(anchor_file, "_synchronise", fail)
        with pytest.raises(Unavailable, match="Input/output error"):
            await anchor.advance(at(2), at(3))
        with pytest.raises(Unavailable, match="not open"):
            await anchor.advance(at(2), at(3))
        await anchor.close()
        with pytest.raises(Unavailable, match="Input/output error"):
            await anchor.open()  # nothing is believed that cannot be made durable
    synchronised = []
    monkeypatch.setattr(anchor_file, "_synchronise", synchronised.append)
    await anchor.close()
    await anchor.open()
    assert len(synchronised) == 1
    assert await anchor.read() == at(3)


async def test_a_checkpoint_without_room_is_refused_and_nothing_is_changed(path):
    anchor = await reached(path, 1)
    with pytest.raises(Unavailable, match="has room for"):
        await anchor.advance(at(1), at(5000))
    assert load_anchored(path) == at(1)


# --- the anchors of earlier versions -------------------------------------------------------------------
async def test_a_former_anchor_is_carried_over_once(path):
    former = make_former(path, at(7))
    assert load_anchored(path) == at(7)
    assert former.exists()
    anchor = await opened(path)
    assert await anchor.read() == at(7)
    assert load_anchored(path) == at(7)
    assert not list(path.parent.glob("rekor.db*"))
    await anchor.advance(at(7), at(8))
    await anchor.close()
    assert await (await opened(path)).read() == at(8)


async def test_what_a_killed_process_left_in_the_former_write_ahead_log_counts(path, tmp_path):
    former = make_former(tmp_path / "live.checkpoint", at(7))
    with closing(sqlite3.connect(former, isolation_level=None)) as connection:
        connection.execute("UPDATE anchor SET size = 8, root = ?, checkpoint = ?", (at(8).root, at(8).checkpoint))
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{former}{suffix}", f"{path.with_suffix('.db')}{suffix}")
    assert load_anchored(path) == at(8)
    assert await (await opened(path)).read() == at(8)
    assert not list(path.parent.glob("rekor.db*"))


async def test_a_former_anchor_without_a_record_is_removed(path):
    make_former(path, None)
    anchor = await opened(path)
    assert await anchor.read() is None
    assert not list(path.parent.glob("rekor.*"))


async def test_a_former_anchor_that_was_cut_while_it_was_made_holds_nothing(path):
    path.with_suffix(".db").touch()
    assert load_anchored(path) is None
    anchor = FileAnchor(path)
    await anchor.open()
    assert await anchor.read() is None
    await anchor.close()
    assert not path.with_suffix(".db").exists()


@pytest.mark.parametrize("former", [1, 3, 9])
async def test_of_two_anchors_the_further_one_counts(path, former):
    await (await reached(path, 3)).close()
    make_former(path, at(former))
    assert load_anchored(path) == at(max(3, former))
    anchor = await opened(path)
    assert await anchor.read() == at(max(3, former))
    assert not list(path.parent.glob("rekor.db*"))


async def test_a_former_anchor_that_cannot_be_read_stops_the_log(path):
    path.with_suffix(".db").write_bytes(b"no database at all, and not a short one either" * 100)
    with pytest.raises(Unavailable, match="the anchor failed"):
        await FileAnchor(path).open()
    assert path.with_suffix(".db").exists()


async def test_a_log_behind_its_former_anchor_is_refused(disk, entry):
    log = await disk.open()
    for number in range(3):
        await log.submit(entry(number))
    await log.stop()
    disk.logs.remove(log)
    file = disk.folder / "anchor.checkpoint"
    ahead = load_anchored(file)
    file.unlink()
    make_former(file, Anchored(ahead.size + 1, ahead.root, ahead.checkpoint))
    with pytest.raises(Refused, match="has 3 entries, but a checkpoint of 4 has been published"):
        await disk.open()
    assert load_anchored(file).size == 4


async def test_it_is_not_closed_under_a_write_whose_caller_has_gone(path, monkeypatch):
    """The descriptor could be another file's by then, and the record be written into that."""
    anchor, synchronise = await reached(path, 1), anchor_file._synchronise
    writing, may_end, files = threading.Event(), threading.Event(), []

    def slow(descriptor: int) -> None:
        writing.set()
        assert may_end.wait(30)
        files.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        synchronise(descriptor)

    monkeypatch.setattr(anchor_file, "_synchronise", slow)
    advancing = asyncio.create_task(anchor.advance(at(1), at(2)))
    assert await asyncio.to_thread(writing.wait, 30)
    advancing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await advancing
    closing_it = asyncio.create_task(anchor.close())
    await asyncio.wait({closing_it}, timeout=0.2)
    may_end.set()
    await closing_it
    assert files == [str(path)]
    assert load_anchored(path) == at(2)
