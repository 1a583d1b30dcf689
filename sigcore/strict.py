# SPDX-License-Identifier: Apache-2.0
"""Strict text forms: decode, re-encode, compare.

The standard decoders are lenient (``int(" 1_0 ")``, base64 with stray bits, JSON with duplicate keys or NaN). Every text
that comes from outside is read through this module, so one value has one spelling.

Sources: RFC 8259 (JSON), RFC 4648 (base64, hex), RFC 3339 (time), X.660 (OID).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import NoReturn, TypeAlias

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.patterns import pattern

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_DECIMAL = pattern(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_TIME = pattern(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_FROM_URL, _TO_URL = bytes.maketrans(b"-_", b"+/"), bytes.maketrans(b"+/", b"-_")
_LAST_GROUPS = pattern(rb"(?:[^=]{4}|[^=]{2}[AEIMQUYcgkosw048]=|[^=][AQgw]==)*")
_last_group: Callable[[bytes], bytes] = itemgetter(slice(-4, None))
_OID = pattern(r"[0-2](?:\.(?:0|[1-9][0-9]*))+\Z", re.ASCII)


def shown(value: object, limit: int = 60) -> str:
    """``value`` as it may stand in a message: quoted, escaped, cut to ``limit`` characters."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


# --- JSON ------------------------------------------------------------------------------------------
def parse_json(data: bytes | str, *, what: str, limit: int, floats: bool = False) -> JSON:
    """The one value that ``data`` spells (RFC 8259), without what makes two readers disagree.

    Refused: more than ``limit`` bytes, bytes that are not UTF-8, duplicate member names, NaN and Infinity, integers beyond
    64 bits, fractions unless ``floats``, lone surrogates, nesting deeper than ``limits.JSON_DEPTH``.

    Raises:
        Malformed: names ``what`` and the defect.
    """
    if len(data) > limit:
        raise Malformed(f"{what} is {len(data)} bytes long, the limit is {limit}")
    plain = _parse_plain(data)
    return _parse_closely(data, what, floats=floats) if plain is None else plain


def _parse_plain(data: bytes | str) -> JSON:
    """The value of a text that leaves nothing to ask; None for all others, good or bad, which are read closely.

    Faster, because what may hide is looked for in the bytes and not in the values. Bytes that are UTF-8 hold no lone surrogate
    unless an escape by number does; only that of the dash is taken, which begins the signature lines of every checkpoint.
    """
    try:
        raw = data if isinstance(data, bytes) else data.encode("ascii")
        if b"\\u" in raw and raw.count(b"\\u") != raw.count(b"\\u2014"):
            return None
        if raw.count(b"{") + raw.count(b"[") >= limits.JSON_DEPTH:
            return None
        value: JSON = _PLAIN.decode(raw.decode("utf-8"))
    except ValueError:
        return None
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _integer(text: str) -> int:
    return int(text) if len(text) < limits.INTEGER_DIGITS else _refuse(text)


def _unique(items: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(items)
    return members if len(members) == len(items) else _refuse("a duplicate member name")


_PLAIN = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse)


