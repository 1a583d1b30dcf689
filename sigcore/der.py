# SPDX-License-Identifier: Apache-2.0
"""DER, the subset of X.690 that certificates and timestamps need: builders and a strict reader.

Builders return whole TLVs as ``bytes``. The reader accepts only definite, minimal lengths, minimal integers and single-byte
tags, and never returns without having consumed exactly what it claims.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.patterns import pattern

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31

_UTC = pattern(rb"\d{12}Z\Z")
_GENERALIZED = pattern(rb"(\d{14})(?:\.(\d{1,5}[1-9]|[1-9]))?Z\Z")


def context(number: int, *, constructed: bool = True) -> int:
    """The tag byte of a context-specific tag ``[number]``, 0..30."""
    return 0x80 | (0x20 if constructed else 0) | number


# --- build -----------------------------------------------------------------------------------------
def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, minimal length, content (X.690 section 8.1)."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x10000:
        head = (tag, 0x81, size) if size < 0x100 else (tag, 0x82, size >> 8, size & 0xFF)
        return bytes(head) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE."""
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF, elements in ascending order (X.690 section 11.6)."""
    return tlv(SET, *sorted(parts))


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the one argument is the value
    """BOOLEAN."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def integer(value: int) -> bytes:
    """INTEGER, minimal two's complement."""
    return tlv(INTEGER, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True))


def null() -> bytes:
    """NULL."""
    return b"\x05\x00"


