# SPDX-License-Identifier: Apache-2.0
"""The archive of a backup: a tar file that has one spelling, so that nothing can be said in it that we do not write.

    SHA256SUMS       the hash of every other member, in the form of sha256sum; first, so that it is known before anything else
    backup.json      when it was taken, of which stack, how far its logs were
    data/...         the files of the data directory, by name

Every header is, byte for byte, the one that we write for that name, size and mode: POSIX ustar, owner 0, no time, regular files.
So there are no links, devices, folders, sparse files, extended headers or second spellings of a name. ``tar xf`` and
``sha256sum -c SHA256SUMS`` read it too.

Source: POSIX.1-2017 pax, "ustar Interchange Format".
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from sigcore.errors import Malformed, Refused
from sigcore.strict import shown

SUMS: Final = "SHA256SUMS"
ABOUT: Final = "backup.json"
DATA: Final = "data/"
BLOCK: Final = 512
_COPY: Final = 1 << 20
_END: Final = bytes(2 * BLOCK)
MEMBERS: Final = 100_000
SMALL: Final = 16 * 1024 * 1024
"""Bytes of the list of hashes: with names of 255 characters that is 50,000 files."""
_NAME: Final = re.compile(r"[A-Za-z0-9_@+=,-][A-Za-z0-9._@+=,-]*(?:/[A-Za-z0-9._@+=,-]+)*\Z", re.ASCII)
_MODES: Final = frozenset((0o600, 0o644))
_SUM: Final = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n", re.ASCII)
_KINDS: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
}
_HINT: Final = "it is not as sigbox backup wrote it: take another copy of it"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its ``mode`` is 0600 or 0644, ``offset`` is where its bytes begin."""

    name: str
    size: int
    mode: int
    offset: int = 0


# --- names and hashes --------------------------------------------------------------------------------
def check_name(name: str) -> None:
    """A relative path of plain characters that climbs nowhere.

    Raises:
        Refused: it is none.
    """
    if ".." in name.split("/") or name.startswith("/") or "\\" in name:
        raise Refused(f"the archive names {shown(name)}, which leads out of the folder", _HINT)
    if not _NAME.match(name) or "." in name.split("/") or len(name) > 255:
        raise Refused(f"the archive names {shown(name)}, which is no name of a file of a stack", _HINT)


def encode_sums(hashes: Mapping[str, str]) -> bytes:
    """One line for each name, in the order of the names."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode("ascii")


def parse_sums(data: bytes) -> dict[str, str]:
    """The hash of each name.

    Raises:
        Malformed: another form or another order. Refused: a name that :func:`check_name` refuses.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed(f"the archive's {SUMS} is not ASCII", _HINT) from error
    found = {name: digest for digest, name in _SUM.findall(text)}
    for name in found:
        check_name(name)
    if encode_sums(found) != data:
        raise Malformed(f"the archive's {SUMS} is no list of SHA-256 hashes and names, in order", _HINT)
    return found


# --- members -----------------------------------------------------------------------------------------
def header(member: Member) -> bytes:
    """The one header of a member. Refused: its name is too long for the format."""
    info = tarfile.TarInfo(member.name)
    info.size, info.mode = member.size, member.mode
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError as error:
        raise Refused(f"{shown(member.name, 200)} cannot be put into an archive: {error}") from error


def write_member(out: BinaryIO, member: Member, source: BinaryIO) -> None:
    """The header, and ``member.size`` bytes of ``source``. Refused: there are not as many any more."""
    out.write(header(member))
    left = member.size
    while left:
        data = source.read(min(left, _COPY))
        if not data:
            raise Refused(f"{member.name} became shorter while it was copied")
        out.write(data)
        left -= len(data)
    out.write(bytes(-member.size % BLOCK))


def write_end(out: BinaryIO) -> None:
    """What ends an archive."""
    out.write(_END)


