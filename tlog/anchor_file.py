# SPDX-License-Identifier: Apache-2.0
"""An anchor in a file of two slots: moving it is one write in place and one synchronisation.

The newest record stays where it is while the next one is written over the older one. A write that is cut off leaves a slot
whose checksum does not fit, beside the record that was there before: nobody has seen the head that it was for.

    slot 0 | slot 1         4096 bytes each, one page of every common disk
    slot: "sigbox.1", u64 turn, u64 size, 32 bytes root, u16 length, checkpoint, zeros, SHA-256 of all before

Numbers are big-endian. The newest record is the one with the higher turn. A file is there only with a whole first record.

Earlier versions kept the anchor in a SQLite database beside it. It is read once, carried over and removed.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sigcore.errors import Unavailable
from sigcore.values import dataclass
from tlog.anchor import Anchored, moved

_SLOT: Final = 4096
_FILE: Final = 2 * _SLOT
_MAGIC: Final = b"sigbox.1"
_HEAD: Final = struct.Struct(">8sQQ32sH")
_SUM: Final = hashlib.sha256().digest_size
_ROOM: Final = _SLOT - _HEAD.size - _SUM
"""Bytes that a checkpoint may have: several times what the longest name and the largest key take."""
_synchronise: Final = getattr(os, "fdatasync", os.fsync)
"""The size of the file does not change, nor anything else about it that must be kept."""


# --- slots -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Record:
    """What one slot holds; ``turn`` counts records."""

    turn: int
    anchored: Anchored


def _encode(record: _Record) -> bytes:
    anchored, text = record.anchored, record.anchored.checkpoint.encode("utf-8")
    if len(text) > _ROOM:
        raise Unavailable(f"the checkpoint is {len(text)} bytes long, the anchor has room for {_ROOM}")
    filled = _HEAD.pack(_MAGIC, record.turn, anchored.size, anchored.root, len(text)) + text
    covered = filled.ljust(_SLOT - _SUM, b"\0")
    return covered + hashlib.sha256(covered).digest()


def _parse(slot: bytes) -> _Record | None:
    """The record of a slot; None where its checksum does not fit: it is empty, or its write was cut off."""
    covered = slot[:-_SUM]
    if len(slot) != _SLOT or not slot.startswith(_MAGIC) or hashlib.sha256(covered).digest() != slot[-_SUM:]:
        return None
    _, turn, size, root, length = _HEAD.unpack_from(covered)
    return _Record(turn, Anchored(size, root, covered[_HEAD.size :][:length].decode("utf-8")))


def _newest(content: bytes, path: Path) -> _Record:
    records = [found for start in (0, _SLOT) if (found := _parse(content[start : start + _SLOT]))]
    if not records or len(content) != _FILE:
        raise Unavailable(f"the anchor {path} is damaged", "restore it, and the log, from a backup of today")
    return max(records, key=lambda record: record.turn)


def _offset(record: _Record) -> int:
    return record.turn % 2 * _SLOT


# --- the anchor --------------------------------------------------------------------------------------
class FileAnchor:
    """An :class:`~tlog.anchor.Anchor` in ``path``, readable by its owner only. It is made when something is recorded first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = False
        self._descriptor = -1
        self._content = b""
        """The file as it was read or written last."""
        self._record: _Record | None = None
        self._using = threading.Lock()
        """A write goes on when its caller is cancelled; until then the descriptor is not closed, and so not another file's."""

    async def open(self) -> None:
        """See :class:`~tlog.anchor.Anchor`. What an earlier version recorded is carried over."""
        await asyncio.to_thread(self._open)

    async def read(self) -> Anchored | None:
        """See :class:`~tlog.anchor.Anchor`."""
        self._check_open()
        return self._record.anchored if self._record else None

    async def advance(self, previous: Anchored | None, current: Anchored) -> None:
        """See :class:`~tlog.anchor.Anchor`."""
        await asyncio.to_thread(self.advance_here, previous, current)

    async def close(self) -> None:
        """See :class:`~tlog.anchor.Anchor`."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._using:
            self._opened, descriptor, self._descriptor = False, self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def _open(self) -> None:
        with self._using, failures():
            _carry_over(self._path)
            self._opened, self._record = True, None
            if self._path.exists():
                self._take_up()

    def _take_up(self) -> None:
        """Read the file, and write its newest record again as it is.

        Who was killed, or was told that a synchronisation failed, may have left it in the memory of the system only.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        with self._locked():
            self._content = os.pread(self._descriptor, _FILE + 1, 0)
            self._record = _newest(self._content, self._path)
            start = _offset(self._record)
            self._write(self._content[start : start + _SLOT], start)

    def advance_here(self, previous: Anchored | None, current: Anchored) -> None:
        """See :class:`~tlog.anchor.Anchor`. After a failure nothing is known until it is closed and opened again.

        1. Compare what is recorded with ``previous``, and the file with what it was: no other process has written.
        2. Write the next record over the older one.
        3. Synchronise.
        """
        with self._using:
            self._check_open()
            try:
                with failures():
                    if self._record is None:
                        self._begin(previous, current)
                    else:
                        self._replace(self._record, previous, _Record(self._record.turn + 1, current))
            except Unavailable:
                self._opened = False
                raise

    def _begin(self, previous: Anchored | None, current: Anchored) -> None:
        if previous is not None or self._path.exists():
            raise moved(previous)
        create(self._path, _encode(_Record(0, current)) + bytes(_SLOT))
        self._take_up()

    def _replace(self, recorded: _Record, previous: Anchored | None, record: _Record) -> None:
        slot, start, found = _encode(record), _offset(record), recorded.anchored
        if previous is None or (found.size, found.root) != (previous.size, previous.root):
            raise moved(previous)
        with self._locked():
            if os.pread(self._descriptor, _FILE, 0) != self._content:
                raise moved(previous)
            self._write(slot, start)
        self._content = self._content[:start] + slot + self._content[start + _SLOT :]
        self._record = record

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _write(self, slot: bytes, start: int) -> None:
        if os.pwrite(self._descriptor, slot, start) != _SLOT:
            raise OSError("the record was not written whole")
        _synchronise(self._descriptor)

    def _check_open(self) -> None:
        if not self._opened:
            raise Unavailable("the anchor is not open")