def octet_string(data: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(OCTET_STRING, data)


def bit_string(data: bytes, unused_bits: int = 0) -> bytes:
    """BIT STRING; ``unused_bits`` of the last byte do not count."""
    return tlv(BIT_STRING, bytes((unused_bits,)), data)


def utf8_string(text: str) -> bytes:
    """UTF8String."""
    return tlv(UTF8_STRING, text.encode("utf-8"))


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form, which is trusted to be valid."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OID, b"".join(_arc(arc) for arc in (first * 40 + second, *rest)))


def _arc(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


def generalized_time(moment: datetime) -> bytes:
    """GeneralizedTime in UTC, whole seconds (RFC 5280 section 4.1.2.5.2)."""
    return tlv(GENERALIZED_TIME, _digits(moment.astimezone(UTC)))


def time(moment: datetime) -> bytes:
    """Time as RFC 5280 section 4.1.2.5 picks it: UTCTime through 2049, GeneralizedTime after."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    if 1950 <= moment.year < 2050:
        return tlv(UTC_TIME, _digits(moment)[2:])
    return tlv(GENERALIZED_TIME, _digits(moment))


def _digits(moment: datetime) -> bytes:
    """YYYYMMDDHHMMSSZ; ``strftime`` takes ten times as long, and writes years before 1000 without zeros."""
    fields = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return b"%04d%02d%02d%02d%02d%02dZ" % fields


# --- read ------------------------------------------------------------------------------------------
def members(element: bytes, tag: int = SEQUENCE) -> list[bytes]:
    """What the one constructed element ``element`` holds, each member as it stands, found in one pass.

    For readers that know the usual form of something and take a :class:`Reader` for all else, which also says what is wrong.

    Raises:
        ValueError, IndexError: another tag, bytes left over, or what :meth:`Reader.element` would refuse; also 64 KiB or more.
    """
    position, end = content_start(element, tag), len(element)
    found = []
    while position < end:
        size = element[position + 1]
        if size < 0x80:
            after = position + 2 + size
        elif size == 0x81 and element[position + 2] >= 0x80:
            after = position + 3 + element[position + 2]
        elif size == 0x82 and element[position + 2]:
            after = position + 4 + (element[position + 2] << 8 | element[position + 3])
        else:
            raise ValueError("a length that is not minimal, or long")
        if element[position] & 0x1F == 0x1F:
            raise ValueError("a tag of several bytes")
        found.append(element[position:after])
        position = after
    if position != end:
        raise ValueError("an element that is longer than what holds it")
    return found


def content_start(element: bytes, tag: int) -> int:
    """Where the content of the one element ``element`` begins; as :func:`members` otherwise."""
    size, start = element[1], 2
    if size >= 0x80:
        if size == 0x81 and element[2] >= 0x80:
            size, start = element[2], 3
        elif size == 0x82 and element[2]:
            size, start = element[2] << 8 | element[3], 4
        else:
            raise ValueError("a length that is not minimal, or long")
    if element[0] != tag or start + size != len(element):
        raise ValueError("another tag, or another length")
    return start


class Reader:
    """Reads TLVs one after the other from ``data``; every refusal names ``what``."""

    __slots__ = ("_data", "_depth", "_position", "what")

    def __init__(self, data: bytes, what: str, depth: int = limits.DER_DEPTH) -> None:
        if depth == 0:
            raise Malformed(f"{what} is nested deeper than {limits.DER_DEPTH} levels of DER")
        self._data = data
        self._position = 0
        self._depth = depth
        self.what = what

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._position == len(self._data)

    def peek(self) -> int:
        """The next tag byte, or -1 at the end."""
        return self._data[self._position] if self._position < len(self._data) else -1

    def element(self) -> tuple[int, bytes, bytes]:
        """The next TLV as (tag, content, whole TLV)."""
        start, data = self._position, self._data
        if start + 2 > len(data):
            raise Malformed(f"{self.what} ends where a DER element was expected")
        tag, size, head = data[start], data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise Malformed(f"{self.what} has a multi-byte DER tag at byte {start}")
        if size >= 0x80:
            octets = size & 0x7F
            size = int.from_bytes(data[head : head + octets], "big")
            if not 1 <= octets <= 4 or size < 0x80 or size < 1 << (8 * (octets - 1)):
                raise Malformed(f"{self.what} has a DER length at byte {start + 1} that is indefinite or not minimal")
            head += octets
        if head + size > len(data):
            raise Malformed(f"{self.what} has a DER element at byte {start} that is longer than what holds it")
        self._position = head + size
        return tag, data[head : self._position], data[start : self._position]

    def content(self, tag: int) -> bytes:
        """The content of the next element, which must have ``tag``."""
        data, start = self._data, self._position
        head = start + 2
        # The common case, a short length, is done here: issuing one certificate reads some hundred elements.
        if head <= len(data) and data[start] == tag and data[start + 1] < 0x80 and head + data[start + 1] <= len(data):
            self._position = end = head + data[start + 1]
            return data[head:end]
        if start == len(data) or data[start] != tag:
            found = "the end" if self.at_end else f"tag {self.peek():#04x}"
            raise Malformed(f"{self.what} has {found} at byte {self._position}, expected DER tag {tag:#04x}")
        return self.element()[1]

    def enter(self, tag: int = SEQUENCE) -> Reader:
        """A reader of the content of the next element, which must have ``tag``."""
        return Reader(self.content(tag), self.what, self._depth - 1)

    def optional(self, tag: int) -> Reader | None:
        """As :meth:`enter`, or None when the next element has another tag."""
        return self.enter(tag) if self.peek() == tag else None

    def raw(self, tag: int | None = None) -> bytes:
        """The next element as it stands, tag and length included."""
        if tag is None:
            return self.element()[2]
        data, start = self._data, self._position
        head = start + 2
        # As in content, of which this would take a slice for nothing.
        if head <= len(data) and data[start] == tag and data[start + 1] < 0x80 and head + data[start + 1] <= len(data):
            self._position = head + data[start + 1]
        else:
            self.content(tag)
        return data[start : self._position]

    def until(self, tag: int) -> bytes:
        """The elements before the next one with ``tag``, or all that are left, as they stand."""
        data, start, end = self._data, self._position, len(self._data)
        position = start
        while position < end and (found := data[position]) != tag:
            size = data[position + 1] if position + 1 < end else 0x80
            if size < 0x80 and found & 0x1F != 0x1F and position + 2 + size <= end:
                position += 2 + size
            else:  # a long one, or none
                self._position = position
                self.element()
                position = self._position
        self._position = position
        return data[start:position]

    def finish(self) -> None:
        """Refuse anything that is left."""
        if self._position != len(self._data):
            raise Malformed(f"{self.what} has {len(self._data) - self._position} bytes after its end")

    def integer(self) -> int:
        """INTEGER."""
        content = self.content(INTEGER)
        if not content or (len(content) > 1 and content[0] in (0x00, 0xFF) and content[0] >> 7 == content[1] >> 7):
            raise Malformed(f"{self.what} has a DER INTEGER that is empty or not minimal")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> bool:
        """BOOLEAN, 0x00 or 0xff only."""
        content = self.content(BOOLEAN)
        if content not in (b"\x00", b"\xff"):
            raise Malformed(f"{self.what} has a DER BOOLEAN that is neither 00 nor ff")
        return content == b"\xff"

    def default_false(self) -> bool:
        """``BOOLEAN DEFAULT FALSE``: absent, or true; DER forbids to write the default."""
        if self.peek() != BOOLEAN:
            return False
        if not self.boolean():
            raise Malformed(f"{self.what} spells out a DEFAULT value, which DER forbids")
        return True

    def octet_string(self) -> bytes:
        """OCTET STRING."""
        return self.content(OCTET_STRING)

    def bit_string(self) -> tuple[bytes, int]:
        """BIT STRING as (bytes, number of unused bits in the last one); unused bits must be zero."""
        content = self.content(BIT_STRING)
        unused = content[0] if content else 8
        if unused > 7 or (unused and (len(content) == 1 or content[-1] & ((1 << unused) - 1))):
            raise Malformed(f"{self.what} has a malformed DER BIT STRING")
        return content[1:], unused

    def oid(self) -> str:
        """OBJECT IDENTIFIER in dotted form."""
        try:
            return dotted(self.content(OID)[: limits.OID_BYTES + 1])
        except ValueError as error:
            raise Malformed(f"{self.what} has an OBJECT IDENTIFIER that is {error}") from error

    def utf8(self, tag: int = UTF8_STRING) -> str:
        """A string of type ``tag``; IA5String and PrintableString must be ASCII."""
        content = self.content(tag)
        try:
            return content.decode("utf-8" if tag == UTF8_STRING else "ascii")
        except UnicodeDecodeError as error:
            raise Malformed(f"{self.what} has a string with invalid bytes") from error

    def generalized_time(self) -> datetime:
        """GeneralizedTime in UTC; fractions of a second as DER writes them (X.690 section 11.7)."""
        content = self.content(GENERALIZED_TIME)
        match = _GENERALIZED.match(content)
        if match is None:
            raise Malformed(f"{self.what} has a GeneralizedTime that is not DER: {content!r}")
        moment = self._moment(match[1].decode("ascii"))
        return moment.replace(microsecond=int((match[2] or b"0").ljust(6, b"0")))

    def time(self) -> datetime:
        """Time of RFC 5280 section 4.1.2.5; UTCTime means 1950 to 2049."""
        if self.peek() == GENERALIZED_TIME:
            return self.generalized_time()
        content = self.content(UTC_TIME)
        if not _UTC.match(content):
            raise Malformed(f"{self.what} has a UTCTime that is not DER: {content!r}")
        century = "19" if content[:2] >= b"50" else "20"
        return self._moment(century + content[:12].decode("ascii"))

    def _moment(self, digits: str) -> datetime:
        month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
        try:
            return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)
        except ValueError as error:
            raise Malformed(f"{self.what} has a time that is no moment of the calendar: {digits}") from error


@lru_cache(maxsize=1024)
def dotted(content: bytes) -> str:
    """Content octets -> dotted form; ValueError says what is wrong. The same few identifiers come in every certificate."""
    if len(content) > limits.OID_BYTES:
        raise ValueError("too long")
    arcs: list[int] = []
    value = 0
    for position, byte in enumerate(content):
        if byte == 0x80 and (position == 0 or not content[position - 1] & 0x80):
            raise ValueError("not minimal")
        value = value << 7 | byte & 0x7F
        if value.bit_length() > limits.OID_ARC_BITS or len(arcs) >= limits.OID_ARCS:
            raise ValueError("too long")
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    if not content or content[-1] & 0x80:
        raise ValueError("truncated")
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
