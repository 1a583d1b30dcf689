# SPDX-License-Identifier: Apache-2.0
"""The extensions that decide what a certificate may do, both ways: bytes of the extension <-> value.

``parse_*`` give None where the certificate has no such extension, and refuse what DER or RFC 5280 forbids.

Source: RFC 5280 section 4.2; RFC 6962 sections 3.1 and 3.3 (poison, SCT list).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args

from sigcore import der
from sigcore.errors import Malformed
from sigcore.general_name import San, encode_san
from sigcore.values import dataclass
from sigcore.x509 import SUBJECT_ALTERNATIVE_NAME, Certificate, Extension

SUBJECT_KEY_ID: Final = "2.5.29.14"
KEY_USAGE: Final = "2.5.29.15"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
NAME_CONSTRAINTS: Final = "2.5.29.30"
AUTHORITY_KEY_ID: Final = "2.5.29.35"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
POISON: Final = "1.3.6.1.4.1.11129.2.4.3"
SCT_LIST: Final = "1.3.6.1.4.1.11129.2.4.2"

ANY_EXTENDED_KEY_USAGE: Final = "2.5.29.37.0"

Usage: TypeAlias = Literal[
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
]
_USAGES: tuple[Usage, ...] = get_args(Usage)
"""In the order of their bits."""


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """Whether the subject is a CA, and how many CAs may stand between it and a leaf (None: any number)."""

    ca: bool
    path_length: int | None
    critical: bool


# --- read --------------------------------------------------------------------------------------------
# The values are few and stand in every certificate of an authority, so what was read of one is kept. A refusal is not.
_kept = lru_cache(maxsize=256)


def parse_basic_constraints(certificate: Certificate) -> BasicConstraints | None:
    """Section 4.2.1.9."""
    extension = certificate.extension(BASIC_CONSTRAINTS)
    return None if extension is None else _basic_constraints(extension.value, extension.critical)


@_kept
def _basic_constraints(value: bytes, critical: bool) -> BasicConstraints:  # noqa: FBT001 - a cache is called by position
    outer = der.Reader(value, "basicConstraints")
    fields = outer.enter()
    outer.finish()
    ca = fields.default_false()
    path_length = None if fields.at_end else fields.integer()
    fields.finish()
    if path_length is not None and (path_length < 0 or not ca):
        raise Malformed("basicConstraints has a pathLenConstraint that is negative or not of a CA")
    return BasicConstraints(ca, path_length, critical)


def parse_key_usage(certificate: Certificate) -> frozenset[Usage] | None:
    """Section 4.2.1.3; a named bit list, without trailing zero bits (X.690 section 11.2.2)."""
    extension = certificate.extension(KEY_USAGE)
    return None if extension is None else _key_usage(extension.value)


@_kept
def _key_usage(value: bytes) -> frozenset[Usage]:
    outer = der.Reader(value, "keyUsage")
    data, unused = outer.bit_string()
    outer.finish()
    bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"[: 8 * len(data) - unused] if data else ""
    if not bits.endswith("1") or len(bits) > len(_USAGES):
        raise Malformed("keyUsage is empty, has unknown bits, or is not the shortest form that DER asks for")
    return frozenset(usage for usage, bit in zip(_USAGES, bits, strict=False) if bit == "1")


def parse_extended_key_usage(certificate: Certificate) -> tuple[str, ...] | None:
    """Section 4.2.1.12: the purposes as dotted object identifiers, in their order."""
    extension = certificate.extension(EXTENDED_KEY_USAGE)
    return None if extension is None else _extended_key_usage(extension.value)


@_kept
def _extended_key_usage(value: bytes) -> tuple[str, ...]:
    outer = der.Reader(value, "extendedKeyUsage")
    items = outer.enter()
    outer.finish()
    purposes = [items.oid()]
    while not items.at_end:
        purposes.append(items.oid())
    return tuple(purposes)


def parse_subject_key_id(certificate: Certificate) -> bytes | None:
    """Section 4.2.1.2."""
    extension = certificate.extension(SUBJECT_KEY_ID)
    return None if extension is None else _subject_key_id(extension.value)


@_kept
def _subject_key_id(value: bytes) -> bytes:
    outer = der.Reader(value, "subjectKeyIdentifier")
    identifier = outer.octet_string()
    outer.finish()
    return identifier


def parse_authority_key_id(certificate: Certificate) -> bytes | None:
    """Section 4.2.1.1: the keyIdentifier. Issuer and serial number, where there, are read past: names chain by themselves."""
    extension = certificate.extension(AUTHORITY_KEY_ID)
    return None if extension is None else _authority_key_id(extension.value)


@_kept
def _authority_key_id(value: bytes) -> bytes | None:
    outer = der.Reader(value, "authorityKeyIdentifier")
    fields = outer.enter()
    outer.finish()
    tag = der.context(0, constructed=False)
    identifier = fields.content(tag) if fields.peek() == tag else None
    if fields.peek() == der.context(1):
        fields.enter(der.context(1))
        fields.content(der.context(2, constructed=False))
    fields.finish()
    return identifier


# --- build -------------------------------------------------------------------------------------------
def basic_constraints(*, ca: bool, path_length: int | None = None) -> Extension:
    """Critical, as section 4.2.1.9 asks of every CA. ``path_length`` counts CAs below this one, leaves apart."""
    limit = b"" if path_length is None else der.integer(path_length)
    return Extension(
        BASIC_CONSTRAINTS, critical=True, value=der.sequence(der.boolean(value=True) if ca else b"", limit)
    )


def key_usage(*usages: Usage) -> Extension:
    """Critical; at least one usage."""
    last = max(_USAGES.index(usage) for usage in usages)
    size = last // 8 + 1
    bits = sum(1 << (8 * size - 1 - _USAGES.index(usage)) for usage in set(usages))
    return Extension(KEY_USAGE, critical=True, value=der.bit_string(bits.to_bytes(size, "big"), 7 - last % 8))


def extended_key_usage(*purposes: str, critical: bool = False) -> Extension:
    """Purposes as dotted object identifiers. Critical only for time-stamping (RFC 3161 section 2.3)."""
    return Extension(EXTENDED_KEY_USAGE, critical, der.sequence(*map(der.oid, purposes)))


def key_identifier(spki: bytes) -> bytes:
    """RFC 7093 section 2, method 1: the leftmost 160 bits of SHA-256 over the subjectPublicKey bits."""
    fields = der.Reader(spki, "the public key").enter()
    fields.raw(der.SEQUENCE)
    key, _ = fields.bit_string()
    return hashlib.sha256(key).digest()[:20]


def subject_key_id(spki: bytes) -> Extension:
    """The :func:`key_identifier` of the certified key."""
    return Extension(SUBJECT_KEY_ID, critical=False, value=der.octet_string(key_identifier(spki)))


def authority_key_id(issuer_key_id: bytes) -> Extension:
    """``issuer_key_id``: what the issuer's own subjectKeyIdentifier says."""
    value = der.sequence(der.tlv(der.context(0, constructed=False), issuer_key_id))
    return Extension(AUTHORITY_KEY_ID, critical=False, value=value)


def subject_alternative_name(san: San, *, critical: bool = True) -> Extension:
    """Exactly one name; critical wherever the subject is empty (section 4.2.1.6)."""
    return Extension(SUBJECT_ALTERNATIVE_NAME, critical, encode_san(san))


def poison() -> Extension:
    """What makes a precertificate unusable (RFC 6962 section 3.1)."""
    return Extension(POISON, critical=True, value=der.null())


def sct_list(data: bytes) -> Extension:
    """``data``: a SignedCertificateTimestampList in TLS form (RFC 6962 section 3.3)."""
    return Extension(SCT_LIST, critical=False, value=der.octet_string(data))