def read_members(archive: BinaryIO) -> Iterator[Member]:
    """The members, in their order; the file is to be left at the end of the member's bytes, or anywhere: it is sought.

    Raises:
        Malformed: truncated, or no such archive. Refused: a member that is no plain file, or spelled in another way.
    """
    position, count = 0, 0
    while True:
        archive.seek(position)
        block = archive.read(BLOCK)
        if block == bytes(BLOCK):
            if archive.read(BLOCK + 1) != bytes(BLOCK):
                raise Malformed("the archive has something after its end, or its end is cut off", _HINT)
            return
        member = _read_header(block, position + BLOCK)
        count += 1
        if count > MEMBERS:
            raise Malformed(f"the archive has more than {MEMBERS} members", _HINT)
        yield member
        position += BLOCK + -(-member.size // BLOCK) * BLOCK


def _read_header(block: bytes, offset: int) -> Member:
    if len(block) != BLOCK:
        raise Malformed(f"the archive is truncated: it ends after {offset - BLOCK + len(block)} bytes", _HINT)
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise Malformed(f"this is no backup of sigbox: {error} at byte {offset - BLOCK}", _HINT) from error
    if info.type in _KINDS:
        raise Refused(f"the archive's {shown(info.name)} is {_KINDS[info.type]}, expected files only", _HINT)
    check_name(info.name)
    member = Member(info.name, info.size, info.mode, offset)
    if member.mode not in _MODES or header(member) != block:
        raise Refused(f"the archive's {shown(info.name)} is not in the form that sigbox writes", _HINT)
    return member


def read_small(archive: BinaryIO, member: Member) -> bytes:
    """The bytes of a member that is read whole.

    Raises:
        Malformed: it is too long, or cut off.
    """
    if member.size > SMALL:
        raise Malformed(f"the archive's {member.name} is {member.size} bytes long, the limit is {SMALL}", _HINT)
    return b"".join(blocks(archive, member))


def blocks(archive: BinaryIO, member: Member) -> Iterator[bytes]:
    """The bytes of a member, block by block, and that zeros follow them. Malformed: it is cut off."""
    archive.seek(member.offset)
    left = member.size
    while left:
        data = archive.read(min(left, _COPY))
        if not data:
            raise Malformed(f"the archive is truncated: it ends within {member.name}", _HINT)
        yield data
        left -= len(data)
    padding = -member.size % BLOCK
    if archive.read(padding) != bytes(padding):
        raise Malformed(f"the archive is truncated or has other bytes after {member.name}", _HINT)


# --- the whole ---------------------------------------------------------------------------------------
def verify_archive(archive: BinaryIO) -> tuple[tuple[Member, ...], dict[str, str]]:
    """Read all of an archive, before anything of it is used: its members, and the hash of each but the list of hashes.

    1. The list of hashes comes first.
    2. Every member but it has its line there, once, and hashes to what that says; every line has its member.
    3. There is a ``backup.json``; all else lies under ``data/``.

    Raises:
        Malformed, Refused: as above, or one of these does not hold.
    """
    members = read_members(archive)
    first = next(members, None)
    if first is None or first.name != SUMS:
        found = f"begins with {shown(first.name)}" if first else "is empty"
        raise Malformed(f"the archive {found}, expected {SUMS} first", "is it one of sigbox backup?")
    sums = parse_sums(read_small(archive, first))
    hashes: dict[str, str] = {}
    others = []
    for member in members:
        if member.name not in sums or member.name in hashes:
            raise Refused(f"the archive's {shown(member.name)} is not, or more than once, in {SUMS}", _HINT)
        if member.name != ABOUT and not member.name.startswith(DATA):
            raise Refused(f"the archive's {shown(member.name)} belongs to no stack", _HINT)
        hashes[member.name] = _digest(blocks(archive, member))
        if hashes[member.name] != sums[member.name]:
            raise Refused(f"the archive's {member.name} does not have the hash that {SUMS} gives it", _HINT)
        others.append(member)
    if missing := sorted({*sums, ABOUT} - set(hashes)):
        raise Refused(f"the archive has no {missing[0]}", _HINT)
    return tuple(others), hashes


def digest_file(file: BinaryIO) -> str:
    """SHA-256 of all of a file, in hexadecimal digits."""
    file.seek(0)
    return _digest(iter(lambda: file.read(_COPY), b""))


def _digest(parts: Iterator[bytes]) -> str:
    hashing = hashlib.sha256()
    for data in parts:
        hashing.update(data)
    return hashing.hexdigest()
