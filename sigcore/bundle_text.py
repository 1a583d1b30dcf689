# SPDX-License-Identifier: Apache-2.0
"""Bundles of one writer: the text around the values is the same in all of them.

1. A text is split at its quotation marks. Every other part is then the inside of a string: a name, or a value.
2. Of a text that has been read before it is known which parts hold which values (:func:`learn`). They are found with the reader of
   JSON, in the same text with the number of its part in the place of each value.
3. A text with as many parts, and the same in all the other places, is the same JSON with other values, as long as no value holds a
   backslash. Base64 and decimal numbers hold none; the note of a checkpoint holds those of its line ends and of its dash.

Only bundles with one log entry over the signature of a file are known in this way. Every other text, good or bad, is for the
readers in :mod:`sigcore.bundle`, which are the oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeAlias

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.strict import parse_base64_texts, parse_json
from sigcore.values import dataclass

_SMALL: Final = 24 * 1024
"""Bytes of a text; no certificate, body or timestamp in it can be longer than its limit."""
_AROUND: Final = 4096
"""Bytes around the values; longer ones are not kept, so that what others send cannot fill the memory."""
_KEPT: Final = 8
"""Texts with as many parts as each other."""
_HASH: Final = 32


BundleText: TypeAlias = tuple[str, HashAlgorithm, bytes, bytes, bytes, LogEntry, tuple[bytes, ...]]
"""What the text of a bundle says: media type, algorithm of the digest, certificate, digest, signature, entry, timestamps."""


@dataclass(frozen=True, slots=True)
class _Form:
    """``media_type`` to ``log_id`` are in the text around the values."""

    media_type: str
    algorithm: HashAlgorithm
    kind: str
    version: str
    log_id: bytes
    promised: bool
    stamps: int
    cut_around: itemgetter[Any]
    around: tuple[bytes, ...]
    cut_data: itemgetter[Any]
    """In base64: certificate, digest, signature, body, root, promise if there is one, timestamps, the hashes of the proof."""
    cut_numbers: itemgetter[Any]
    """Index in the log, index in the tree, size of the tree, time if there is one."""
    note: int
    """Where the checkpoint is."""


@lru_cache(maxsize=64)
def _forms(parts: int) -> list[_Form]:  # noqa: ARG001 - the key of the cache
    """The forms of texts with so many parts, the newest first, up to ``_KEPT``."""
    return []


def read_known(data: bytes) -> BundleText | None:
    """What a text says that is like one that was learnt; None for all others."""
    if len(data) > _SMALL:
        return None
    parts = data.split(b'"')
    for form in _forms(len(parts)):
        if form.cut_around(parts) == form.around:
            try:
                return _read(form, parts)
            except (ValueError, Malformed):
                return None
    return None


def _read(form: _Form, parts: list[bytes]) -> BundleText:
    """ValueError, Malformed: not of this form after all, or bad."""
    certificate, digest, signature, body, root, *more = parse_base64_texts(form.cut_data(parts), what="the bundle")
    promise = more.pop(0) if form.promised else None
    stamps, hashes = tuple(more[: form.stamps]), tuple(more[form.stamps :])
    if {_HASH} != {len(root), *map(len, hashes)} or len(digest) != form.algorithm.size:
        raise ValueError("another length")
    if max(len(signature), len(promise or b"")) > limits.SIGNATURE:
        raise ValueError("too long")
    index, leaf, size, *time = _numbers(form.cut_numbers(parts))
    proof = InclusionProof(leaf, size, root, hashes, _note(parts[form.note]))
    entry = LogEntry(index, form.log_id, form.kind, form.version, time[0] if time else 0, body, proof, promise)
    return form.media_type, form.algorithm, certificate, digest, signature, entry, stamps


def _numbers(texts: tuple[bytes, ...]) -> list[int]:
    """Decimal numbers from 0 to 2**63-1, each in its one spelling."""
    numbers = [*map(int, texts)]
    if b" ".join(texts) != " ".join(map(str, numbers)).encode() or min(numbers) < 0 or max(numbers) > limits.INT64_MAX:
        raise ValueError("another number")
    return numbers


def _note(raw: bytes) -> str:
    """The inside of a JSON string without control characters, and without escapes but two."""
    text = raw.decode("utf-8")
    note = text.replace("\\n", "\n").replace("\\u2014", "\u2014")
    if not note or "\\" in note or not text.isprintable():
        raise ValueError("empty, or another escape")
    return note


# --- forms -------------------------------------------------------------------------------------------
def learn(data: bytes, media_type: str, algorithm: HashAlgorithm, entry: LogEntry, stamps: int) -> None:
    """Keep the form of ``data``, if it is short: the text of a bundle of which the other arguments have been read.

    Args:
        data: JSON in which every quotation mark delimits a string, and no object names a member twice.
        media_type: of the bundle.
        algorithm: of the digest of the file that it is about.
        entry: its only log entry, with a proof.
        stamps: the number of its timestamps.
    """
    parts = data.split(b'"')
    values, numbers, note = _places(parts, promised=entry.promise is not None)
    free = {note, *values, *numbers}
    cut_around = itemgetter(*[place for place in range(len(parts)) if place not in free])
    around = cut_around(parts)
    if len(data) > _SMALL or sum(map(len, around)) > _AROUND:
        return
    said = (media_type, algorithm, entry.kind, entry.version, entry.log_id, entry.promise is not None, stamps)
    forms = _forms(len(parts))
    forms.insert(0, _Form(*said, cut_around, around, itemgetter(*values), itemgetter(*numbers), note))
    del forms[_KEPT:]


def _places(parts: list[bytes], *, promised: bool) -> tuple[list[int], list[int], int]:
    """Where the values are that stand in base64, the numbers, and the checkpoint: see :class:`_Form`."""
    document: Any = parse_json(b'"'.join(_numbered(parts)), what="the bundle", limit=limits.BUNDLE)
    material, message = document["verificationMaterial"], document["messageSignature"]
    (entry,) = material["tlogEntries"]
    proof, stamps = entry["inclusionProof"], material.get("timestampVerificationData") or {}
    values = [
        material["certificate"]["rawBytes"],
        message["messageDigest"]["digest"],
        message["signature"],
        entry["canonicalizedBody"],
        proof["rootHash"],
        *([entry["inclusionPromise"]["signedEntryTimestamp"]] if promised else []),
        *[stamp["signedTimestamp"] for stamp in stamps.get("rfc3161Timestamps", [])],
        *proof["hashes"],
    ]
    numbers = [entry["logIndex"], proof["logIndex"], proof["treeSize"]]
    numbers += [entry["integratedTime"]] if "integratedTime" in entry else []
    return [*map(int, values)], [*map(int, numbers)], int(proof["checkpoint"]["envelope"])


def _numbered(parts: list[bytes]) -> Iterator[bytes]:
    """The parts, each value replaced by its place; names stay."""
    for place, part in enumerate(parts):
        is_text = place % 2 == 1 and not parts[place + 1].lstrip().startswith(b":")
        yield b"%d" % place if is_text else part
