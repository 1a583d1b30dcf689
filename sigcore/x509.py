# SPDX-License-Identifier: Apache-2.0
"""Certificates as values: strict reading, PEM and names. Building is in ``certify``, what they vouch for in ``general_name``.

A certificate is read by decode, re-encode, compare wherever X.509 leaves a choice, and its parts are kept as the bytes that
were signed. Only version 3 is read; unique identifiers are refused (RFC 5280 section 4.1.2.8 forbids them).

Source: RFC 5280 section 4, RFC 7468 section 5 (PEM).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import TypeAlias

from sigcore import der, limits, strict
from sigcore.errors import Malformed
from sigcore.keys import PublicKey, parse_public_key
from sigcore.patterns import pattern
from sigcore.values import dataclass

SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
COMMON_NAME, ORGANIZATION = "2.5.4.3", "2.5.4.10"
EKU_CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
EKU_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"

_NAME, _VERSION_3, _TRUE = "the certificate", bytes.fromhex("a003020102"), der.boolean(value=True)
_EXTENSIONS = der.context(3)
_SERIAL_BITS = 160
"""RFC 5280 section 4.1.2.2: at most 20 octets; some CAs set their top bit, which DER pads to 21."""
_SMALL_TBS = 4096
_SMALL_EXTENSION = 256
"""Bytes; larger ones are not kept, so that what others send cannot fill the memory."""
_LINE = 64
"""Characters (RFC 7468 section 2)."""
_PEM = pattern(
    r"\s*-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----(?=\s|\Z)\s*", re.ASCII
)


# --- values ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Extension:
    """One extension; ``value`` is what the extnValue OCTET STRING holds."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, its parts as the signed bytes have them. Two certificates are equal when their DER is."""

    der: bytes
    tbs: bytes
    serial: int
    issuer: bytes
    """Name, DER."""
    subject: bytes
    """Name, DER."""
    not_before: datetime
    not_after: datetime
    """The last second of validity, itself included."""
    spki: bytes
    extensions: tuple[Extension, ...]
    signature_algorithm: bytes
    """AlgorithmIdentifier, DER; the same in the TBS and outside."""
    signature: bytes
    like: Certificate | None = None
    """Another one that says the same but for what :mod:`sigcore.alike` calls a certificate's own; nobody else sets it. Who has
    judged that one by all else need not ask again."""

    def __eq__(self, other: object) -> bool:
        return other.__class__ is Certificate and _said(self) == _said(other)

    def __hash__(self) -> int:
        return hash(self.der)  # all else follows from it; caches ask for it often

    def extension(self, oid: str) -> Extension | None:
        """The extension with that identifier, or None; there is at most one."""
        oids = [*map(_oid, self.extensions)]
        return self.extensions[oids.index(oid)] if oid in oids else None

    def public_key(self) -> PublicKey:
        """The certified key; Malformed when it is of a kind that is not supported."""
        return parse_public_key(self.spki, what="the public key of the certificate")


_oid = attrgetter("oid")
_said = attrgetter("der", *list(Certificate.__annotations__)[1:-1])
"""All but what it is like."""
_Parts: TypeAlias = tuple[int, bytes, bytes, datetime, datetime, bytes, tuple[Extension, ...]]
"""A certificate's fields from its serial number to its extensions."""


# --- reading -----------------------------------------------------------------------------------------
def parse_certificate(data: bytes, *, what: str = "the certificate") -> Certificate:
    """One certificate in DER (RFC 5280 section 4.1).

    The caller must still check the signature, the chain and what the extensions say.

    Raises:
        Malformed: names ``what`` and the defect.
    """
    return _parse_usual(data) or _parse_closely(data, what)


