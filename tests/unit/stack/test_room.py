# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from types import SimpleNamespace

from stack import room
from stack.room import LOOK_S, SPARE, Room, watch_room
from stack.shards import Shard


def test_what_is_kept_free_is_said_and_looked_at_now_and_then(tmp_path, monkeypatch):
    free, flags, now, looks = SPARE, 0, 100.0, 0

    def statvfs(_folder):
        nonlocal looks
        looks += 1
        return SimpleNamespace(f_bavail=free, f_frsize=1, f_flag=flags)

    monkeypatch.setattr(room, "os", SimpleNamespace(statvfs=statvfs, ST_RDONLY=os.ST_RDONLY))
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
    flags, now = os.ST_RDONLY | os.ST_NODEV, now + LOOK_S
    assert full() == "the file system is read-only"


def test_a_disk_that_cannot_be_asked_is_not_full(tmp_path):
    assert Room(tmp_path / "none")() == ""
    disk = os.statvfs(tmp_path)
    assert (Room(tmp_path)() == "") == (disk.f_bavail * disk.f_frsize >= SPARE)


def test_every_tree_of_a_log_looks_at_the_disk_that_it_lies_on_also_one_that_comes_later(tmp_path, monkeypatch):
    """F04: after a rotation it is the newest tree that takes the entries, in a folder of its own."""
    asked = []
    monkeypatch.setattr(
        room, "os", SimpleNamespace(statvfs=lambda folder: asked.append(folder) or os.statvfs(tmp_path), ST_RDONLY=1)
    )
    heard = {}

    def log(name, *, shared=False):
        return SimpleNamespace(heed=lambda full: heard.update({name: full}), shared=shared)

    trees = SimpleNamespace(arrivals=[])
    logs = {name: log(name) for name in ("ct", "rekor", "rekor-2", "rekor-v1")}
    watch_room(tmp_path, logs | {"rekor-3": log("rekor-3", shared=True)}, (trees,))
    for told in trees.arrivals:
        told(Shard("ct", 2), log("ct-2"))
    for full in heard.values():
        full()
    assert asked == [tmp_path / place for place in ("ct", "rekor", "rekor/2", "rekor-v1", "anchor", "ct/2")]