def load_anchored(path: Path) -> Anchored | None:
    """What the :class:`FileAnchor` in ``path`` holds, without a change to what it says; None where there is none.

    Raises:
        Unavailable: it cannot be read.
    """
    with failures():
        recorded = _newest(path.read_bytes(), path).anchored if path.exists() else None
        return _further(recorded, _load_former(path))


# --- files -------------------------------------------------------------------------------------------
def create(path: Path, content: bytes) -> None:
    """The file whole, or none, on the disk with its name."""
    temporary = path.with_name(f"{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- the anchors of earlier versions -------------------------------------------------------------------
def _former(path: Path) -> Path:
    return path.with_suffix(".db")


def _load_former(path: Path) -> Anchored | None:
    """What the database holds; nothing where it was cut while it was made, as whoever made it would have found too.

    It is opened for writing: what a power cut leaves of a write-ahead log, SQLite must put in order before it can be read.
    """
    former = _former(path)
    if not former.exists():
        return None
    with closing(sqlite3.connect(f"file:{quote(str(former))}?mode=rw", uri=True)) as connection:
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'anchor'").fetchone()
        row = connection.execute("SELECT size, root, checkpoint FROM anchor").fetchone() if made else None
    return Anchored(*row) if row else None


def _further(one: Anchored | None, other: Anchored | None) -> Anchored | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda anchored: anchored.size)


def _carry_over(path: Path) -> None:
    """What an earlier version recorded, into ``path``; a copy of it that was put back counts where it is further.

    1. Write the further one of both, durably.
    2. Only then remove what it came from.
    """
    former = _former(path)
    if not former.exists():
        return
    recorded = load_anchored(path)
    if recorded is not None:
        create(path, _encode(_Record(0, recorded)) + bytes(_SLOT))
    for suffix in ("", "-wal", "-shm"):
        former.with_name(former.name + suffix).unlink(missing_ok=True)
    _sync_folder(path)


@contextmanager
def failures(what: str = "the anchor") -> Iterator[None]:
    """Whatever the disk says becomes Unavailable."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{what} failed: {error}", "check the disk that holds it") from error
