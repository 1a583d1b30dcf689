# SPDX-License-Identifier: Apache-2.0
"""The name that a certificate of ours vouches for: one GeneralName, as the subject alternative name.

Source: RFC 5280 section 4.2.1.6, and Fulcio's otherName.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from sigcore import der
from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass
from sigcore.x509 import SUBJECT_ALTERNATIVE_NAME, Certificate

FULCIO_OTHER_NAME = "1.3.6.1.4.1.57264.1.7"
_SMALL = 256
"""Bytes; larger names are not kept, so that what others send cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class Email:
    """rfc822Name."""

    value: str


@dataclass(frozen=True, slots=True)
class Uri:
    """uniformResourceIdentifier."""

    value: str


@dataclass(frozen=True, slots=True)
class OtherName:
    """otherName of Fulcio's type 1.3.6.1.4.1.57264.1.7: ``user!domain``."""

    value: str


San: TypeAlias = Email | Uri | OtherName
_OTHER_NAME, _RFC822_NAME, _URI = der.context(0), der.context(1, constructed=False), der.context(6, constructed=False)


def encode_san(san: San) -> bytes:
    """GeneralNames with that one name.

    Raises:
        Malformed: an empty value, control characters, or, but for OtherName, characters outside ASCII.
    """
    if isinstance(san, OtherName):
        value = der.tlv(der.context(0), der.utf8_string(_checked(san)))
        return der.sequence(der.tlv(_OTHER_NAME, der.oid(FULCIO_OTHER_NAME), value))
    tag = _RFC822_NAME if isinstance(san, Email) else _URI
    return der.sequence(der.tlv(tag, _checked(san).encode("ascii")))


def parse_san(certificate: Certificate) -> San:
    """The one subject alternative name.

    Raises:
        Malformed: none, several, or a form that Fulcio does not issue.
    """
    extension = certificate.extension(SUBJECT_ALTERNATIVE_NAME)
    if extension is None:
        raise Malformed("the certificate has no subject alternative name")
    return (_recent_san if len(extension.value) <= _SMALL else _read_san)(extension.value)


def _read_san(value: bytes) -> San:
    outer = der.Reader(value, "the subject alternative name")
    names = outer.enter()
    outer.finish()
    san = _parse_general_name(names)
    if not names.at_end:
        raise Malformed("the certificate has several subject alternative names, expected exactly one")
    _checked(san)
    return san


_recent_san = lru_cache(maxsize=256)(_read_san)
"""A few identities sign much."""


def _parse_general_name(names: der.Reader) -> San:
    tag = names.peek()
    if tag == _RFC822_NAME:
        return Email(names.utf8(tag))
    if tag == _URI:
        return Uri(names.utf8(tag))
    if tag != _OTHER_NAME:
        found = "empty" if tag < 0 else f"of the form [{tag & 0x1F}]"
        raise Malformed(f"the subject alternative name is {found}, expected an email address, a URI or an otherName")
    other = names.enter(tag)
    kind = other.oid()
    if kind != FULCIO_OTHER_NAME:
        raise Malformed(f"the subject alternative name is an otherName of type {kind}, expected {FULCIO_OTHER_NAME}")
    explicit = other.enter(der.context(0))
    other.finish()
    value = explicit.utf8()
    explicit.finish()
    return OtherName(value)


def _checked(san: San) -> str:
    """The value, if no reader of certificates could take it for another one: C strings, lines, encodings."""
    text = san.value
    if not text or not text.isprintable() or not (text.isascii() or isinstance(san, OtherName)):
        kind = "printable text" if isinstance(san, OtherName) else "printable ASCII"
        raise Malformed(f"the subject alternative name is {shown(text)}, expected {kind}")
    return text
