# SPDX-License-Identifier: Apache-2.0
"""Certificates that differ from an earlier one in nothing but what is a certificate's own.

An authority gives one signer the same certificate again and again, but for the serial number, the times, the key and its
identifier, and the SCTs: these are a certificate's own, and so is the signature. They lie at the same places, as long as their
sizes are the same.

1. What is met for the first time is read by :func:`sigcore.x509.parse_certificate`, and kept.
2. When a second one says the same but for its own parts, a pattern is made of the first: where these lie in the signed part, and
   every byte around them. The tags and lengths of the own parts are among the bytes around.
3. Whatever has the same bytes around is cut at the same places: to read it from its beginning would lead to them. The own parts are
   looked at as in any certificate.
4. The answer is ``like`` the first one. What does not depend on the own parts can be judged once, and kept for the first one.

Everything else, good or bad, is read by :func:`~sigcore.x509.parse_certificate`. It is the oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, Final

from sigcore import der
from sigcore.errors import Malformed
from sigcore.extensions import SCT_LIST, SUBJECT_KEY_ID
from sigcore.values import dataclass
from sigcore.x509 import Certificate, Extension, parse_certificate, parse_moment

_OWN: Final = (SUBJECT_KEY_ID, SCT_LIST)
_LONG: Final = b"\x30\x82"
"""A SEQUENCE of 256 bytes to 64 KiB: the certificate, and its signed part."""
_SMALL: Final = 4096
"""Bytes of a signed part; larger ones are not kept, so that what others send cannot fill the memory."""
_KEPT: Final = 8
"""Patterns of one size, and certificates that wait for a second one."""
_SERIAL: Final = 20
"""Bytes of a serial number whose first one is not 0 (RFC 5280 section 4.1.2.2)."""
_NAME: Final = "the certificate"


@dataclass(frozen=True, slots=True)
class _Pattern:
    first: Certificate
    end: int
    """Of the signed part in a certificate."""
    cut_around: itemgetter[Any]
    around: tuple[bytes, ...]
    cut_own: itemgetter[Any]
    """The serial number's content, both times and the public key as they stand, the values of the own extensions."""
    places: tuple[int, ...]
    """Of the own extensions among all."""


@dataclass(frozen=True, slots=True)
class _Memory:
    patterns: list[_Pattern]
    waiting: list[Certificate]


@lru_cache(maxsize=64)
def _memory(head: bytes) -> _Memory:  # noqa: ARG001 - the key of the cache
    """What is known of certificates whose signed part has the tag and length ``head``. They count up to ``_KEPT``."""
    return _Memory([], [])


def parse_leaf(data: bytes, *, what: str = _NAME) -> Certificate:
    """:func:`sigcore.x509.parse_certificate`, faster for certificates that are like one that has been read before.

    Raises:
        Malformed: as there.
    """
    memory = _memory(data[4:8])
    for pattern in memory.patterns:
        found = _cut(pattern, data)
        if found is not None:
            return found
    certificate = parse_certificate(data, what=what)
    if len(certificate.tbs) <= _SMALL:
        _keep(certificate, memory)
    return certificate


def _cut(pattern: _Pattern, data: bytes) -> Certificate | None:
    """The certificate in ``data``, if it fits the pattern."""
    first, rest = pattern.first, data[pattern.end :]
    tbs, head = data[4 : pattern.end], len(first.signature_algorithm) + 3
    size = len(rest) - head  # of the signature
    if not (
        0 <= size < 0x7F
        and pattern.cut_around(tbs) == pattern.around
        and data[:4] == _LONG + (len(data) - 4).to_bytes(2, "big")
        and rest.startswith(first.signature_algorithm)
        and rest[head - 3 : head] == bytes((der.BIT_STRING, size + 1, 0))
    ):
        return None
    number, begin, end, spki, *values = pattern.cut_own(tbs)
    try:
        not_before, not_after = parse_moment(begin, _NAME, "notBefore"), parse_moment(end, _NAME, "notAfter")
    except Malformed:
        return None
    if not 0 < number[0] < 0x80 or not_before > not_after:
        return None
    listed = list(first.extensions)
    for place, value in zip(pattern.places, values, strict=True):
        listed[place] = Extension(listed[place].oid, listed[place].critical, value)
    return Certificate(
        data,
        tbs,
        int.from_bytes(number, "big"),
        first.issuer,
        first.subject,
        not_before,
        not_after,
        spki,
        tuple(listed),
        first.signature_algorithm,
        rest[head:],
        first,
    )


# --- patterns ----------------------------------------------------------------------------------------
def _keep(certificate: Certificate, memory: _Memory) -> None:
    """Make a pattern of a certificate that waits for one that says the same; otherwise it is this one that waits."""
    patterns, waiting = memory.patterns, memory.waiting
    said = _said(certificate)
    for first in waiting:
        if _said(first) == said and (pattern := _pattern(first)) is not None:
            waiting[:] = [one for one in waiting if one is not first]
            patterns.insert(0, pattern)
            del patterns[_KEPT:]
            return
    waiting.insert(0, certificate)
    del waiting[_KEPT:]


def _said(certificate: Certificate) -> tuple[object, ...]:
    """What a pattern would hold fast, and the sizes of all else."""
    listed = [
        (one.oid, one.critical, len(one.value) if one.oid in _OWN else one.value) for one in certificate.extensions
    ]
    size = certificate.serial.bit_length() // 8
    return certificate.issuer, certificate.subject, certificate.signature_algorithm, size, len(certificate.spki), listed


def _pattern(first: Certificate) -> _Pattern | None:
    """A pattern of ``first``; None where it has not the usual form, or a serial number of more than 20 bytes."""
    tbs = first.tbs
    try:
        _, number, _, _, validity, _, spki, wrapped = _spans(tbs, len(tbs))
        begin, end = _spans(tbs[slice(*validity)], validity[1])
        around_list = tbs[slice(*wrapped)]
        listed = _spans(around_list[der.content_start(around_list, der.context(3)) :], len(tbs))
        key = spki[0] + der.content_start(tbs[slice(*spki)], der.SEQUENCE)
    except (ValueError, IndexError):
        return None
    serial = number[0] + 2, number[1]
    if serial[1] - serial[0] > _SERIAL:
        return None
    places = [place for place, extension in enumerate(first.extensions) if extension.oid in _OWN]
    values = [(listed[place][1] - len(first.extensions[place].value), listed[place][1]) for place in places]
    free = [serial, (begin[0] + 2, begin[1]), (end[0] + 2, end[1]), (key, spki[1]), *values]
    around = zip([0, *[after for _, after in free]], [*[before for before, _ in free], len(tbs)], strict=True)
    cut_around, cut_own = _cutter(around), _cutter([serial, begin, end, spki, *values])
    return _Pattern(first, 4 + len(tbs), cut_around, cut_around(tbs), cut_own, tuple(places))


def _cutter(spans: Iterable[tuple[int, int]]) -> itemgetter[Any]:
    """What takes all of ``spans`` out of a byte string at once."""
    return itemgetter(*[slice(*span) for span in spans])


def _spans(element: bytes, end: int) -> list[tuple[int, int]]:
    """Where the members of a SEQUENCE begin and end; ``end`` is where the SEQUENCE does."""
    members = der.members(element)
    ends = [*accumulate(map(len, members), initial=end - sum(map(len, members)))]
    return [*pairwise(ends)]
