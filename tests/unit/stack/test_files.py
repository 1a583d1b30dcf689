# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from sigcore.errors import NotFound, Refused
from stack.files import SECRET, load_file, load_secret, make_folder, save_file
from stack.lock import held


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
