# SPDX-License-Identifier: Apache-2.0
"""What a worker and the sequencer say to each other: bytes <-> values. Both ends are of one program and one start.

A frame is its length in four bytes, and then messages to its end. A message is its kind in one byte, and what its row says; numbers
are big-endian, with their bytes in parentheses, and a length is of what stands under that name at the end of the message.

| kind | from | content |
|---|---|---|
| 1 ``Entry`` | worker | number (8), log (1), identity (32), lengths (4, 4), leaf, extra |
| 2 ``Report`` | worker | length (4), counts |
| 17 head | sequencer | size (8), root (32), length (4), checkpoint: of the receipts that follow in this frame |
| 18 receipt | sequencer | number (8), index (8), hashes (1), so many hashes: of an entry that was added; its leaf and extra are as they were sent |
| 19 receipt | sequencer | number (8), index (8), hashes (1), lengths (4, 4), hashes, leaf, extra: of an entry that was there before |
| 20 ``Failure`` | sequencer | number (8), kind of error (1), lengths (4, 4), message, hint |

``number`` is the worker's, for an entry until it is answered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.merkle import HASH_SIZE
from sigcore.values import dataclass
from tlog.submission import Frozen, Receipt, Submission

LENGTH: Final = 4
FRAME: Final = 1 << 20
"""A frame is closed when it has so many bytes; so no reader holds more than this and one message."""
EXTRA: Final = 2 * limits.CHAIN_CERTIFICATES * limits.CERTIFICATE
"""The largest thing beside a leaf is a chain."""
MOST: Final = FRAME + EXTRA + limits.ENTRY + 4096
"""Bytes of a frame, by what may be in it."""
TEXT: Final = limits.TEXT
"""Characters of an error's message."""
REPORT: Final = 256 * 1024
"""Bytes of a report: it has a row for each route, method and status."""
_ENTRY, _REPORT, _HEAD, _ADDED, _KNOWN, _FAILED = 1, 2, 17, 18, 19, 20
_HEAD_HEAD: Final = struct.Struct(">BQ32sI")
_ENTRY_HEAD: Final = struct.Struct(">BQB32sII")
_REPORT_HEAD: Final = struct.Struct(">BI")
_ADDED_HEAD: Final = struct.Struct(">BQQB")
_KNOWN_HEAD: Final = struct.Struct(">BQQBII")
_FAILURE_HEAD: Final = struct.Struct(">BQBII")
_KINDS: Final[tuple[type[SigError], ...]] = (Frozen, Malformed, Refused, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry for the log at place ``log`` of the list that both ends have."""

    number: int
    log: int
    submission: Submission


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker has counted; see :mod:`stack.workers.counts`."""

    counts: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The receipt of an entry. ``known`` is what the log has of it, where it was there before."""

    number: int
    index: int
    size: int
    root: bytes
    checkpoint: str
    proof: tuple[bytes, ...]
    known: tuple[bytes, bytes] | None

    def receipt(self, sent: Submission) -> Receipt:
        """As the log gave it for ``sent``."""
        leaf, extra = (sent.leaf, sent.extra) if self.known is None else self.known
        duplicate = self.known is not None
        return Receipt(self.index, leaf, self.size, self.root, self.proof, self.checkpoint, duplicate, extra)


@dataclass(frozen=True, slots=True)
class Failure:
    """That an entry was not taken, or that it is not known whether it was."""

    number: int
    error: SigError


Asked: TypeAlias = Entry | Report
Told: TypeAlias = Answer | Failure


# --- write ---------------------------------------------------------------------------------------------
def encode_asked(messages: Iterable[Asked]) -> Iterator[bytes]:
    """The frames of a worker."""
    return encode_frames(map(_encode_asked, messages))


def _encode_asked(message: Asked) -> bytes:
    if isinstance(message, Entry):
        return encode_entry(message.number, message.log, message.submission)
    return encode_report(message)


def encode_frames(messages: Iterable[bytes]) -> Iterator[bytes]:
    """The frames of a worker whose messages are encoded already."""
    frame = _Frame()
    for message in messages:
        frame.add(message)
        if frame.size >= FRAME:
            yield frame.take()
    if frame.size:
        yield frame.take()


def encode_told(outcomes: Iterable[tuple[int, Receipt | SigError]]) -> Iterator[bytes]:
    """The frames of the sequencer: what became of the entries with these numbers. Receipts of one batch follow each other."""
    frame = _Frame()
    checkpoint: str | None = None
    for number, outcome in outcomes:
        if isinstance(outcome, SigError):
            frame.add(_encode_failure(number, outcome))
        else:
            if outcome.checkpoint != checkpoint:
                frame.add(_encode_head(outcome))
                checkpoint = outcome.checkpoint
            frame.add(_encode_receipt(number, outcome))
        if frame.size >= FRAME:
            yield frame.take()
            checkpoint = None
    if frame.size:
        yield frame.take()


class _Frame:
    """Messages that are sent together."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self.size = 0

    def add(self, message: bytes) -> None:
        self._messages.append(message)
        self.size += len(message)

    def take(self) -> bytes:
        """All of them as they are sent; it is empty then."""
        frame = b"".join((self.size.to_bytes(LENGTH, "big"), *self._messages))
        self._messages, self.size = [], 0
        return frame


def encode_entry(number: int, log: int, sent: Submission) -> bytes:
    """The message that :class:`Entry` is."""
    leaf, extra = sent.leaf, sent.extra
    return _ENTRY_HEAD.pack(_ENTRY, number, log, sent.identity, len(leaf), len(extra)) + leaf + extra


def encode_report(report: Report) -> bytes:
    """The message that :class:`Report` is."""
    return _REPORT_HEAD.pack(_REPORT, len(report.counts)) + report.counts


def _encode_head(receipt: Receipt) -> bytes:
    checkpoint = receipt.checkpoint.encode()
    return _HEAD_HEAD.pack(_HEAD, receipt.size, receipt.root, len(checkpoint)) + checkpoint


def _encode_receipt(number: int, receipt: Receipt) -> bytes:
    head = number, receipt.index, len(receipt.proof)
    if not receipt.duplicate:
        return b"".join((_ADDED_HEAD.pack(_ADDED, *head), *receipt.proof))
    sizes = len(receipt.leaf), len(receipt.extra)
    return b"".join((_KNOWN_HEAD.pack(_KNOWN, *head, *sizes), *receipt.proof, receipt.leaf, receipt.extra))


def _encode_failure(number: int, error: SigError) -> bytes:
    kind = next(place for place, kind in enumerate(_KINDS) if isinstance(error, kind))
    message, hint = (text[:TEXT].encode("utf-8", "replace") for text in (error.message, error.hint))
    return _FAILURE_HEAD.pack(_FAILED, number, kind, len(message), len(hint)) + message + hint


# --- read ----------------------------------------------------------------------------------------------
class Splitter:
    """Frames out of a stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The content of the frames that are whole with ``data``.

        Raises:
            Malformed: a frame is empty, or longer than :data:`MOST`.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= LENGTH:
            size = int.from_bytes(buffer[start : start + LENGTH], "big")
            if not 1 <= size <= MOST:
                raise Malformed(f"a frame says that it has {size} bytes, expected 1 to {MOST}")
            end = start + LENGTH + size
            if end > len(buffer):
                break
            yield bytes(buffer[start + LENGTH : end])
            start = end
        del buffer[:start]


def parse_asked(frame: bytes) -> tuple[Asked, ...]:
    """The messages of a worker.

    Raises:
        Malformed: not what the table says.
    """
    reader = _Reader(frame)
    found: list[Asked] = []
    while reader.at < reader.end:
        kind = frame[reader.at]
        if kind == _ENTRY:
            _, number, log, identity, leaf, extra = reader.head(_ENTRY_HEAD)
            found.append(
                Entry(number, log, Submission(reader.take(leaf, limits.ENTRY), identity, reader.take(extra, EXTRA)))
            )
        elif kind == _REPORT:
            _, size = reader.head(_REPORT_HEAD)
            found.append(Report(reader.take(size, REPORT)))
        else:
            raise Malformed(f"a worker sent a message of kind {kind}")
    return tuple(found)


def parse_told(frame: bytes) -> tuple[Told, ...]:
    """The messages of the sequencer.

    Raises:
        Malformed: not what the table says.
    """
    reader = _Reader(frame)
    found: list[Told] = []
    head: tuple[int, bytes, str] | None = None
    while reader.at < reader.end:
        kind = frame[reader.at]
        if kind == _HEAD:
            _, size, root, length = reader.head(_HEAD_HEAD)
            head = size, root, reader.text(length, limits.NOTE)
        elif kind in (_ADDED, _KNOWN):
            if head is None:
                raise Malformed("the sequencer sent a receipt without a head")
            found.append(_answer(reader, *head, known=kind == _KNOWN))
        elif kind == _FAILED:
            found.append(_failure(reader))
        else:
            raise Malformed(f"the sequencer sent a message of kind {kind}")
    return tuple(found)


def _answer(reader: _Reader, size: int, root: bytes, checkpoint: str, *, known: bool) -> Answer:
    _, number, index, count, *sizes = reader.head(_KNOWN_HEAD if known else _ADDED_HEAD)
    hashes = reader.take(count * HASH_SIZE, limits.PROOF_HASHES * HASH_SIZE)
    proof = tuple([hashes[start : start + HASH_SIZE] for start in range(0, len(hashes), HASH_SIZE)])
    stored = (reader.take(sizes[0], limits.ENTRY), reader.take(sizes[1], EXTRA)) if known else None
    return Answer(number, index, size, root, checkpoint, proof, stored)


def _failure(reader: _Reader) -> Failure:
    _, number, kind, message, hint = reader.head(_FAILURE_HEAD)
    if kind >= len(_KINDS):
        raise Malformed(f"an error is of kind {kind}")
    return Failure(number, _KINDS[kind](reader.text(message, 4 * TEXT), reader.text(hint, 4 * TEXT)))


class _Reader:
    """One message after the other. Not :class:`sigcore.tls.Reader`: a call for each number would be half of an entry's cost."""

    __slots__ = ("_data", "at", "end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self.end = len(data)

    def head(self, form: struct.Struct) -> tuple[Any, ...]:
        """The numbers at the begin of a message."""
        at = self.at
        self.at += form.size
        if self.at > self.end:
            raise self._short()
        return form.unpack_from(self._data, at)

    def take(self, size: int, limit: int) -> bytes:
        """``size`` bytes, at most ``limit``."""
        if size > limit:
            raise Malformed(f"a frame has a part of {size} bytes, the limit is {limit}")
        at = self.at
        self.at += size
        if self.at > self.end:
            raise self._short()
        return self._data[at : self.at]

    def text(self, size: int, limit: int) -> str:
        """The same as UTF-8."""
        try:
            return self.take(size, limit).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a frame holds a text that is not UTF-8") from error

    def _short(self) -> Malformed:
        return Malformed(f"a frame ends {self.at - self.end} bytes before the end of its last part")
