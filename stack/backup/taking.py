# SPDX-License-Identifier: Apache-2.0
"""A backup of a data directory, while others serve from it and write to it.

The order is what makes it one state. Whoever depends on something is copied before it:

1. Note which small files there are: keys, settings, trust root, anchors' companions. Databases and anchors change all the time and
   are not among them.
2. Copy the anchors of the logs.
3. Copy the databases, each as of one moment (SQLite's online backup, within one read transaction; a log's writer does not wait): the
   Rekor logs, then the certificate log, then the rest. A log is never behind its anchor, because that was copied before; every
   certificate of an entry has its own entry, because that log was copied after.
4. Copy the small files; ``anchor/tsa.time`` and ``anchor/tuf.json`` come last: later is safe for both.
5. Where a small file has changed since (1), begin again.

What is left out can be made anew: indexes, lock files, and what an interrupted write has left.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NoReturn
from urllib.parse import quote

from client.files import writing_whole
from sigcore.errors import Refused, Unavailable
from sigcore.patterns import pattern
from stack.backup.about import About, encode_about
from stack.backup.archive import (
    ABOUT,
    DATA,
    SUMS,
    Member,
    check_name,
    digest_file,
    encode_sums,
    write_end,
    write_member,
)
from stack.bootstrap import ENCRYPTED
from stack.config import Home, load_settings
from stack.files import PUBLIC, SECRET, leftover_of, sync_folder
from stack.generations import load_generations
from stack.lock import alone
from stack.shards import Shard, all_shards
from tlog.anchor_file import load_anchored

Progress = Callable[[str, int, int], None]
"""(name, pages done, pages in all)"""
_WORKING: Final = ".sigbox-backup-"
_TRIES: Final = 5
_PAGES: Final = 512
_SQLITE: Final = b"SQLite format 3\0"
_REMADE: Final = pattern(r"console/catalog\.db|rekor-v1/([0-9]+/)?search\.db")
_LAST: Final = ("anchor/tsa.time", "anchor/tuf.json")
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken: what it says of itself, the SHA-256 of the archive, its size, the number of files in it."""

    about: About
    sha256: str
    size: int
    files: int


def take_backup(home: Home, target: Path, now: datetime, progress: Progress) -> Taken:
    """Write the archive ``target`` (0600): all of it, or nothing. The caller has found the place free, and outside of ``home``.

    Raises:
        NotFound: ``home`` holds no stack. Refused: nothing of it lasts, or its logs are elsewhere. Unavailable: a database cannot be read, or the settings
            keep changing.
    """
    settings = load_settings(home)
    if settings.ephemeral:
        raise Refused(f"{home.path} is the directory of an ephemeral stack", "nothing of it lasts")
    if settings.database or any((home.path / "anchor").glob("*.host")):  # the database may be an option of each start
        raise _elsewhere(home.path)
    with _working(target.parent) as folder:
        copies, archive = folder / "copies", folder / "archive"
        copies.mkdir(mode=0o700)
        sizes = _copy_settled(home.path, copies, progress)
        away = tuple(name for name in settings.keys if any((copies / name).rglob("*.pub")))
        about = About(now.replace(microsecond=0), settings.url, _encrypted(copies), sizes, away)
        with writing_whole(archive, what="the backup", mode=SECRET) as out:
            files = _pack(copies, about, out)
            out.flush()
            digest = digest_file(out)
            size = out.seek(0, os.SEEK_END)
        _place(archive, target)
    return Taken(about, digest, size, files)


def _elsewhere(home: Path) -> Refused:
    return Refused(
        f"the logs of {home} are kept in PostgreSQL: no backup of this directory would hold them, and none is written",
        "in this order, so that no log is behind its anchor: stop this host, the others go on; copy its directory, keys and anchor/"
        f" included: tar -cpf HOST.tar -C {shlex.quote(str(home))} . ; then the database: pg_dump -Fc -n 'sigbox_*' -f LOGS.dump URL, or pg_basebackup"
        " for the whole server; start the host. How to restore both: docs/scaling.md",
    )


# --- the place -----------------------------------------------------------------------------------------
@contextmanager
def _working(place: Path) -> Iterator[Path]:
    """A folder in ``place`` for what is not finished, gone afterwards. It holds private keys: what a killed process left goes too."""
    with ExitStack() as kept:
        with alone(place):  # nobody takes a new one for a leftover
            for left in place.glob(f"{_WORKING}*"):
                _sweep(left)
            folder = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix=_WORKING, dir=place)))
            kept.enter_context(alone(folder))
        yield folder


def _sweep(left: Path) -> None:
    with suppress(OSError):  # another backup is being taken, or it is another user's
        handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
        finally:
            os.close(handle)


def _place(archive: Path, target: Path) -> None:
    """Give the archive its name, unless that was taken meanwhile. Refused: it was."""
    try:
        os.link(archive, target)
    except FileExistsError as error:
        raise Refused(f"{target} exists by now", "give a name that is not taken") from error
    except OSError:  # a file system without a second name for a file, as those of USB sticks are
        archive.rename(target)
    sync_folder(target.parent)


# --- which files ---------------------------------------------------------------------------------------
def _files(root: Path) -> Iterator[str]:
    """The names of all that a backup holds, in order. Links are followed, once: what they lead to is what a stack reads.

    Raises:
        Refused: a link leads nowhere, or to a place a second time. OSError: a folder cannot be listed.
    """
    been = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise):
        if (place := os.path.realpath(folder)) in been:
            raise Refused(f"{folder} leads to {place} a second time", "a backup takes each folder once")
        been.add(place)
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_symlink() and not path.exists():
                raise Refused(f"{path} leads to {path.readlink()}, which is not there", "mount it, or remove the link")
            relative = path.relative_to(root).as_posix()
            if not (
                name == "lock"
                or name.endswith((".lock", *_COMPANIONS))
                or leftover_of(path)
                or _REMADE.fullmatch(relative)
                or not path.is_file()
            ):
                check_name(f"{DATA}{relative}")
                yield relative


