# SPDX-License-Identifier: Apache-2.0
"""A data directory out of a backup: every byte is hashed before one is written, every log before it is put in place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from sigcore.errors import NotFound, Refused
from stack.backup import placing
from stack.backup.about import About, parse_about
from stack.backup.archive import ABOUT, DATA, Member, blocks, digest_file, read_small, verify_archive
from stack.backup.survivors import Behind, compare, keep_later
from stack.bootstrap import ROLE_FOLDERS
from stack.config import Home
from stack.files import make_folder
from stack.fsck import Finding, check, logs_of
from stack.shards import Shard
from tlog.audit import Progress

_CHANGED: Final = "do not write to the archive while it is restored"


class Taken(Refused):
    """The place to restore to is not free; nothing is wrong with the archive."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored.

    Args:
        archive: the file.
        home: the data directory, and what opens its keys. It must not be there, or be empty, or hold nothing but ``anchor/``.
        anchors: a folder of anchors that outlived the stack, elsewhere.
        sha256: of the whole archive in hexadecimal, as ``sigbox backup`` printed it; empty where nobody kept it.
        accept_rollback: also where an anchor knows of more than the archive.
        only_check: put nothing in place.
    """

    archive: Path
    home: Home
    anchors: Path | None = None
    sha256: str = ""
    accept_rollback: bool = False
    only_check: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What the archive says of itself, what the check of its logs found, and which of them are behind an anchor.

    ``compared`` says whether there were anchors that outlived the stack, ``settled`` what was still to do of a restore before that was
    cut off, and was done.
    """

    about: About
    findings: tuple[Finding, ...]
    behind: tuple[Behind, ...]
    compared: bool
    settled: str = ""


