# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from types import SimpleNamespace

from stack import room
from stack.room import LOOK_S, SPARE, Room


def test_what_is_kept_free_is_said_and_looked_at_now_and_then(tmp_path, monkeypatch):
    free, now, looks = SPARE, 100.0, 0

    def statvfs(_folder):
        nonlocal looks
        looks += 1
        return SimpleNamespace(f_bavail=free, f_frsize=1)

    monkeypatch.setattr(room, "os", SimpleNamespace(statvfs=statvfs))
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: now))
    full = Room(tmp_path)
    assert full() == ""
    free = SPARE - 1
    assert full() == ""
    assert looks == 1
    now += LOOK_S
    assert full() == "the disk is full: 15 MiB are free, 16 are kept"
    free, now = SPARE, now + LOOK_S
    assert full() == ""


def test_a_disk_that_cannot_be_asked_is_not_full(tmp_path):
    assert Room(tmp_path / "none")() == ""
    disk = os.statvfs(tmp_path)
    assert (Room(tmp_path)() == "") == (disk.f_bavail * disk.f_frsize >= SPARE)
