# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.files import save_whole
from sigcore.errors import NotFound, Refused
from stack.files import SECRET, load_file, load_secret, make_folder, save_file
from stack.lock import held
from tests.cutting import Durable


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask):
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    save_file(folder / "key", b"secret", mode=SECRET)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "key").stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_bytes_and_no_litter(tmp_path: Path, monkeypatch):
    save_file(tmp_path / "f", b"old")

    def broken(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="No space"):
        save_file(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_secrets_that_others_may_read_are_refused_with_the_remedy(tmp_path: Path):
    save_file(tmp_path / "key", b"x", mode=0o640)
    with pytest.raises(Refused, match="chmod 600"):
        load_secret(tmp_path / "key", what="the key")


def test_missing_and_oversized_files_are_told_apart(tmp_path: Path):
    with pytest.raises(NotFound, match=r"the thing .* does not exist"):
        load_file(tmp_path / "none", what="the thing")
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(Refused, match="larger than 10 bytes"):
        load_file(tmp_path / "big", what="the thing", limit=10)
    with pytest.raises(Refused, match=r"Is a directory"):
        load_file(tmp_path, what="the thing")


def test_the_second_holder_learns_who_is_first(tmp_path: Path):
    refused = pytest.raises(Refused, match=f"in use by process {os.getpid()}")
    with held(tmp_path), refused, held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("there", "to come"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "there").write_bytes(b"old")
    for save in (save_file, saved_by_the_client):
        for name in ("there", "to come"):
            save(tmp_path / name, b"new")
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / "elsewhere" / name).read_bytes() == b"new"
            (tmp_path / "elsewhere" / name).unlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["elsewhere", "there", "to come"]


def saved_by_the_client(path: Path, data: bytes) -> None:
    save_whole(data, path, what="the file")


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a pipe", "link to itself"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path, kind: str):
    place = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    elif kind == "link to itself":
        place.symlink_to(place)
    else:
        os.mkfifo(tmp_path / "pipe")
        place = tmp_path / "pipe" if kind == "pipe" else place
        if kind != "pipe":
            place.symlink_to(tmp_path / "pipe")
    before = {path.name: path.lstat().st_mode for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match=r"no regular file|symbolic links"):
        save_file(place, b"new")
    with pytest.raises(Refused, match=r"no regular file|symbolic links"):
        saved_by_the_client(place, b"new")
    assert {path.name: path.lstat().st_mode for path in tmp_path.iterdir()} == before


def test_a_file_of_the_client_has_its_name_on_the_disk_when_it_is_said_to_be_there_f03(tmp_path: Path, monkeypatch):
    disk = Durable(monkeypatch, "none")
    saved_by_the_client(tmp_path / "bundle", b"new")
    assert (disk.missing, disk.in_memory(tmp_path)) == ([], set())
