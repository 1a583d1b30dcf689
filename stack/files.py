# SPDX-License-Identifier: Apache-2.0
"""Files on disk: written whole or not at all, secrets readable by their owner only."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from pathlib import Path

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


def load_file(path: Path, *, what: str, limit: int = limits.TRUSTED_ROOT) -> bytes:
    """The bytes of a regular file.

    Raises:
        NotFound: there is none. Refused: it is larger than ``limit`` bytes, or no regular file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{what} {path} does not exist", _READABLE) from error
    except (IsADirectoryError, PermissionError) as error:
        raise Refused(f"{what} {path} cannot be read: {error.strerror}", _READABLE) from error
    if len(data) > limit:
        raise Refused(f"{what} {path} is larger than {limit} bytes")
    return data


def load_secret(path: Path, *, what: str) -> bytes:
    """As :func:`load_file`, but refuses a file that others may read.

    Raises:
        Refused: names the file and the mode that it must have.
    """
    data = load_file(path, what=what, limit=limits.TEXT)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Refused(f"{what} {path} has mode {mode:04o}: others may read it", f"chmod 600 {path}")
    return data