def parse_certified_key(data: bytes, *, what: str = "the certificate") -> PublicKey:
    """The public key of a certificate in DER, for a caller who looks at nothing else of it: several times faster.

    Names, times and extensions are skipped as the elements that they are, what they say may be nonsense; version, the order of
    the fields and the key are read as :func:`parse_certificate` reads them.

    Raises:
        Malformed: names ``what`` and the defect.
    """
    tbs, algorithm, _ = _signed_parts(data, what)
    fields = der.Reader(tbs, what).enter()
    _check_version(fields)
    fields.content(der.INTEGER)
    if fields.raw(der.SEQUENCE) != algorithm:
        raise Malformed(f"{what} names one signature algorithm inside the signed part and another outside")
    for _ in ("issuer", "validity", "subject"):
        fields.raw(der.SEQUENCE)
    spki = fields.raw(der.SEQUENCE)
    if not fields.at_end:
        fields.raw(der.context(3))
    fields.finish()
    return parse_public_key(spki, what=f"the public key of {what}")


def _signed_parts(data: bytes, what: str) -> tuple[bytes, bytes, bytes]:
    """The signed part, the AlgorithmIdentifier and the signature: all there is outside of the signed part."""
    if len(data) > limits.CERTIFICATE:
        raise Malformed(f"{what} is {len(data)} bytes long, the limit is {limits.CERTIFICATE}")
    outer = der.Reader(data, what)
    body = outer.enter()
    outer.finish()
    tbs, algorithm = body.raw(der.SEQUENCE), body.raw(der.SEQUENCE)
    signature, unused = body.bit_string()
    body.finish()
    if unused:
        raise Malformed(f"{what} has a signature that is not whole bytes")
    return tbs, algorithm, signature


def _parse_closely(data: bytes, what: str) -> Certificate:
    tbs, algorithm, signature = _signed_parts(data, what)
    return Certificate(data, tbs, *_read_tbs(tbs, algorithm, what), algorithm, signature)


def _parse_usual(data: bytes) -> Certificate | None:
    """The same, in half of the time, where the certificate has the form that nearly all have; None for others, good or bad."""
    try:
        tbs, algorithm, signature = der.members(data)
        start = der.content_start(signature, der.BIT_STRING)
        if signature[start] or algorithm[0] != der.SEQUENCE or len(data) > limits.CERTIFICATE:
            return None
        parts = (_recent_tbs if len(tbs) <= _SMALL_TBS else _read_usual_tbs)(tbs, algorithm)
    except (ValueError, IndexError, Malformed):
        return None
    return Certificate(data, tbs, *parts, algorithm, signature[start + 1 :])


def _read_usual_tbs(tbs: bytes, algorithm: bytes) -> _Parts:
    version, number, inner, issuer, validity, subject, spki, wrapped = der.members(tbs)
    listed = der.members(wrapped[der.content_start(wrapped, _EXTENSIONS) :])
    serial = int.from_bytes(number[2:], "big")
    _check_name(issuer, _NAME)
    _check_name(subject, _NAME)
    begin, end = der.members(validity)
    not_before, not_after = parse_moment(begin, _NAME, "notBefore"), parse_moment(end, _NAME, "notAfter")
    found = tuple([(_recent_extension if len(raw) <= _SMALL_EXTENSION else _split_extension)(raw) for raw in listed])
    if not (
        (version, number, inner, spki[0]) == (_VERSION_3, der.integer(serial), algorithm, der.SEQUENCE)
        and 0 < serial < 1 << _SERIAL_BITS
        and issuer != _EMPTY_NAME
        and not_before <= not_after
        and 0 < len({extension.oid for extension in found}) == len(found)
    ):
        raise ValueError("not of the usual form")
    return serial, issuer, subject, not_before, not_after, spki, found


_recent_tbs = lru_cache(maxsize=128)(_read_usual_tbs)
"""An authority reads what it is about to sign, and the log next to it reads the same bytes with their signature. Between the two
lie as many others as there are requests under way."""


