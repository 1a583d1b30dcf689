# SPDX-License-Identifier: Apache-2.0
"""What a worker and the sequencer say to each other: bytes <-> values. Both ends are of one program and one start.

A frame is its length in four bytes, and then messages to its end. A message is its kind in one byte, and what its row says; numbers
are big-endian, ``opaque<n>`` is a length in n bytes and so many bytes.

| kind | from | content |
|---|---|---|
| 1 ``Entry`` | worker | number (8), log (1), identity (32), leaf opaque<3>, extra opaque<3> |
| 2 ``Report`` | worker | counts opaque<3> |
| 17 head | sequencer | size (8), root (32), checkpoint opaque<3>: of the receipts that follow in this frame |
| 18 receipt | sequencer | number (8), index (8), count (1), count * 32 bytes: of an entry that was added; leaf and extra are as they were sent |
| 19 receipt | sequencer | the same, then leaf opaque<3>, extra opaque<3>: of an entry that was there before |
| 20 ``Failure`` | sequencer | number (8), kind of error (1), message opaque<3>, hint opaque<3> |

``number`` is the worker's, for an entry until it is answered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.merkle import HASH_SIZE
from sigcore.tls import Reader, opaque
from sigcore.values import dataclass
from tlog.submission import Receipt, Submission

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
_HEAD_HEAD: Final = struct.Struct(">BQ32s")
_ENTRY_HEAD: Final = struct.Struct(">BQB32s")
_RECEIPT_HEAD: Final = struct.Struct(">BQQB")
_FAILURE_HEAD: Final = struct.Struct(">BQB")
_KINDS: Final[tuple[type[SigError], ...]] = (Malformed, Refused, NotFound, Unavailable)


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
    frame = _Frame()
    for message in messages:
        frame.add(_encode_entry(message) if isinstance(message, Entry) else _encode_report(message))
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


def _encode_entry(entry: Entry) -> bytes:
    sent = entry.submission
    head = _ENTRY_HEAD.pack(_ENTRY, entry.number, entry.log, sent.identity)
    return b"".join((head, opaque(sent.leaf, 3), opaque(sent.extra, 3)))


def _encode_report(report: Report) -> bytes:
    return bytes((_REPORT,)) + opaque(report.counts, 3)


def _encode_head(receipt: Receipt) -> bytes:
    return b"".join((_HEAD_HEAD.pack(_HEAD, receipt.size, receipt.root), opaque(receipt.checkpoint.encode(), 3)))


def _encode_receipt(number: int, receipt: Receipt) -> bytes:
    kind = _KNOWN if receipt.duplicate else _ADDED
    head = _RECEIPT_HEAD.pack(kind, number, receipt.index, len(receipt.proof))
    known = (opaque(receipt.leaf, 3), opaque(receipt.extra, 3)) if receipt.duplicate else ()
    return b"".join((head, *receipt.proof, *known))


def _encode_failure(number: int, error: SigError) -> bytes:
    kind = next(place for place, kind in enumerate(_KINDS) if isinstance(error, kind))
    texts = [opaque(text[:TEXT].encode("utf-8", "replace"), 3) for text in (error.message, error.hint)]
    return b"".join((_FAILURE_HEAD.pack(_FAILED, number, kind), *texts))


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
    reader = Reader(frame, "a worker's frame")
    found: list[Asked] = []
    while not reader.at_end:
        match reader.uint(1):
            case kind if kind == _ENTRY:
                found.append(_entry(reader))
            case kind if kind == _REPORT:
                found.append(Report(reader.opaque(3, REPORT)))
            case kind:
                raise Malformed(f"a worker sent a message of kind {kind}")
    return tuple(found)


def _entry(reader: Reader) -> Entry:
    number, log, identity = reader.uint(8), reader.uint(1), reader.fixed(HASH_SIZE)
    return Entry(number, log, Submission(reader.opaque(3, limits.ENTRY), identity, reader.opaque(3, EXTRA)))


def parse_told(frame: bytes) -> tuple[Told, ...]:
    """The messages of the sequencer.

    Raises:
        Malformed: not what the table says.
    """
    reader = Reader(frame, "the sequencer's frame")
    found: list[Told] = []
    head: tuple[int, bytes, str] | None = None
    while not reader.at_end:
        kind = reader.uint(1)
        if kind == _HEAD:
            head = reader.uint(8), reader.fixed(HASH_SIZE), _text(reader, limits.NOTE)
        elif kind in (_ADDED, _KNOWN):
            if head is None:
                raise Malformed("the sequencer sent a receipt without a head")
            found.append(_answer(reader, head, known=kind == _KNOWN))
        elif kind == _FAILED:
            found.append(_failure(reader))
        else:
            raise Malformed(f"the sequencer sent a message of kind {kind}")
    return tuple(found)


def _answer(reader: Reader, head: tuple[int, bytes, str], *, known: bool) -> Answer:
    number, index, count = reader.uint(8), reader.uint(8), reader.uint(1)
    if count > limits.PROOF_HASHES:
        raise Malformed(f"a receipt has a proof of {count} hashes")
    hashes = reader.fixed(count * HASH_SIZE)
    proof = tuple(hashes[start : start + HASH_SIZE] for start in range(0, len(hashes), HASH_SIZE))
    stored = (reader.opaque(3, limits.ENTRY), reader.opaque(3, EXTRA)) if known else None
    size, root, checkpoint = head
    return Answer(number, index, size, root, checkpoint, proof, stored)


def _failure(reader: Reader) -> Failure:
    number, kind = reader.uint(8), reader.uint(1)
    if kind >= len(_KINDS):
        raise Malformed(f"an error is of kind {kind}")
    return Failure(number, _KINDS[kind](_text(reader, 4 * TEXT), _text(reader, 4 * TEXT)))


def _text(reader: Reader, limit: int) -> str:
    try:
        return reader.opaque(3, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{reader.what} holds a text that is not UTF-8") from error
