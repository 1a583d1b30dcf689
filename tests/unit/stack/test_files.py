# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from client.files import save_whole
from sigcore.errors import NotFound, Refused
from stack.files import SECRET, check_folder, load_file, load_secret, make_folder, save_file
from stack.lock import held
from tests.alarm import within
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


# --- secrets -----------------------------------------------------------------------------------------
@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_folder(tmp_path / "keys")
    save_file(tmp_path / "keys" / "key", b"secret", mode=SECRET)
    return tmp_path / "keys" / "key"


def refused(path: Path, message: str) -> None:
    with within(30), pytest.raises(Refused, match=message) as raised:
        load_secret(path, what="the key")
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602, 0o610])
def test_f13_a_secret_that_others_may_read_or_write_is_refused(key: Path, mode: int):
    key.chmod(mode)
    refused(key, f"has mode {mode:04o}: others may read it .chmod 600")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_f13_a_secret_in_a_folder_that_others_may_write_to_is_refused(key: Path, mode: int):
    key.parent.chmod(mode)
    with pytest.raises(Refused, match=f"the folder .*keys has mode {mode:04o}.*chmod go-w .*keys"):
        load_secret(key, what="the key")
    key.parent.chmod(0o755)
    assert load_secret(key, what="the key") == b"secret"


def test_f13_in_a_sticky_folder_of_roots_nobody_takes_the_place_of_a_file(key: Path, monkeypatch):
    """As ``/tmp``, and the memory that Kubernetes mounts secrets in."""
    key.parent.chmod(0o1777)
    state = key.parent.stat()
    roots, others = (os.stat_result((*state[:4], user, *state[5:])) for user in (0, 4711))
    monkeypatch.setattr(Path, "stat", lambda *_given, **_named: roots)
    check_folder(key.parent)
    monkeypatch.setattr(Path, "stat", lambda *_given, **_named: others)
    with pytest.raises(Refused, match="chmod go-w"):
        check_folder(key.parent)


def test_f13_a_pipe_a_folder_and_a_device_are_refused_at_once(key: Path):
    key.unlink()
    os.mkfifo(key, 0o600)
    refused(key, "is a pipe or a device")
    with within(30), pytest.raises(Refused, match="is a pipe or a device"):
        load_file(key, what="the thing")
    key.unlink()
    key.mkdir()
    refused(key, "Is a directory")
    key.rmdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(key))
        refused(key, "cannot be read")
    with pytest.raises(Refused, match="is a pipe or a device"):
        load_file(Path("/dev/zero"), what="the thing")


def test_what_a_user_names_may_be_a_pipe(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"said",))
    writer.start()
    with within(30):
        assert load_file(tmp_path / "pipe", what="the thing", pipe=True) == b"said"
    writer.join()


def test_f13_a_huge_file_is_refused_without_being_read(key: Path):
    with key.open("r+b") as file:
        file.truncate(1 << 30)
    refused(key, "is larger than")


def test_f13_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(key: Path):
    """As in a mount of Kubernetes: ``key`` leads to ``..data/key``, and ``..data`` to the folder of a moment."""
    folder = key.parent
    make_folder(folder / "..2026_11_26")
    key.rename(folder / "..2026_11_26" / "key")
    (folder / "..data").symlink_to("..2026_11_26")
    key.symlink_to("..data/key")
    assert load_secret(key, what="the key") == b"secret"
    (folder / "..2026_11_26" / "key").rename(folder.parent / "elsewhere")
    (folder / "..2026_11_26" / "key").symlink_to(folder.parent / "elsewhere")
    refused(key, "is a link to .*elsewhere, out of its folder")
    (folder / "..2026_11_26" / "key").unlink()
    refused_as_missing = pytest.raises(NotFound, match="does not exist")
    with refused_as_missing:
        load_secret(key, what="the key")


def test_f13_a_folder_that_is_a_link_counts_as_the_folder(key: Path, tmp_path: Path):
    (tmp_path / "view").symlink_to(key.parent)
    assert load_secret(tmp_path / "view" / "key", what="the key") == b"secret"


def test_f13_a_secret_of_somebody_else_is_refused(key: Path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    owner = key.stat().st_uid
    if owner:
        refused(key, f"belongs to user {owner}, who could change it .chown 4711")
    else:
        assert load_secret(key, what="the key") == b"secret"  # root's is as good as ours
    state = os.stat_result((*key.stat()[:4], 4712, *key.stat()[5:]))
    monkeypatch.setattr(os, "fstat", lambda _handle: state)
    refused(key, "belongs to user 4712, who could change it .chown 4711")


def test_f13_root_reads_the_secrets_of_whom_their_folder_belongs_to(key: Path, monkeypatch):
    """``sudo sigbox backup`` of a service that runs as a user of its own."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    state = key.stat()
    of_service, of_others = (os.stat_result((*state[:4], user, *state[5:])) for user in (4712, 4713))
    folder = os.stat_result((*key.parent.stat()[:4], 4712, *key.parent.stat()[5:]))
    monkeypatch.setattr(Path, "stat", lambda *_given, **_named: folder)
    monkeypatch.setattr(os, "fstat", lambda _handle: of_service)
    assert load_secret(key, what="the key") == b"secret"
    monkeypatch.setattr(os, "fstat", lambda _handle: of_others)
    refused(key, "belongs to user 4713")