def _read_tbs(tbs: bytes, algorithm: bytes, what: str = "the certificate") -> _Parts:
    fields = der.Reader(tbs, what).enter()
    _check_version(fields)
    serial = fields.integer()
    if serial <= 0 or serial.bit_length() > _SERIAL_BITS:
        raise Malformed(f"{what} has a serial number that is not positive or longer than 20 octets")
    if fields.raw(der.SEQUENCE) != algorithm:
        raise Malformed(f"{what} names one signature algorithm inside the signed part and another outside")
    issuer = _check_name(fields.raw(der.SEQUENCE), f"the issuer of {what}")
    if issuer == _EMPTY_NAME:
        raise Malformed(f"{what} has an empty issuer name")
    validity = fields.enter()
    not_before, not_after = (
        parse_moment(validity.raw(), what, "notBefore"),
        parse_moment(validity.raw(), what, "notAfter"),
    )
    validity.finish()
    if not_after < not_before:
        raise Malformed(f"{what} has a validity that ends before it begins")
    subject = _check_name(fields.raw(der.SEQUENCE), f"the subject of {what}")
    spki = fields.raw(der.SEQUENCE)
    if fields.peek() in (der.context(1, constructed=False), der.context(2, constructed=False)):
        raise Malformed(f"{what} has a unique identifier, which RFC 5280 section 4.1.2.8 forbids")
    extensions = _parse_extensions(fields)
    fields.finish()
    return serial, issuer, subject, not_before, not_after, spki, extensions


def _check_version(fields: der.Reader) -> None:
    explicit = fields.optional(der.context(0))
    version = 0
    if explicit is not None:
        version = explicit.integer()
        explicit.finish()
    if version != 2:
        raise Malformed(f"{fields.what} is an X.509 certificate of version {version + 1}, expected 3")


@lru_cache(maxsize=64)
def parse_moment(raw: bytes, what: str, name: str) -> datetime:
    """A Time, whole, of a certificate's validity. Kept where it holds: what an authority issues in one second has the same times.

    Raises:
        Malformed: ``what`` has a ``name`` that is none, or is written in another way than RFC 5280 section 4.1.2.5 asks.
    """
    moment = der.Reader(raw, what).time()
    if der.time(moment) != raw:
        raise Malformed(
            f"{what} has a {name} that is not written as RFC 5280 section 4.1.2.5 asks",
            "UTCTime through 2049, GeneralizedTime from 2050, whole seconds",
        )
    return moment


def _parse_extensions(fields: der.Reader) -> tuple[Extension, ...]:
    explicit = fields.optional(_EXTENSIONS)
    if explicit is None:
        return ()
    items = explicit.enter()
    explicit.finish()
    found: dict[str, Extension] = {}
    while not items.at_end or not found:
        extension = _parse_extension(items.raw(der.SEQUENCE), fields.what)
        if extension.oid in found:
            raise Malformed(f"{fields.what} has the extension {extension.oid} twice")
        found[extension.oid] = extension
    return tuple(found.values())


def _parse_extension(raw: bytes, what: str) -> Extension:
    item = der.Reader(raw, what).enter()
    extension = Extension(item.oid(), item.default_false(), item.octet_string())
    item.finish()
    return extension


def _split_extension(raw: bytes) -> Extension:
    start = der.content_start(raw, der.SEQUENCE)
    end = start + 2 + raw[start + 1]
    critical = raw.startswith(_TRUE, end)
    oid, value = raw[start:end], raw[end + 3 if critical else end :]
    identifier = der.dotted(oid[der.content_start(oid, der.OID) :])
    return Extension(identifier, critical, value[der.content_start(value, der.OCTET_STRING) :])


_recent_extension = lru_cache(maxsize=256)(_split_extension)
"""Most extensions are the same in all certificates of one authority."""


# --- PEM ---------------------------------------------------------------------------------------------
def parse_certificate_pem(pem: str | bytes, *, what: str = "the certificate") -> Certificate:
    """Exactly one ``CERTIFICATE`` block.

    Raises:
        Malformed: anything else.
    """
    found = parse_certificates_pem(pem, what=what)
    if len(found) != 1:
        raise Malformed(f"{what} has {len(found)} PEM blocks, expected one")
    return found[0]


