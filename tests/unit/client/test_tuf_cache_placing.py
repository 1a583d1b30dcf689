# SPDX-License-Identifier: Apache-2.0
"""How a TUF cache takes the place of another one: cut off at each call, and in turns."""

from __future__ import annotations

import threading
from pathlib import Path

from client import tuf_mirror
from tests.cutting import cut_at

CALLS = 60


def cache(folder: Path, content: str) -> Path:
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "root.json").write_text(content)
    return folder


def said(folder: Path) -> str:
    return (folder / "metadata" / "root.json").read_text()


def test_one_that_is_cut_off_at_any_call_leaves_the_old_one_or_the_new_or_what_the_next_one_puts_back(
    tmp_path: Path, monkeypatch
):
    found = []
    for number in range(CALLS):
        place, whole = tmp_path / str(number), False
        target, fresh = cache(place / "tuf", "old"), cache(place / ".tuf-1", "new")
        with cut_at(monkeypatch, number):
            tuf_mirror._put_in_place(fresh, target)
            whole = True
        found.append(said(target) if target.exists() else "between")
        tuf_mirror._put_back(target)
        assert said(target) == {"between": "old"}.get(found[-1], found[-1])
        tuf_mirror._put_in_place(cache(place / ".tuf-2", "newer"), target)
        assert said(target) == "newer"
        assert not (place / "tuf.replaced").exists()
        if whole:
            break
    assert whole
    assert list(dict.fromkeys(found)) == ["old", "between", "new"]


def test_many_at_once_take_turns(tmp_path: Path):
    target, failed = tmp_path / "tuf", []

    def put(number: int) -> None:
        try:
            tuf_mirror._put_in_place(cache(tmp_path / f".tuf-{number}", str(number)), target)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert said(target).isdigit()
    assert [path.name for path in tmp_path.iterdir()] == ["tuf"]
