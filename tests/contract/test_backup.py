# SPDX-License-Identifier: Apache-2.0
"""``sigbox backup`` and ``sigbox restore``: under load, to another place, and everything that is not a whole backup of this stack (F08, F03b)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.lock import alone
from stack.trust.versions import Versions
from tests.contract.test_fsck import change, post
from tests.faults.audit import Journal, audit, parse_note, read_key, read_log
from tests.faults.writers import Writers
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox, start_stack

WRITERS = 8
BACKUPS = 3
ENTRIES = 20
EMAIL = "keeper@example.com"


# --- under load ----------------------------------------------------------------------------------------
async def backups_under_load(stack: RunningStack, writers: Writers, folder: Path) -> list[tuple[Path, int]]:
    """Each backup, and how many acknowledgements the journal held before it began."""
    died, taken = asyncio.Event(), []

    async def take() -> None:
        try:
            for number in range(BACKUPS):
                while writers.acknowledged < 60 * (number + 1):
                    await asyncio.sleep(0.01)
                before, file = len(writers.journal.read()), folder / f"{number}.tar"
                done = await asyncio.to_thread(sigbox, "backup", file, "--data", stack.data, "--json")
                assert done.returncode == 0, done.stderr
                assert json.loads(done.stdout)["logs"]["rekor"] > before
                taken.append((file, before))
        finally:
            died.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(take())
        group.create_task(writers.run(stack.url, died))
    return taken


def test_f03b_a_backup_under_load_holds_everything_that_was_acknowledged_before_it_began(tmp_path: Path):
    journal = Journal(tmp_path / "journal")
    writers = Writers(journal, WRITERS)
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        taken = asyncio.run(backups_under_load(stack, writers, tmp_path))
        published = read_log(stack.url)[1]
    acknowledged = journal.read()
    for file, before in taken:
        home = tmp_path / f"restored-{file.stem}"
        done = sigbox("restore", file, "--data", home)
        assert done.returncode == 0, done.stderr
        with running_stack(tmp_path, "--data", home) as stack:
            now, entries = read_log(stack.url)
            audit(entries, now, acknowledged[:before], [], read_key(stack.trusted_root))
            assert entries == published[: len(entries)]  # nothing in it that the others have not seen
            assert post(stack) == 201
    journal.close()
    print(f"\n{len(taken)} backups during {len(acknowledged)} acknowledgements by {WRITERS} writers, 0 lost")
    assert len(acknowledged) > taken[-1][1]


# --- one backup of one stack ------------------------------------------------------------------------------
class Kept:
    """A stack that has stopped, its backup, and what it went on to after that."""

    def __init__(self, folder: Path) -> None:
        self.data, self.archive, self.later = folder / "data", folder / "backup.tar", folder / "later.tar"
        with running_stack(folder, "--data", self.data) as stack:
            done = sigbox("user", "add", "--email", EMAIL, "--password-file", _password(folder), "--data", self.data)
            assert done.returncode == 0, done.stderr
            for _ in range(ENTRIES):
                assert post(stack) == 201
            self.taken = sigbox("backup", self.archive, "--data", self.data)
            assert self.taken.returncode == 0, self.taken.stderr
            for _ in range(ENTRIES):
                assert post(stack) == 201
            self.published = read_log(stack.url)[0]
        assert sigbox("backup", self.later, "--data", self.data).returncode == 0
        self.anchor = folder / "anchor"
        """As of then: what tests do with ``data`` is recorded there."""
        shutil.copytree(self.data / "anchor", self.anchor)


def _password(folder: Path) -> Path:
    file = folder / "password"
    file.write_text("correct horse battery staple\n")
    return file


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


def restore(file: Path, home: Path, *options: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = sigbox("restore", file, "--data", home, *options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def nothing_left(folder: Path, *but: Path) -> bool:
    return {path for path in folder.iterdir() if path.is_dir()} <= set(but)


def test_the_output_says_that_it_holds_private_keys_and_the_file_is_for_its_owner_only(kept: Kept):
    assert "it holds the private keys of the stack, NOT ENCRYPTED" in kept.taken.stdout
    assert hashlib.sha256(kept.archive.read_bytes()).hexdigest() in kept.taken.stdout
    assert kept.archive.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in kept.archive.parent.glob(".*")] == []


def test_an_archive_is_never_written_over(kept: Kept):
    done = sigbox("backup", kept.archive, "--data", kept.data)
    assert done.returncode == 2
    assert "exists" in done.stderr


def test_a_backup_does_not_go_where_the_data_is(kept: Kept):
    done = sigbox("backup", kept.data / "backup.tar", "--data", kept.data)
    assert done.returncode == 2
    assert "lies in the data directory" in done.stderr
    assert not (kept.data / "backup.tar").exists()


def test_a_log_that_lies_elsewhere_is_not_left_out_in_silence(kept: Kept, tmp_path: Path):
    data = Path(shutil.copytree(kept.data, tmp_path / "data"))
    (data / "rekor" / "log.db").unlink()
    done = sigbox("backup", tmp_path / "backup", "--data", data)
    assert done.returncode == 1
    assert "the log rekor has an anchor, and is not in the data directory" in done.stderr


def test_links_are_followed_once(kept: Kept, tmp_path: Path):
    data = Path(shutil.copytree(kept.data, tmp_path / "data"))
    (data / "rekor").rename(tmp_path / "other disk")
    (data / "rekor").symlink_to(tmp_path / "other disk")
    assert sigbox("backup", tmp_path / "backup", "--data", data).returncode == 0
    restore(tmp_path / "backup", tmp_path / "home", "--check")
    (data / "public" / "again").symlink_to(data)
    done = sigbox("backup", tmp_path / "next", "--data", data)
    assert "a second time" in done.stderr


def test_a_link_that_leads_nowhere_is_not_left_out_in_silence(kept: Kept, tmp_path: Path):
    data = Path(shutil.copytree(kept.data, tmp_path / "data"))
    (data / "oidc").rename(tmp_path / "other disk")
    (data / "oidc").symlink_to(tmp_path / "a disk that is not mounted")
    done = sigbox("backup", tmp_path / "backup", "--data", data)
    assert done.returncode == 1
    assert "oidc leads to" in done.stderr
    assert not (tmp_path / "backup").exists()


def test_a_full_disk_leaves_nothing(kept: Kept, tmp_path: Path):
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    for command in (
        ("backup", tmp_path / "backup", "--data", kept.data),
        ("restore", kept.archive, "--data", tmp_path / "home"),
    ):
        done = subprocess.run(
            [*SIGBOX, *map(str, command)],
            env=environment(),
            preexec_fn=small,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (2, 4), done.stderr
        assert "internal error" not in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_backup_left_is_taken_away_by_the_next_and_what_another_one_makes_is_not(
    kept: Kept, tmp_path: Path
):
    left, used = tmp_path / ".sigbox-backup-killed", tmp_path / ".sigbox-backup-used"
    for folder in (left, used):
        (folder / "copies").mkdir(parents=True)
        (folder / "copies" / "a.key").write_text("secret")
    with alone(used):
        assert sigbox("backup", tmp_path / "backup", "--data", kept.data).returncode == 0
        assert {path.name for path in tmp_path.iterdir()} == {"backup", used.name}
    assert sigbox("backup", tmp_path / "next", "--data", kept.data).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "next"}


def test_backups_of_one_state_differ_in_their_time_alone(kept: Kept, tmp_path: Path):
    for name in ("one", "two"):
        assert sigbox("backup", tmp_path / name, "--data", kept.data).returncode == 0
    contents = []
    for name in ("one", "two"):
        with tarfile.open(tmp_path / name) as tar:
            assert tar.getnames()[:2] == ["SHA256SUMS", "backup.json"]
            contents.append({m.name: (m.mode, m.mtime, m.uid, tar.extractfile(m).read()) for m in tar.getmembers()[2:]})
    assert contents[0] == contents[1]
    assert not any(name.endswith((".lock", "-wal", "-shm", "catalog.db", "search.db")) for name in contents[0])
    subprocess.run(["tar", "xf", tmp_path / "one", "-C", tmp_path], check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_a_restored_stack_is_the_same_stack(kept: Kept, tmp_path: Path):
    home = tmp_path / "home"
    restore(kept.later, home, "--anchors", kept.data / "anchor")
    assert nothing_left(tmp_path, home)
    for name in ("rekor/log.key", "ca/root.key", "tuf/root.key"):
        assert (home / name).read_bytes() == (kept.data / name).read_bytes()
        assert (home / name).stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert EMAIL in sigbox("user", "list", "--data", home).stdout
    versions = Versions(kept.data / "anchor" / "tuf.json", durable=False).load()
    with running_stack(tmp_path, "--data", home) as stack:
        assert parse_note(read_log(stack.url)[0].envelope) == kept.published
        assert post(stack) == 201
        restored = Versions(home / "anchor" / "tuf.json", durable=False).load()
        assert (stack.tuf_root).read_bytes() == (kept.data / "public" / "tuf" / "1.root.json").read_bytes()
    assert restored["timestamp"] > versions["timestamp"] + 500  # a client that has seen more is not sent back
    assert restored["root"] == versions["root"]
    assert sigbox("fsck", "--data", home).returncode == 0


def test_check_verifies_everything_and_puts_nothing_in_place(kept: Kept, tmp_path: Path):
    done = restore(kept.archive, tmp_path / "home", "--check", "--json")
    found = json.loads(done.stdout)
    assert found["data"] is None
    assert found["logs"]["rekor"]["entries"] == ENTRIES + 1
    assert nothing_left(tmp_path)


def test_a_killed_stack_is_backed_up_whole(tmp_path: Path):
    stack = start_stack(tmp_path, "--data", tmp_path / "data")
    try:
        for _ in range(5):
            assert post(stack) == 201
    finally:
        stack.kill()
    done = sigbox("backup", tmp_path / "backup", "--data", stack.data, "--json")
    assert json.loads(done.stdout)["logs"]["rekor"] == 6
    restore(tmp_path / "backup", tmp_path / "home", "--anchors", stack.data / "anchor")


def test_encrypted_keys_stay_so_and_need_their_passphrase(tmp_path: Path):
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("opens it")
    wrong.write_text("does not")
    assert sigbox("init", "--data", tmp_path / "data", "--yes", "--passphrase-file", secret).returncode == 0
    with running_stack(tmp_path, "--data", tmp_path / "data", "--passphrase-file", secret):
        pass
    done = sigbox("backup", tmp_path / "backup", "--data", tmp_path / "data")
    assert "encrypted with its passphrase, which is not in there" in done.stdout
    assert b"BEGIN PRIVATE KEY" not in (tmp_path / "backup").read_bytes()
    restore(tmp_path / "backup", tmp_path / "home", "--passphrase-file", wrong, code=1)
    restore(tmp_path / "backup", tmp_path / "home", code=1)
    assert not (tmp_path / "home").exists()
    restore(tmp_path / "backup", tmp_path / "home", "--passphrase-file", secret)


# --- rollback --------------------------------------------------------------------------------------------
def test_f08_an_older_backup_beside_a_newer_anchor_is_refused_unless_somebody_says_so(kept: Kept, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(kept.data / "anchor", home / "anchor")  # all that is left of it
    done = restore(kept.archive, home, code=1)
    assert f"{ENTRIES + 1} entries in the archive, a checkpoint of {2 * ENTRIES + 1}" in done.stderr
    assert "will rightly call it a fork" in done.stderr
    assert [path.name for path in home.iterdir()] == ["anchor"]
    done = restore(kept.archive, home, "--accept-rollback")
    assert f"warning: the log rekor goes on from {ENTRIES + 1} entries" in done.stderr
    assert (tmp_path / "home.before-restore" / "anchor" / "rekor.checkpoint").exists()
    # What the refusal said: whoever has seen more finds a fork, once it has grown.
    state = tmp_path / "state"
    with running_stack(tmp_path, "--data", home) as stack:
        variables = {"SIGBOX_TRUSTED_ROOT": str(stack.trusted_root), "SIGBOX_STATE": str(state)}
        assert sigbox("log", "info", **variables).returncode == 0
        (file,) = state.glob("logs/*")
        file.write_text(kept.published.envelope)
        assert "went back" in sigbox("log", "info", **variables).stderr
        for _ in range(ENTRIES + 1):
            assert post(stack) == 201
        done = sigbox("log", "info", **variables)
        assert done.returncode == 1
        assert "only grew" in done.stderr


def test_f08_a_backup_of_another_stack_does_not_go_beside_these_anchors(kept: Kept, tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "other") as stack:
        for _ in range(3 * ENTRIES):
            assert post(stack) == 201
    assert sigbox("backup", tmp_path / "backup", "--data", tmp_path / "other").returncode == 0
    done = restore(
        tmp_path / "backup", tmp_path / "home", "--anchors", kept.data / "anchor", "--accept-rollback", code=1
    )
    assert "not those that were published" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_later_time_of_timestamps_is_kept(kept: Kept, tmp_path: Path):
    anchors = tmp_path / "anchors"
    shutil.copytree(kept.data / "anchor", anchors)
    (anchors / "tsa.time").write_text("2031-01-01T00:00:00Z\n")
    restore(kept.later, tmp_path / "home", "--anchors", anchors)
    assert (tmp_path / "home" / "anchor" / "tsa.time").read_text() == "2031-01-01T00:00:00Z\n"


def test_a_log_that_is_behind_its_anchor_is_not_backed_up(kept: Kept, tmp_path: Path):
    data = Path(shutil.copytree(kept.data, tmp_path / "data"))
    change(data, "ct", "UPDATE head SET size = 0")
    done = sigbox("backup", tmp_path / "backup", "--data", data)
    assert done.returncode == 1
    assert "a checkpoint of 1 has been published" in done.stderr
    assert not (tmp_path / "backup").exists()


# --- the place -------------------------------------------------------------------------------------------
def test_a_place_that_is_not_free_is_left_alone(kept: Kept, tmp_path: Path):
    before = sorted(path.name for path in kept.data.iterdir())
    assert "is not empty" in restore(kept.archive, kept.data, code=2).stderr
    assert "intact" in restore(kept.archive, kept.data, "--check").stdout, "nothing would go there"
    assert sorted(path.name for path in kept.data.iterdir()) == before
    (tmp_path / "home").mkdir()
    restore(kept.archive, tmp_path / "home")
    (tmp_path / "next.restoring").mkdir()
    assert "cut off" in restore(kept.archive, tmp_path / "next", code=1).stderr
    assert (tmp_path / "next.restoring").exists()
    assert "no folder" in restore(kept.archive, tmp_path / "x", "--anchors", tmp_path / "y", code=2).stderr
    assert "cannot be read" in restore(tmp_path / "none", tmp_path / "x", code=2).stderr


def test_a_restore_that_was_cut_off_between_its_renames_is_settled_by_the_next_and_nothing_else_is_made_there(
    kept: Kept, tmp_path: Path
):
    home, moved = tmp_path / "home", tmp_path / "home.replaced"
    shutil.copytree(kept.anchor, moved / "anchor")
    (tmp_path / "home.restoring").mkdir()
    for command in (
        ("up", "--listen", "127.0.0.1:0"),
        ("init", "--yes"),
        ("fsck",),
        ("token", "--email", "a@example.com"),
    ):
        done = sigbox(*command, "--data", home)
        assert done.returncode != 0
        assert "was cut off" in done.stderr, (command, done.stderr)
        assert not home.exists(), command
    done = restore(kept.archive, home, code=1)
    assert "moved away are in" in done.stderr
    assert (home / "anchor" / "rekor.checkpoint").exists()
    (tmp_path / "home.restoring").rmdir()
    assert "will rightly call it a fork" in restore(kept.archive, home, code=1).stderr, "they are compared"
    restore(kept.later, home)
    assert (tmp_path / "home.before-restore" / "anchor" / "rekor.checkpoint").exists()


def test_a_restore_follows_a_link_to_its_place(kept: Kept, tmp_path: Path):
    (tmp_path / "disk" / "data").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "disk" / "data")
    restore(kept.archive, tmp_path / "home")
    assert (tmp_path / "home").is_symlink()
    assert (tmp_path / "disk" / "data" / "sigbox.toml").exists()


def test_a_directory_without_a_stack_and_an_ephemeral_one_have_no_backup(tmp_path: Path):
    assert "holds no stack" in sigbox("backup", tmp_path / "b", "--data", tmp_path).stderr
    with running_stack(tmp_path, "--ephemeral") as stack:
        done = sigbox("backup", tmp_path / "b", "--data", stack.data)
    assert done.returncode == 1
    assert "ephemeral" in done.stderr
    assert not (tmp_path / "b").exists()


# --- archives that are none --------------------------------------------------------------------------------
Remade = Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]


def remade(source: Path, target: Path, change: Remade, *more: tuple[tarfile.TarInfo, bytes]) -> Path:
    """The archive again by somebody who knows the format: changed members, more members, and hashes that fit."""
    with tarfile.open(source) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]
    kept_members = [found for member, data in members[1:] if (found := change(member, data))]
    kept_members += more
    listed = {m.name: hashlib.sha256(data).hexdigest() for m, data in kept_members}
    text = "".join(f"{listed[name]}  {name}\n" for name in sorted(listed)).encode()
    first = members[0][0]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in [(first, text), *kept_members]:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    position = out.getvalue().rstrip(b"\0")
    whole = position + bytes(-len(position) % 512) + bytes(1024)
    target.write_bytes(whole)
    return target


def same(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, data


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o600
    return info


def test_control_the_archive_is_taken_when_nothing_was_changed(kept: Kept, tmp_path: Path):
    again = remade(kept.archive, tmp_path / "again", same)
    restore(again, tmp_path / "home", "--check")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (member("data/../../escaped"), "leads out of the folder"),
        (member("/data/absolute"), "leads out of the folder"),
        (member("data/a\\b"), "leads out of the folder"),
        (member("data/./x"), "no name of a file"),
        (member("data/a b"), "no name of a file"),
        (member("elsewhere"), "belongs to no stack"),
        (member("data/link", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
        (member("data/link", tarfile.LNKTYPE, "data/sigbox.toml"), "a hard link"),
        (member("data/device", tarfile.CHRTYPE), "a device"),
        (member("data/device", tarfile.BLKTYPE), "a device"),
        (member("data/pipe", tarfile.FIFOTYPE), "a pipe"),
        (member("data/folder", tarfile.DIRTYPE), "a folder"),
        (member("data/contiguous", tarfile.CONTTYPE), "not in the form"),
        (member("data/sparse", tarfile.GNUTYPE_SPARSE), "not in the form"),
    ],
    ids=lambda value: f"{value.name} {value.type.decode()}" if isinstance(value, tarfile.TarInfo) else "",
)
def test_members_that_are_no_plain_files_of_a_stack_are_refused(kept: Kept, tmp_path: Path, extra, message: str):
    archive = remade(kept.archive, tmp_path / "changed", same, (extra, b""))
    done = restore(archive, tmp_path / "home", code=1)
    assert message in done.stderr
    assert nothing_left(tmp_path)


def test_a_file_that_is_there_twice_is_refused(kept: Kept, tmp_path: Path):
    twice = (member("data/sigbox.toml"), (kept.data / "sigbox.toml").read_bytes())
    twice[0].mode = 0o644
    done = restore(remade(kept.archive, tmp_path / "changed", same, twice), tmp_path / "home", code=1)
    assert "more than once" in done.stderr


def owned(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info.uid = 1000
    return info, data


def readable(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info.mode = 0o4755
    return info, data


def without(name: str) -> Remade:
    return lambda info, data: None if info.name == name else (info, data)


def replaced(name: str, old: bytes, new: bytes) -> Remade:
    return lambda info, data: (info, data.replace(old, new) if info.name == name else data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (owned, "not in the form"),
        (readable, "not in the form"),
        (without("backup.json"), "has no backup.json"),
        (without("data/sigbox.toml"), "holds no stack"),
        (without("data/rekor/log.key"), "does not exist"),
        (without("data/ct/log.db"), "they have"),
        (replaced("backup.json", b'"format": 1', b'"format": 2'), "use a newer sigbox"),
        (replaced("data/rekor/log.db", b"hashedrekord", b"hashedRekord"), "damaged"),
    ],
)
def test_a_changed_archive_is_refused_also_where_its_hashes_fit(kept: Kept, tmp_path: Path, change, message: str):
    archive = remade(kept.archive, tmp_path / "changed", change)
    done = restore(archive, tmp_path / "home", code=2 if message in ("holds no stack", "does not exist") else 1)
    assert message in done.stderr
    assert nothing_left(tmp_path)


def test_a_byte_that_is_changed_or_missing_anywhere_is_noticed(kept: Kept, tmp_path: Path):
    good = kept.archive.read_bytes()
    broken = {
        "cut in a header": good[: 512 * 30 + 100],
        "cut in a file": good[: len(good) // 2],
        "cut at its end": good[:-512],
        "more after its end": good + bytes(512),
        "another byte of a file": good.replace(b"SQLite format 3", b"SQLite format 4", 1),
        "another byte of the list": b"".join((good[:512], b"1" if good[512:513] == b"0" else b"0", good[513:])),
        "empty": b"",
        "another tar": b"".join((good[512 : 512 * 3], bytes(1024))),
        "no tar": os.urandom(4096),
        "compressed": subprocess.run(["gzip", "-c", kept.archive], capture_output=True, check=True).stdout,
    }
    for name, data in broken.items():
        (tmp_path / "broken").write_bytes(data)
        done = restore(tmp_path / "broken", tmp_path / "home", code=1)
        assert done.stderr.startswith("sigbox restore: "), name
        assert "internal error" not in done.stderr, name
        assert nothing_left(tmp_path), name
    done = restore(kept.archive, tmp_path / "home", "--digest", "00" * 32, code=1)
    assert "expected 0000" in done.stderr
    restore(kept.archive, tmp_path / "home", "--digest", hashlib.sha256(good).hexdigest().upper(), "--check")