def parse_certificates_pem(pem: str | bytes, *, what: str = "the certificate chain") -> tuple[Certificate, ...]:
    """One or more ``CERTIFICATE`` blocks with nothing but white space around them; any line width.

    Raises:
        Malformed: anything else, or more than ``limits.CHAIN_CERTIFICATES`` blocks.
    """
    limit = 2 * limits.CERTIFICATE * limits.CHAIN_CERTIFICATES
    if len(pem) > limit:
        raise Malformed(f"{what} is {len(pem)} bytes long, the limit is {limit}")
    text = pem if isinstance(pem, str) else pem.decode("latin-1")
    found: list[Certificate] = []
    position = 0
    while position < len(text) or not found:
        match = _PEM.match(text, position)
        if match is None:
            raise Malformed(
                f"{what} is not PEM at character {position}, expected -----BEGIN CERTIFICATE-----",
                "leave nothing but certificate blocks in the file",
            )
        if len(found) == limits.CHAIN_CERTIFICATES:
            raise Malformed(f"{what} has more than {limits.CHAIN_CERTIFICATES} certificates")
        data = strict.parse_base64(match[1].replace("\r", "").replace("\n", ""), what=what)
        found.append(parse_certificate(data, what=what))
        position = match.end()
    return tuple(found)


def encode_certificate_pem(data: bytes) -> str:
    """A certificate's DER as a ``CERTIFICATE`` block: 64-character lines, final newline (RFC 7468 section 2)."""
    text = strict.encode_base64(data)
    return "\n".join(("-----BEGIN CERTIFICATE-----", *_cut_lines(len(text))(text), "-----END CERTIFICATE-----", ""))


@lru_cache(maxsize=16)
def _cut_lines(size: int) -> Callable[[str], tuple[str, ...]]:
    """What cuts a text of ``size`` characters into lines, all at once: an authority's certificates have few sizes."""
    if size <= _LINE:
        return lambda text: (text,)
    return itemgetter(*[slice(start, start + _LINE) for start in range(0, size, _LINE)])


# --- names (RFC 5280 section 4.1.2.4) ------------------------------------------------------------------
_EMPTY_NAME = der.sequence()


def _attributes(name: der.Reader) -> Iterator[tuple[str, int, bytes]]:
    """Each AttributeTypeAndValue of an RDNSequence as (type, tag of the value, content of the value)."""
    while not name.at_end:
        members = name.enter(der.SET)
        previous = b""
        while not members.at_end or not previous:
            raw = members.raw(der.SEQUENCE)
            if raw <= previous:
                raise Malformed(f"{name.what} has a SET that is not in DER order")
            previous = raw
            attribute = der.Reader(raw, name.what).enter()
            oid = attribute.oid()
            tag, content, _ = attribute.element()
            attribute.finish()
            yield oid, tag, content


@lru_cache(maxsize=256)
def _check_name(name: bytes, what: str) -> bytes:
    """Kept where it holds: an authority's name stands in every certificate that it issues."""
    for _ in _attributes(der.Reader(name, what).enter()):
        pass
    return name


@lru_cache(maxsize=256)
def _attribute(name: bytes, wanted: str) -> str:
    text = ""
    for oid, tag, content in _attributes(der.Reader(name, "the name").enter()):
        if oid == wanted:
            if tag not in (der.UTF8_STRING, der.PRINTABLE_STRING, der.IA5_STRING):
                raise Malformed(f"the name has an attribute {oid} with DER tag {tag:#04x}, expected a UTF8String")
            text = der.Reader(der.tlv(tag, content), "the name").utf8(tag)
    return text


def common_name(name: bytes) -> str:
    """The last, most specific common name of a Name (DER), or the empty string."""
    return _attribute(name, COMMON_NAME)


def organization(name: bytes) -> str:
    """The last organization name of a Name (DER), or the empty string."""
    return _attribute(name, ORGANIZATION)