async def restore(wanted: Wanted, progress: Callable[[str], Progress]) -> Restored:
    """Restore a backup, or say why not and leave nothing.

    1. Settle what a restore has left that was cut off between its two renames (:mod:`stack.backup.placing`). The place must be free,
       unless nothing is to be put there.
    2. Verify the whole archive: its form, every hash.
    3. Write the files into a new folder beside the place, hashed once more.
    4. Open the keys, re-hash the logs and compare them with their signed heads and anchors.
    5. No log may be behind, or beside, an anchor that outlived the stack.
    6. What must not go back is moved ahead: the time of timestamps, the versions of the trust root.
    7. Everything is synchronised, and put in place. Wherever this is cut off, the place holds what it held, or all that is new, or
       nothing that could be taken for a stack, and the next restore settles it.

    Raises:
        Taken: the place is not free. Refused, Malformed: one of these does not hold. NotFound: there is no such archive.
        Unavailable: the disk.
    """
    target = placing.place_of(wanted.home.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with placing.reserved(target) as working:
        settled = placing.settle(target)  # 1
        anchors = _check_free(target, wanted.anchors, only_check=wanted.only_check)
        with _opened(wanted.archive) as archive:
            _check_digest(archive, wanted.sha256)
            members, hashes = verify_archive(archive)  # 2
            (described,) = (member for member in members if member.name == ABOUT)
            about = parse_about(read_small(archive, described))
            _extract(archive, members, hashes, working)  # 3
            done = await _judge(wanted, about, (working, target), anchors, progress)
    return replace(done, settled=settled)


async def _judge(
    wanted: Wanted, about: About, places: tuple[Path, Path], anchors: Path | None, progress: Callable[[str], Progress]
) -> Restored:
    working, target = places
    logs = [log for log in logs_of(Home(working)) if Shard.of(log).database(working).exists()]
    findings = await check(replace(wanted.home, path=working), progress, logs)  # 4
    for found in findings:
        if found.problem:
            raise Refused(f"the log {found.log} in the archive is damaged: {found.problem}", found.hint)
    sizes = {found.log: found.audit.entries for found in findings if found.audit}
    if sizes != about.logs:
        raise Refused(f"the archive says that its logs have {about.logs} entries, they have {sizes}", _CHANGED)
    record = ["audit"] if (working / "audit" / "log.db").exists() else []
    behind = await compare(working, anchors, [*logs, *record]) if anchors else ()  # 5
    if behind and not wanted.accept_rollback:
        raise _rollback(behind)
    if not wanted.only_check:
        keep_later(working, anchors)  # 6
        placing.put_in_place(working, target)  # 7
    return Restored(about, tuple(findings), behind, compared=anchors is not None)


def _rollback(behind: tuple[Behind, ...]) -> Refused:
    rows = "; ".join(
        f"the log {one.log} has {one.restored} entries in the archive, a checkpoint of {one.published} has been published"
        for one in behind
    )
    return Refused(
        rows,
        "restore a newer backup. Or say --accept-rollback: the log goes on from there, gives the lost indexes to other entries, and "
        "whoever has seen a later checkpoint (clients, monitors, witnesses) will rightly call it a fork",
    )


# --- the place -----------------------------------------------------------------------------------------
def _check_free(target: Path, anchors: Path | None, *, only_check: bool) -> Path | None:
    """The folder of anchors that outlived the stack, if there is one. Taken: the place is not free, and something would go there."""
    if anchors is not None and not anchors.is_dir():
        raise NotFound(f"there are no anchors at {anchors}, which is no folder")
    if not target.exists():
        return anchors
    found = {path.name for path in target.iterdir()} if target.is_dir() else {target.name}
    if found - {placing.ANCHOR} and only_check:
        return anchors  # a stack that lives there is no reason not to look at its backups
    if found - {placing.ANCHOR}:
        raise Taken(
            f"{target} is not empty: it holds {min(found - {placing.ANCHOR})}",
            "restore to a new directory; or move this one away, and name its anchors: --anchors OLD/anchor",
        )
    if os.path.ismount(target):
        raise Taken(f"{target} is a mount point", "restore to a folder in it, or mount it elsewhere meanwhile")
    if not found:
        return anchors
    if anchors is not None:
        raise Refused(f"{target} holds anchors, and others are named", "leave --anchors out")
    if (kept := placing.kept_at(target)).exists():
        raise Refused(f"{kept} is there, with the anchors from before an earlier restore", "move it away")
    return target / placing.ANCHOR


# --- the archive ---------------------------------------------------------------------------------------
def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise NotFound(f"the archive {path} cannot be read: {error.strerror}") from error


def _check_digest(archive: BinaryIO, expected: str) -> None:
    if expected and (found := digest_file(archive)) != expected.lower():
        raise Refused(f"the archive has the SHA-256 {found}, expected {expected}", "it is not the one that was taken")


def _extract(archive: BinaryIO, members: tuple[Member, ...], hashes: dict[str, str], working: Path) -> None:
    make_folder(working, durable=False)
    for name in ROLE_FOLDERS:
        make_folder(working / name, durable=False)
    for member in members:
        if member.name != ABOUT:
            path = working / member.name.removeprefix(DATA)
            _make_folders(working, path.parent)
            if _write(archive, member, path) != hashes[member.name]:
                raise Refused(f"{member.name} in the archive changed while it was read", _CHANGED)


def _make_folders(working: Path, folder: Path) -> None:
    """Public ones for everybody, as they were made first; all others for the owner."""
    for part in (*reversed(folder.relative_to(working).parents), folder.relative_to(working)):
        place = working / part
        if not place.exists():
            make_folder(place, 0o755 if part.parts[0] == "public" else 0o700, durable=False)


def _write(archive: BinaryIO, member: Member, path: Path) -> str:
    hashing = hashlib.sha256()
    with path.open("xb") as file:
        os.fchmod(file.fileno(), member.mode)
        for data in blocks(archive, member):
            hashing.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())  # a disk that refuses says so here, and not to os.sync
    return hashing.hexdigest()
