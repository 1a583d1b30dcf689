# SPDX-License-Identifier: Apache-2.0
"""TSTInfo: what a timestamp authority signs.

::

    TSTInfo ::= SEQUENCE {
      version INTEGER 1, policy OBJECT IDENTIFIER, messageImprint SEQUENCE { AlgorithmIdentifier, OCTET STRING },
      serialNumber INTEGER, genTime GeneralizedTime, accuracy Accuracy OPTIONAL, ordering BOOLEAN DEFAULT FALSE,
      nonce INTEGER OPTIONAL, tsa [0] GeneralName OPTIONAL, extensions [1] IMPLICIT Extensions OPTIONAL }

Source: RFC 3161 section 2.4.2.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

from sigcore import cms, der, limits
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.strict import shown
from sigcore.values import dataclass

_DEPTH: Final = 16
"""Its deepest member is the tsa name, which nests six levels."""
INTEGER_BITS: Final = 8 * limits.NONCE
_IMPRINT_ALGORITHMS: Final = {h: der.sequence(der.oid(h.oid), der.null()) for h in HashAlgorithm}


@dataclass(frozen=True, slots=True)
class TimestampInfo:
    """TSTInfo: at ``time`` the authority saw ``digest``; ``accuracy_us`` is its accuracy in microseconds, if it says.

    ``ordering`` is its claim that its tokens can be ordered by their times alone, ``tsa`` how it calls itself: a GeneralName in DER,
    unread. Nothing here believes either.
    """

    policy: str
    hash: HashAlgorithm
    digest: bytes
    serial: int
    time: datetime
    nonce: int | None = None
    accuracy_us: int | None = None
    ordering: bool = False
    tsa: bytes | None = None


# --- write -----------------------------------------------------------------------------------------
def encode_imprint(hashing: HashAlgorithm, digest: bytes) -> bytes:
    """MessageImprint, which requests and tokens share; NULL parameters as every client writes them."""
    return der.sequence(_IMPRINT_ALGORITHMS[hashing], der.octet_string(digest))


_encoded_oid = lru_cache(maxsize=64)(der.oid)
_encoded_time = lru_cache(maxsize=4)(der.generalized_time)
"""A busy authority writes one second into thousands of tokens."""


def encode_info(info: TimestampInfo) -> bytes:
    """TSTInfo version 1; the time is cut to whole seconds, as :func:`sigcore.der.generalized_time` writes it."""
    return der.sequence(
        b"\x02\x01\x01",
        _encoded_oid(info.policy),
        encode_imprint(info.hash, info.digest),
        der.integer(info.serial),
        _encoded_time(info.time),
        _encode_accuracy(info.accuracy_us),
        der.boolean(True) if info.ordering else b"",
        der.integer(info.nonce) if info.nonce is not None else b"",
        der.tlv(der.context(0), info.tsa) if info.tsa is not None else b"",
    )


@lru_cache(maxsize=8)
def _encode_accuracy(accuracy_us: int | None) -> bytes:
    """Accuracy: seconds, millis [0] 1..999, micros [1] 1..999, each left out where it is zero."""
    if accuracy_us is None:
        return b""
    seconds, rest = divmod(accuracy_us, 1_000_000)
    parts = [der.integer(seconds)] if seconds else []
    for number, value in enumerate(divmod(rest, 1000)):
        if value:
            parts.append(der.tlv(der.context(number, constructed=False), der.integer(value)[2:]))
    return der.sequence(*parts)


def parse_info(data: bytes) -> TimestampInfo:
    """A TSTInfo (RFC 3161 section 2.4.2).

    Raises:
        Malformed: not DER, or a member out of its range.
        Refused: a critical extension, none of which is known here.
    """
    outer = der.Reader(data, "the TSTInfo", _DEPTH)
    fields = outer.enter()
    outer.finish()
    if (version := fields.integer()) != 1:
        raise Malformed(f"the TSTInfo has version {shown(version)}, expected 1")
    policy = fields.oid()
    imprint = fields.enter()
    hashing = HashAlgorithm.by_oid(cms.algorithm(imprint), what="the hash algorithm of the TSTInfo")
    digest = imprint.octet_string()
    imprint.finish()
    serial, time = _integer(fields), fields.generalized_time()
    accuracy_us = _accuracy(fields.optional(der.SEQUENCE))
    ordering = fields.default_false()
    nonce = _integer(fields) if fields.peek() == der.INTEGER else None
    tsa = fields.content(der.context(0)) if fields.peek() == der.context(0) else None
    _refuse_critical(fields.optional(der.context(1)))
    fields.finish()
    return TimestampInfo(policy, hashing, digest, serial, time, nonce, accuracy_us, ordering, tsa)


def _integer(fields: der.Reader) -> int:
    """Serial number or nonce of a token. Authorities exist that write negative ones; the bound keeps them printable."""
    value = fields.integer()
    if value.bit_length() > INTEGER_BITS:
        raise Malformed(f"{fields.what} has an INTEGER of {value.bit_length()} bits, the limit is {INTEGER_BITS}")
    return value


def _accuracy(fields: der.Reader | None) -> int | None:
    if fields is None:
        return None
    total = _integer(fields) * 1_000_000 if fields.peek() == der.INTEGER else 0
    for number, unit in ((0, 1000), (1, 1)):
        tag = der.context(number, constructed=False)
        if fields.peek() == tag:
            value = der.Reader(der.tlv(der.INTEGER, fields.content(tag)), fields.what).integer()
            if not 1 <= value <= 999:
                raise Malformed(f"{fields.what} has an accuracy part outside 1 to 999")
            total += value * unit
    fields.finish()
    return total


def _refuse_critical(extensions: der.Reader | None) -> None:
    while extensions is not None and not extensions.at_end:
        fields = extensions.enter()
        oid = fields.oid()
        if fields.default_false():
            raise Refused(f"the TSTInfo has the critical extension {oid}, which is not known here")
        fields.octet_string()
        fields.finish()
