# SPDX-License-Identifier: Apache-2.0
"""Every name that a certificate gives its subject, as text: what a log is searched by. It says nothing about trust.

The strict reading that an identity is judged by, exactly one name, is :func:`sigcore.general_name.parse_san`.

Source: RFC 5280 section 4.2.1.6; sigstore ``pkg/cryptoutils`` (GetSubjectAlternateNames) for the forms.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from sigcore import der
from sigcore.errors import Malformed
from sigcore.general_name import FULCIO_OTHER_NAME
from sigcore.x509 import SUBJECT_ALTERNATIVE_NAME, Certificate

_OTHER: Final = der.context(0)
_TEXTS: Final = tuple(der.context(number, constructed=False) for number in (1, 2, 6))
"""rfc822Name, dNSName, uniformResourceIdentifier."""
_IP: Final = der.context(7, constructed=False)


def subject_names(certificate: Certificate) -> tuple[str, ...]:
    """Email addresses, DNS names, URIs, IP addresses and Fulcio's otherNames; other forms have no text.

    Raises:
        Malformed: the extension is no list of names.
    """
    extension = certificate.extension(SUBJECT_ALTERNATIVE_NAME)
    if extension is None:
        return ()
    outer = der.Reader(extension.value, "the subject alternative name")
    names = outer.enter()
    outer.finish()
    return tuple(_names(names))


def _names(names: der.Reader) -> Iterator[str]:
    while not names.at_end:
        tag = names.peek()
        if tag in _TEXTS:
            yield names.utf8(tag)
        elif tag == _IP:
            yield _address(names.content(tag))
        elif tag == _OTHER:
            yield from _other_name(names.enter(tag))
        else:
            names.raw()


def _address(octets: bytes) -> str:
    if len(octets) not in (4, 16):
        raise Malformed(f"the subject alternative name has an IP address of {len(octets)} octets, expected 4 or 16")
    return str(ip_address(octets))


def _other_name(other: der.Reader) -> Iterator[str]:
    if other.oid() != FULCIO_OTHER_NAME:
        return
    explicit = other.enter(der.context(0))
    other.finish()
    yield explicit.utf8()
    explicit.finish()
