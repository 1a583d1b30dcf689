# SPDX-License-Identifier: Apache-2.0
"""Files on disk: written whole or not at all, secrets readable by their owner only."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sigcore import limits
from sigcore.errors import NotFound, Refused
from sigcore.patterns import pattern

SECRET = 0o600
PUBLIC = 0o644
_LEFTOVER = pattern(r"\.(.+)\.[a-z0-9_]{8}\Z", re.ASCII)
"""What :func:`save_file` writes to before it renames: ``mkstemp`` adds eight such characters to the name."""


def make_folder(path: Path, mode: int = 0o700, *, durable: bool = True) -> None:
    """Create ``path`` with exactly ``mode`` under any umask; parents as usual.

    With ``durable`` its name is on the disk when this returns, also where it was there before: whoever made it may have been
    killed in between.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if durable:
        for made in (*reversed(missing), path):
            sync_folder(made.parent)


def save_file(path: Path, data: bytes, *, mode: int = PUBLIC, durable: bool = True) -> None:
    """Write a temporary file beside ``path`` and rename it: readers see the old bytes or the new ones.

    With ``durable`` the bytes and the rename are on the disk when this returns. A link stays, and what it leads to is written.

    Raises:
        OSError: the disk refuses, or ``path`` is there and no file; what was there before stays.
    """
    path = _place_of(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the temporary name is a string
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def _place_of(path: Path) -> Path:
    """Where the file itself lies. A rename would put a file in the place of a link, of a pipe, even of ``/dev/null``."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:  # nothing is there, or a link to a file that is still to come
        kind = stat.S_IFREG
    if not stat.S_ISREG(kind):
        raise FileExistsError(errno.EEXIST, "it is there, and is no regular file", str(path))
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def leftover_of(path: Path) -> str | None:
    """The name of the file that ``path`` was to become, when it is what a cut :func:`save_file` leaves; else None."""
    found = _LEFTOVER.fullmatch(path.name)
    return found[1] if found and path.is_file() else None


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk: what was made, renamed and removed there."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Bring what was written to a file to the disk. Raises OSError where that has failed, also before."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_READABLE = "give the path of a file that is there and that you may read"
_UNREAD = (errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV, errno.ELOOP, errno.ENOTDIR)


def load_file(path: Path, *, what: str, limit: int = limits.TRUSTED_ROOT, pipe: bool = False) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file; links are followed.
        what: how messages call it.
        limit: bytes at most.
        pipe: also of a pipe or a terminal, for what a user names: ``<(command)``, ``/dev/stdin``. It is waited for.

    Raises:
        NotFound: there is none. Refused: it is larger than ``limit`` bytes, or no regular file.
    """
    with _opened(path, what, 0 if pipe else os.O_NONBLOCK) as file:
        if not pipe:
            _check_regular(path, what, os.fstat(file.fileno()))
        return _read(file, path, what, limit)


@contextmanager
def _opened(path: Path, what: str, flags: int) -> Iterator[BinaryIO]:
    """To open a pipe without ``O_NONBLOCK`` waits for who writes to it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            os.close(handle)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except FileNotFoundError as error:
        raise NotFound(f"{what} {path} does not exist", _READABLE) from error
    except OSError as error:
        if error.errno not in _UNREAD:
            raise
        raise Refused(f"{what} {path} cannot be read: {error.strerror}", _READABLE) from error
    with os.fdopen(handle, "rb") as file:
        yield file


def _check_regular(path: Path, what: str, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise Refused(f"{what} {path} is a pipe or a device, expected a regular file", _READABLE)


def _read(file: BinaryIO, path: Path, what: str, limit: int) -> bytes:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise Refused(f"{what} {path} is larger than {limit} bytes")
    return data


def load_secret(path: Path, *, what: str) -> bytes:
    """The bytes of a file that is its owner's alone. All is asked of the file that was opened, not of its name.

    1. A link must stay in its folder, as those of Kubernetes do: what it leads to could be anybody's.
    2. It is a regular file, ours or root's, and nobody else may read or write it. Root takes that of whom the folder belongs to.
    3. Nobody else may write to its folder: :func:`check_folder`.

    Raises:
        NotFound: there is none. Refused: names the file, and the mode or owner that it must have.
    """
    place = _linked(path, what) if path.is_symlink() else path  # 1
    with _opened(place, what, os.O_NONBLOCK | os.O_NOFOLLOW) as file:
        state = os.fstat(file.fileno())
        _check_regular(path, what, state)  # 2
        _check_owner(path, what, state)
        if (mode := state.st_mode & 0o777) & 0o077:
            raise Refused(f"{what} {path} has mode {mode:04o}: others may read it", f"chmod 600 {path}")
        check_folder(place.parent)  # 3
        return _read(file, path, what, limits.TEXT)


def _linked(path: Path, what: str) -> Path:
    place = Path(os.path.realpath(path))
    if not place.is_relative_to(os.path.realpath(path.parent)):
        raise Refused(
            f"{what} {path} is a link to {place}, out of its folder", f"put the file itself there, mode 600: {path}"
        )
    return place


def _check_owner(path: Path, what: str, state: os.stat_result) -> None:
    us = os.geteuid()
    if state.st_uid in (us, 0) or (us == 0 and state.st_uid == path.parent.stat().st_uid):
        return
    raise Refused(f"{what} {path} belongs to user {state.st_uid}, who could change it", f"chown {us} {path}")


def check_folder(path: Path) -> None:
    """That nobody but its owner puts files into the folder ``path``, or takes them away.

    A sticky folder of root's is let pass, where others can only add: ``/tmp``, and what Kubernetes mounts secrets in.

    Raises:
        Refused: names the folder and the command.
    """
    state = path.stat()
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o022 and not (mode & stat.S_ISVTX and state.st_uid == 0):
        raise Refused(f"the folder {path} has mode {mode:04o}: others may change what is in it", f"chmod go-w {path}")
