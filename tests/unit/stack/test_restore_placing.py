# SPDX-License-Identifier: Apache-2.0
"""How a restored folder comes to its place: cut off at each call, twice, beside other processes, through links."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigcore.errors import NotFound, Refused
from stack import bootstrap
from stack.backup import placing
from stack.config import Home, load_settings
from tests.cutting import cut_at

NEW = "restored"
CALLS = 40


def place(folder: Path, content: str) -> Path:
    """``data`` as it is before: not there, empty, or with anchors."""
    target = folder / "data"
    if content != "none":
        target.mkdir(parents=True)
    if content == "anchors":
        (target / "anchor").mkdir()
        (target / "anchor" / "rekor.checkpoint").write_text("old")
    return target


def restored(target: Path) -> None:
    with placing.reserved(target) as working:
        placing.settle(target)
        (working / "sigbox.toml").write_text(NEW)
        (working / "anchor").mkdir()
        placing.put_in_place(working, target)


def is_new(target: Path) -> bool:
    return (target / "sigbox.toml").exists()


def holds(target: Path, content: str) -> bool:
    """Whether the place is as it was made."""
    if content == "none":
        return not target.exists()
    if content == "empty":
        return target.is_dir() and not any(target.iterdir())
    return target.exists() and [path.name for path in target.iterdir()] == ["anchor"] and kept(target / "anchor")


def kept(anchor: Path) -> bool:
    return (anchor / "rekor.checkpoint").read_text() == "old"


@pytest.mark.parametrize("content", ["none", "empty", "anchors"])
def test_a_restore_that_is_cut_off_at_any_call_leaves_the_old_place_or_the_new_or_what_the_next_restore_settles(
    tmp_path: Path, monkeypatch, content: str
):
    outcomes = []
    for number in range(CALLS):
        target, whole = place(tmp_path / str(number), content), False
        target.parent.mkdir(exist_ok=True)
        with cut_at(monkeypatch, number) as done:
            restored(target)
            whole = True
        left = target.with_name("data.restoring")
        if not is_new(target) and not holds(target, content):
            # Between the renames: nothing may be taken for a place without a past.
            assert content == "anchors"
            outcomes.append("between")
            with pytest.raises(NotFound, match="was cut off"):
                load_settings(Home(target))
            with pytest.raises(NotFound, match="was cut off"):
                bootstrap.refuse_foreign(Home(target))
        else:
            outcomes.append("new" if is_new(target) else "old")
        if left.exists():
            with pytest.raises(Refused, match="left of a restore that was cut off"), placing.reserved(target):
                pass
            for path in sorted(left.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            left.rmdir()
        if not is_new(target):
            assert holds(target, content), done
            restored(target)
        placing.settle(target)
        assert (target / "sigbox.toml").read_text() == NEW
        if content == "anchors":
            assert kept(target.with_name("data.before-restore") / "anchor")
        assert not target.with_name("data.replaced").exists()
        assert not left.exists()
        if whole:
            break
    assert whole
    order = ["old", "between", "new"]
    assert outcomes == sorted(outcomes, key=order.index), outcomes
    assert ("between" in outcomes) is (content == "anchors")
    assert {"old", "new"} < {*outcomes, "between"}


def test_settling_that_is_cut_off_itself_is_settled_by_the_next(tmp_path: Path, monkeypatch):
    for number in range(CALLS):
        target, whole = place(tmp_path / str(number), "anchors"), False
        target.rename(target.with_name("data.replaced"))
        with cut_at(monkeypatch, number):
            placing.settle(target)
            whole = True
        placing.settle(target)
        assert holds(target, "anchors")
        if whole:
            break
    assert whole


def test_what_is_put_into_the_place_meanwhile_is_left_alone(tmp_path: Path):
    for content in ("none", "empty", "anchors"):
        target = place(tmp_path / content, content)
        target.parent.mkdir(exist_ok=True)
        with placing.reserved(target) as working:
            (working / "sigbox.toml").write_text(NEW)
            target.mkdir(exist_ok=True)
            (target / "somebody").write_text("else")
            with pytest.raises(Refused, match="while the archive was verified"):
                placing.put_in_place(working, target)
        assert (target / "somebody").read_text() == "else"
        assert not is_new(target)
        assert content != "anchors" or kept(target / "anchor")
        assert {path.name for path in target.parent.iterdir()} == {"data"}


def test_two_restores_at_once_are_told_apart_from_one_that_was_cut_off(tmp_path: Path):
    target = place(tmp_path, "empty")
    with placing.reserved(target):
        with pytest.raises(Refused, match="another process restores"), placing.reserved(target):
            pass
        assert target.with_name("data.restoring").exists(), "the first one's"
    assert not target.with_name("data.restoring").exists()


def test_anchors_whose_place_was_taken_are_kept_and_said(tmp_path: Path):
    target = place(tmp_path, "anchors")
    target.rename(target.with_name("data.replaced"))
    target.mkdir()
    (target / "somebody").write_text("else")
    with pytest.raises(Refused, match="is not free"):
        placing.settle(target)
    assert kept(target.with_name("data.replaced") / "anchor")


def test_a_command_for_a_stack_says_that_a_restore_was_cut_off(tmp_path: Path):
    target = place(tmp_path, "none")
    with pytest.raises(NotFound, match="holds no stack"):
        load_settings(Home(target))
    target.with_name("data.replaced").mkdir()
    link = tmp_path / "link"
    link.symlink_to(target)
    for home in (target, link):
        with pytest.raises(NotFound, match="was cut off"):
            load_settings(Home(home))
