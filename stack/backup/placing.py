# SPDX-License-Identifier: Apache-2.0
"""Where a restored data directory is made, and how it comes to its place: cut off anywhere, the next restore settles it.

NAME.restoring        is made and judged; held by the one process that does it
NAME.replaced         the anchors that lay in the place, between two renames
NAME.before-restore   the same, once the new folder is there: they prove what was published
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sigcore.errors import Refused
from stack.config import REPLACED
from stack.files import sync_folder

ANCHOR: Final = "anchor"


def place_of(path: Path) -> Path:
    """Where ``path`` leads: a link stays one, and what is renamed stays on the disk that it leads to."""
    return Path(os.path.realpath(path))


def kept_at(target: Path) -> Path:
    """Where the anchors are kept that lay in ``target``."""
    return target.with_name(f"{target.name}.before-restore")


def _moved_to(target: Path) -> Path:
    return target.with_name(f"{target.name}{REPLACED}")


@contextmanager
def reserved(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` for the length of a block; it is gone afterwards, in its place or altogether.

    Raises:
        Refused: another process restores to ``target``, or has left the folder; the anchors are back where they were.
    """
    working = target.with_name(f"{target.name}.restoring")
    try:
        working.mkdir(0o700)
    except FileExistsError:
        raise _left(working, target) from None
    handle = os.open(working, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield working
    finally:
        with suppress(FileNotFoundError):
            if working.stat().st_ino == os.fstat(handle).st_ino:  # else it is in its place, and this another's
                shutil.rmtree(working, ignore_errors=True)
        os.close(handle)


def _left(working: Path, target: Path) -> Refused:
    if not working.is_dir():
        return Refused(f"{working} is in the way", "move it away")
    handle = os.open(working, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Refused(f"another process restores to {target} right now", "let it finish")
    else:
        settled = settle(target)
        said = f"{working} is left of a restore that was cut off"
        return Refused(f"{said}; {settled}" if settled else said, "remove it, and begin again")
    finally:
        os.close(handle)


def settle(target: Path) -> str:
    """Finish or undo what a restore has left that was cut off in :func:`put_in_place`; the answer says what was done.

    Raises:
        Refused: somebody has put something else into the place meanwhile.
    """
    moved = _moved_to(target)
    if not moved.exists():
        return ""
    if (target / "sigbox.toml").exists():
        return f"the anchors from before the restore are in {_keep(target)}"
    try:
        moved.rename(target)
    except OSError as error:
        message = f"{moved} holds the anchors of {target}, from a restore that was cut off, and {target} is not free"
        raise Refused(message, f"move {target} away, and begin again") from error
    sync_folder(target.parent)
    return f"the anchors that it had moved away are in {target} again"


def put_in_place(working: Path, target: Path) -> None:
    """Give what is in ``working`` the name ``target``, which is not there, empty, or holds nothing but anchors.

    1. All of it is on the disk.
    2. Anchors give way. From here to the next step ``target`` is not there, and neither ``up`` nor ``init`` makes a stack there.
    3. One rename, over an empty folder too. Where there were no anchors, it is the only one.
    4. The anchors get the name under which they are kept.

    Raises:
        Refused: something was put there meanwhile.
    """
    os.sync()  # 1
    if target.is_dir() and any(target.iterdir()):
        if any(path.name != ANCHOR for path in target.iterdir()):
            raise _taken(target)
        target.rename(_moved_to(target))  # 2
        sync_folder(target.parent)
    try:
        working.rename(target)  # 3
    except OSError as error:
        settle(target)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _taken(target) from error
        raise
    sync_folder(target.parent)
    if _moved_to(target).exists():
        _keep(target)  # 4


def _keep(target: Path) -> Path:
    kept = kept_at(target)
    _moved_to(target).rename(kept)
    sync_folder(target.parent)
    return kept


def _taken(target: Path) -> Refused:
    return Refused(f"something was put into {target} while the archive was verified", "restore to a new directory")
