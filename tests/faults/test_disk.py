# SPDX-License-Identifier: Apache-2.0
"""The disk of the power-loss replay keeps what POSIX promises, and each thing that it may lose it does lose at some time."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.faults.disk import Disk
from tests.faults.recorder import Event


def event(kind: str, path: str, *, inode: int = 1, offset: int = 0, other: str = "", data: bytes = b"") -> Event:
    return Event(kind, inode, offset, path, other, data)


def outcomes(folder: Path, *events: Event, tries: int = 300) -> set[tuple[tuple[str, bytes], ...]]:
    """Every state, as sorted (path, content), that a power cut after ``events`` left in one of many tries."""
    disk, found = Disk(), set()
    for one in events:
        disk.apply(one)
    for number in range(tries):
        target = folder / str(number)
        disk.cut_power(target, Random(number))
        files = (path for path in target.rglob("*") if path.is_file())
        found.add(tuple(sorted((path.relative_to(target).as_posix(), path.read_bytes()) for path in files)))
    return found


NEW = event("C", "a")
SYNCED = (NEW, event("W", "a", data=b"old"), event("S", "a"), event("D", ""))


def test_what_is_synchronised_stays(tmp_path: Path):
    assert outcomes(tmp_path, *SYNCED) == {(("a", b"old"),)}


def test_a_name_needs_its_folder(tmp_path: Path):
    assert outcomes(tmp_path, *SYNCED[:3]) == {(), (("a", b"old"),)}


def test_a_later_write_is_there_or_not(tmp_path: Path):
    assert outcomes(tmp_path, *SYNCED, event("W", "a", data=b"new")) == {(("a", b"old"),), (("a", b"new"),)}


def test_a_long_write_is_torn_at_sectors(tmp_path: Path):
    written = event("W", "a", offset=500, data=b"x" * 600)
    contents = {state[0][1] for state in outcomes(tmp_path, *SYNCED, written)}
    assert b"old" in contents
    assert b"old".ljust(500, b"\0") + b"x" * 600 in contents
    assert b"old".ljust(500, b"\0") + b"x" * 12 in contents  # the first sector alone
    assert b"old".ljust(512, b"\0") + b"x" * 512 in contents  # the second alone


def test_writes_are_lost_one_by_one_and_not_in_their_order(tmp_path: Path):
    later = outcomes(tmp_path, *SYNCED, event("W", "a", data=b"1"), event("W", "a", offset=1, data=b"2"))
    assert {state[0][1] for state in later} == {b"old", b"1ld", b"o2d", b"12d"}


def test_a_truncation_is_there_or_not(tmp_path: Path):
    assert outcomes(tmp_path, *SYNCED, event("T", "a", offset=1)) == {(("a", b"old"),), (("a", b"o"),)}


def test_a_rename_is_whole_or_not_there(tmp_path: Path):
    temporary = (event("C", "t", inode=2), event("W", "t", inode=2, data=b"new"), event("S", "t", inode=2))
    states = outcomes(tmp_path, *SYNCED, *temporary, event("R", "t", other="a"))
    assert states == {(("a", b"old"),), (("a", b"old"), ("t", b"new")), (("a", b"new"),)}


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path):
    inside = (event("M", "f"), event("C", "f/b"), event("W", "f/b", data=b"x"), event("S", "f/b"), event("D", "f"))
    assert outcomes(tmp_path, *inside) == {(), (("f/b", b"x"),)}


def test_a_removed_file_may_come_back_and_its_inode_is_used_again(tmp_path: Path):
    again = (event("U", "a"), event("C", "b"), event("W", "b", data=b"2"), event("S", "b"))
    assert outcomes(tmp_path, *SYNCED, *again) == {(("a", b"old"),), (), (("b", b"2"),)}


def test_shared_memory_of_sqlite_is_gone(tmp_path: Path):
    assert outcomes(tmp_path, event("C", "x.db-shm"), event("S", "x.db-shm"), event("D", "")) == {()}


def test_what_cannot_be_followed_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="cannot follow mmap of a"):
        outcomes(tmp_path, NEW, event("X", "a", other="mmap"))