def _parse_closely(data: bytes | str, what: str, *, floats: bool) -> JSON:
    def pairs(items: list[tuple[str, JSON]]) -> dict[str, JSON]:
        members = dict(items)
        if len(members) != len(items):
            raise Malformed(f"{what} has a duplicate member name in one JSON object")
        return members

    def integer(text: str) -> int:
        number = int(text) if len(text) <= limits.INTEGER_DIGITS + 1 else limits.INT64_MAX + 1
        if abs(number) > limits.INT64_MAX:
            raise Malformed(f"{what} has an integer beyond 64 bits: {shown(text)}")
        return number

    def fraction(text: str) -> float:
        number = float(text)
        if not floats or number in (float("inf"), float("-inf")):
            raise Malformed(f"{what} has the number {shown(text)}, expected an integer")
        return number

    def constant(text: str) -> NoReturn:
        raise Malformed(f"{what} has {text}, which is not JSON")

    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value: JSON = json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_float=fraction, parse_constant=constant
        )
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise Malformed(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise Malformed(f"{what} is not JSON: {error}") from error
    # A lone surrogate comes from an escape or from a str, depth from brackets; without them there is nothing to walk for.
    if "\\u" in text or not text.isascii() or text.count("{") + text.count("[") >= limits.JSON_DEPTH:
        _check_json(value, what, limits.JSON_DEPTH)
    return value


def parse_plain_json(data: bytes, *, strings: int) -> JSON:
    """The value of JSON in which ``strings`` strings stand, names included, none with an escape; None for any other text.

    Much faster than :func:`parse_json`, for a caller who knows the one shape that he expects and takes the other way whenever
    it is another. He must find each of the strings in the answer: a member that is named twice leaves too few, and then the
    text was not what it looks like.
    """
    if b"\\" in data or data.count(b'"') != 2 * strings:
        return None
    try:
        value: JSON = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value


def _check_json(value: JSON, what: str, depth: int) -> None:
    if depth == 0:
        raise Malformed(f"{what} is nested deeper than {limits.JSON_DEPTH} levels")
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise Malformed(f"{what} has a lone surrogate in a string: {shown(value)}") from error
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_json(name, what, depth)
            _check_json(member, what, depth - 1)
    elif isinstance(value, list):
        for member in value:
            _check_json(member, what, depth - 1)


# --- base64, hex, decimal ----------------------------------------------------------------------------
def parse_base64(text: str, *, what: str) -> bytes:
    """Standard alphabet, padded, no other spelling of the same bytes (RFC 4648 section 4)."""
    try:
        data = binascii.a2b_base64(text)
        # What the decoder skips or ignores does not come back when it is encoded again; only then the defect is looked for.
        if binascii.b2a_base64(data, newline=False) == text.encode("ascii"):
            return data
    except ValueError:
        pass
    raise _base64_defect(text, what)


def parse_base64_texts(texts: Sequence[bytes], *, what: str) -> list[bytes]:
    """:func:`parse_base64` of each of ``texts``, all at once.

    Raises:
        Malformed: names ``what``, not which of them.
    """
    try:
        found = [*map(partial(binascii.a2b_base64, strict_mode=True), texts)]
    except ValueError as error:
        raise Malformed(f"{what} is not base64 (standard alphabet with padding)") from error
    # Left to look at: that there are whole groups, and 0 in what the last one leaves over (section 3.5).
    if any(map((3).__and__, map(len, texts))) or not _LAST_GROUPS.fullmatch(b"".join(map(_last_group, texts))):
        raise Malformed(f"{what} is not canonical base64")
    return found


def base64_characters(size: int) -> int:
    """A bound for the length of ``size`` bytes in base64."""
    return size * 4 // 3 + 4


def _base64_defect(text: str, what: str) -> Malformed:
    try:
        base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return Malformed(f"{what} is not base64 (standard alphabet with padding): {shown(text)}")
    return Malformed(f"{what} is not canonical base64: {shown(text)}")


def encode_base64(data: bytes) -> str:
    """RFC 4648 section 4, padded."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def parse_base64url(text: str, *, what: str) -> bytes:
    """URL alphabet without padding, as JOSE writes it (RFC 7515 section 2)."""
    try:
        data = binascii.a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4))
    except ValueError:
        data = None
    # As in parse_base64: the decoder takes more than it should, which shows when the bytes are encoded again.
    if data is None or encode_base64url(data) != text:
        raise _base64url_defect(text, what)
    return data


def _base64url_defect(text: str, what: str) -> Malformed:
    try:
        base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return Malformed(f"{what} is not base64url: {shown(text)}")
    return Malformed(f"{what} is not canonical base64url without padding: {shown(text)}")


def encode_base64url(data: bytes) -> str:
    """RFC 7515 section 2: URL alphabet, no padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def parse_hex(text: str, *, what: str, size: int | None = None) -> bytes:
    """Lower-case hexadecimal, ``size`` bytes if given."""
    try:
        data = binascii.unhexlify(text.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Malformed(f"{what} is not hexadecimal: {shown(text)}") from error
    if data.hex() != text:
        raise Malformed(f"{what} is not lower-case hexadecimal: {shown(text)}")
    if size is not None and len(data) != size:
        raise Malformed(f"{what} has {len(data)} bytes, expected {size}")
    return data


def parse_decimal(text: str, *, what: str, maximum: int = limits.INT64_MAX) -> int:
    """A non-negative integer without sign, leading zero, space or underscore, at most ``maximum``."""
    if _DECIMAL.match(text) and (value := int(text)) <= maximum:
        return value
    raise Malformed(f"{what} is {shown(text)}, expected a decimal number from 0 to {maximum}")


# --- time, OID -----------------------------------------------------------------------------------------
def parse_time(text: str, *, what: str) -> datetime:
    """RFC 3339 with an offset, to the microsecond; further digits are cut. The answer is in UTC."""
    match = _TIME.match(text)
    if match is None:
        raise Malformed(f"{what} is {shown(text)}, expected a time like 2026-01-31T12:00:00Z (RFC 3339)")
    seconds, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6]:0<6}{'+00:00' if zone == 'Z' else zone}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{what} is {shown(text)}, which is no moment of the calendar") from error