def _raise(error: OSError) -> NoReturn:
    raise error


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _settled(root: Path, names: list[str]) -> dict[str, tuple[int, int, int]]:
    """What tells whether a small file was replaced."""
    found = {}
    for name in names:
        stat = (root / name).stat()
        found[name] = stat.st_ino, stat.st_mtime_ns, stat.st_size
    return found


def _copy_settled(root: Path, copies: Path, progress: Progress) -> dict[str, int]:
    """Copy until nothing has changed meanwhile that does not change all the time; how many entries each log has."""
    for _ in range(_TRIES):
        try:
            return _copy_all(root, copies, progress)
        except (FileNotFoundError, _Changed):
            shutil.rmtree(copies)
            copies.mkdir(mode=0o700)
    raise Unavailable(
        f"the keys, settings or trust root in {root} changed during each of {_TRIES} copies", "try again in a moment"
    )


class _Changed(Exception):
    """What was copied is not of one moment: begin again."""


def _copy_all(root: Path, copies: Path, progress: Progress) -> dict[str, int]:
    names = list(_files(root))
    databases = [name for name in names if _is_database(root / name)]
    anchors = [name for name in names if name.startswith("anchor/") and name.endswith(".checkpoint")]
    small = [name for name in names if name not in {*databases, *anchors, *_LAST}]
    before = _settled(root, small)  # 1
    for name in anchors:  # 2
        _copy_anchor(root, copies, name)
    shards = all_shards(load_generations(Home(root)))
    # Newer trees before older ones: the first entry of one of Rekor v1 says what is in those before it.
    ordered = sorted(shards, key=lambda one: (one.log == "ct", -one.number))
    trees = [f"{shard.place}/log.db" for shard in ordered]
    first = [name for name in trees if name in databases]
    for name in (*first, *(name for name in databases if name not in first)):  # 3
        _copy_database(root / name, _copied(copies, name), partial(progress, name))
    for name in (*small, *(name for name in _LAST if name in names)):  # 4
        _copy(root, copies, name)
    again = [name for name in _files(root) if name not in {*databases, *anchors, *_LAST}]
    if again != small or _settled(root, small) != before:  # 5
        raise _Changed
    return {shard.name: _size_of(copies, shard) for shard in shards if _is_here(copies, shard)}


# --- copying -------------------------------------------------------------------------------------------
def _copied(copies: Path, name: str) -> Path:
    path = copies / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _copy(root: Path, copies: Path, name: str) -> None:
    source, target = root / name, _copied(copies, name)
    shutil.copyfile(source, target)
    target.chmod(SECRET if source.stat().st_mode & 0o077 == 0 else PUBLIC)


def _copy_anchor(root: Path, copies: Path, name: str) -> None:
    """Its older slot may be written meanwhile, and the newer one stays; two writes within one reading have been too many."""
    _copy(root, copies, name)
    try:
        load_anchored(copies / name)
    except Unavailable as error:
        raise _Changed from error


def _copy_database(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """One transaction holds the state that is copied, however long it takes; writers go on beside it."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, SECRET))
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, isolation_level=None)) as reader,
            closing(sqlite3.connect(target)) as copy,
        ):
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(copy, pages=_PAGES, progress=lambda _status, left, total: progress(total - left, total))
    except sqlite3.Error as error:
        raise Unavailable(f"the database {source} cannot be copied: {error}", "sigbox fsck says more") from error


def _is_here(copies: Path, shard: Shard) -> bool:
    """Whether the log is in the backup. Refused: it has signed something, and lies elsewhere."""
    if shard.database(copies).exists():
        return True
    if load_anchored(shard.anchor(copies / "anchor")) is not None:
        raise Refused(
            f"the log {shard.name} has an anchor, and is not in the data directory", "was its log.db moved away?"
        )
    return False


def _size_of(copies: Path, shard: Shard) -> int:
    """The number of entries of a copied log, which must not be behind its anchor. Refused: it is."""
    with closing(sqlite3.connect(f"file:{quote(str(shard.database(copies)))}?mode=ro", uri=True)) as copy:
        (size,) = copy.execute("SELECT size FROM head").fetchone()
    anchored = load_anchored(shard.anchor(copies / "anchor"))
    if anchored is not None and anchored.size > size:
        raise Refused(
            f"the log {shard.name} has {size} entries, but a checkpoint of {anchored.size} has been published",
            "it is no backup that is wanted here, but a restore: sigbox fsck",
        )
    return int(size)


# --- packing -------------------------------------------------------------------------------------------
def _encrypted(copies: Path) -> bool:
    return all(path.read_bytes().startswith(ENCRYPTED) for path in copies.rglob("*.key"))


def _pack(copies: Path, about: About, out: BinaryIO) -> int:
    """The archive of what was copied; how many files of the stack are in it."""
    names = list(_files(copies))
    (copies / ABOUT).write_bytes(encode_about(about))
    places = {ABOUT: copies / ABOUT} | {f"{DATA}{name}": copies / name for name in names}
    hashes = {}
    for name, path in places.items():
        with path.open("rb") as file:
            hashes[name] = digest_file(file)
    (copies / SUMS).write_bytes(encode_sums(hashes))
    for name, path in {SUMS: copies / SUMS, **places}.items():
        stat = path.stat()
        mode = SECRET if stat.st_mode & 0o077 == 0 else PUBLIC
        with path.open("rb") as file:
            write_member(out, Member(name, stat.st_size, mode), file)
    write_end(out)
    return len(names)