def encode_time(moment: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; fractions only where there are some."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text}Z"


def parse_oid(text: str, *, what: str) -> tuple[int, ...]:
    """A dotted object identifier as its arcs (X.660), bounded in number and size."""
    if len(text) > 512 or not _OID.match(text):
        raise Malformed(f"{what} is {shown(text)}, expected an object identifier like 1.3.6.1")
    arcs = tuple(int(arc) for arc in text.split("."))
    if len(arcs) > limits.OID_ARCS or (arcs[0] < 2 and arcs[1] > 39):
        raise Malformed(f"{what} is {shown(text)}, which is no valid object identifier")
    if max(arc.bit_length() for arc in arcs) > limits.OID_ARC_BITS:
        raise Malformed(f"{what} has an arc of more than {limits.OID_ARC_BITS} bits")
    return arcs


# --- typed access to JSON objects ------------------------------------------------------------------------
def _camel(name: str) -> str:
    if "_" not in name:
        return name
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


class Fields:
    """A JSON object read member by member; every refusal names the path and the type that was expected.

    With ``proto`` the object is proto-JSON: ``snake_case`` names are read as their ``camelCase`` form and ``null`` counts
    as absent (protobuf JSON mapping, "Parsers accept both").
    """

    __slots__ = ("_members", "_proto", "path")

    def __init__(self, members: Mapping[str, JSON], path: str, *, proto: bool = False) -> None:
        self.path = path
        self._proto = proto
        if proto and (None in members.values() or "_" in "".join(members)):
            present = [(_camel(name), value) for name, value in members.items() if value is not None]
            members = dict(present)
            if len(members) != len(present):
                raise Malformed(f"{path} names one member twice, in camelCase and in snake_case")
        self._members = members

    @classmethod
    def parse(cls, data: bytes | str, *, what: str, limit: int, proto: bool = False) -> Fields:
        """``data`` as one JSON object.

        Raises:
            Malformed: not strict JSON, or not an object.
        """
        return cls.of(parse_json(data, what=what, limit=limit), what, proto=proto)

    @classmethod
    def of(cls, value: JSON, path: str, *, proto: bool = False) -> Fields:
        """``value`` if it is an object; Malformed otherwise."""
        if not isinstance(value, dict):
            raise Malformed(f"{path} is {_kind(value)}, expected an object")
        return cls(value, path, proto=proto)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> tuple[str, ...]:
        """The names that are present."""
        return tuple(self._members)

    def raw(self) -> Mapping[str, JSON]:
        """The members as they were parsed."""
        return self._members

    def only(self, *names: str) -> None:
        """Refuse any member that is not in ``names``."""
        if not self._members.keys() <= set(names):
            unknown = sorted(self._members.keys() - set(names))
            raise Malformed(f"{self.path} has the unknown member {shown(unknown[0])}", f"known: {', '.join(names)}")

    def one_of(self, *names: str) -> str:
        """The single member of ``names`` that is present (a protobuf ``oneof``)."""
        found = [name for name in names if name in self._members]
        if len(found) != 1:
            raise Malformed(
                f"{self.path} has {' and '.join(found) or 'none'} of {', '.join(names)}, expected exactly one"
            )
        return found[0]

    def _get(self, name: str) -> JSON:
        if name not in self._members:
            raise Malformed(f"{self.path}.{name} is missing")
        return self._members[name]

    def _wrong(self, name: str, expected: str) -> Malformed:
        return Malformed(f"{self.path}.{name} is {_kind(self._members[name])}, expected {expected}")

    def text(self, name: str, *, limit: int = limits.TEXT) -> str:
        """A string of at most ``limit`` characters."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        if len(value) > limit:
            raise Malformed(f"{self.path}.{name} is {len(value)} characters long, the limit is {limit}")
        return value

    def optional_text(self, name: str, default: str = "", *, limit: int = limits.TEXT) -> str:
        """A string, or ``default`` where it is absent."""
        return self.text(name, limit=limit) if name in self._members else default

    def base64(self, name: str, *, limit: int) -> bytes:
        """Canonical base64 of at most ``limit`` bytes."""
        text = self.text(name, limit=base64_characters(limit))
        return parse_base64(text, what=f"{self.path}.{name}")

    def integer(self, name: str) -> int:
        """A JSON number without fraction."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer")
        return value

    def int64(self, name: str) -> int:
        """A non-negative proto-JSON int64: a decimal string, or a number."""
        value = self._get(name)
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str):
            raise self._wrong(name, "a decimal string")
        return parse_decimal(text, what=f"{self.path}.{name}")

    def boolean(self, name: str) -> bool:
        """``true`` or ``false``."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def time(self, name: str) -> datetime:
        """An RFC 3339 time."""
        return parse_time(self.text(name), what=f"{self.path}.{name}")

    def optional_time(self, name: str) -> datetime | None:
        """An RFC 3339 time, or None where it is absent."""
        return self.time(name) if name in self._members else None

    def object(self, name: str) -> Fields:
        """A nested object."""
        return Fields.of(self._get(name), f"{self.path}.{name}", proto=self._proto)

    def optional_object(self, name: str) -> Fields | None:
        """A nested object, or None where it is absent."""
        return self.object(name) if name in self._members else None

    def _list(self, name: str, limit: int) -> list[JSON]:
        value = self._get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        if len(value) > limit:
            raise Malformed(f"{self.path}.{name} has {len(value)} elements, the limit is {limit}")
        return value

    def objects(self, name: str, *, limit: int) -> tuple[Fields, ...]:
        """An array of objects; empty where it is absent."""
        if name not in self._members:
            return ()
        values = self._list(name, limit)
        return tuple(Fields.of(v, f"{self.path}.{name}[{i}]", proto=self._proto) for i, v in enumerate(values))

    def texts(self, name: str, *, limit: int) -> tuple[str, ...]:
        """An array of strings; empty where it is absent."""
        if name not in self._members:
            return ()
        values = self._list(name, limit)
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise Malformed(f"{self.path}.{name}[{i}] is {_kind(value)}, expected a string")
        return tuple(value for value in values if isinstance(value, str))


def _kind(value: JSON) -> str:
    kinds = {type(None): "null", bool: "a boolean", str: "a string", list: "an array", dict: "an object"}
    return kinds.get(type(value), "a number")
