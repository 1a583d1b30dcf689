# SPDX-License-Identifier: Apache-2.0
"""Certificates of ours: names, TBS, signing, and the CA and TSA chains of a stack. Reading is in ``x509``.

A leaf of the CA is built by its owner from :func:`encode_tbs` and :func:`sign_tbs`, since its precertificate and its final
form share one TBS. What the ``make_`` functions give has passed our own verification.

Source: RFC 5280 section 4.1; Fulcio's certificate specification; RFC 3161 section 2.3 (TSA).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from sigcore import chain, der, extensions, keys, signatures
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey
from sigcore.strict import encode_time, shown
from sigcore.values import dataclass
from sigcore.x509 import COMMON_NAME, EKU_TIME_STAMPING, ORGANIZATION, Certificate, Extension, parse_certificate

_UPPER_BOUND = 64
"""RFC 5280 appendix A.1: ub-common-name, ub-organization-name."""
_CRITICAL = der.boolean(value=True)
_VERSION_3 = der.tlv(der.context(0), der.integer(2))


# --- names -------------------------------------------------------------------------------------------
def name(common_name: str, organization: str) -> bytes:
    """A Name: organization, then common name, UTF8String each.

    Raises:
        Malformed: one of them is empty, longer than 64 characters or not printable.
    """
    return der.sequence(_attribute(ORGANIZATION, organization), _attribute(COMMON_NAME, common_name))


def _attribute(oid: str, text: str) -> bytes:
    if not 1 <= len(text) <= _UPPER_BOUND or not text.isprintable():
        raise Malformed(f"a name has the attribute {shown(text)}, expected 1 to {_UPPER_BOUND} printable characters")
    return der.set_of(der.sequence(der.oid(oid), der.utf8_string(text)))


# --- TBS and signature ---------------------------------------------------------------------------------
def random_serial() -> int:
    """159 random bits, positive: 20 octets at most, and not to be guessed (RFC 5280 section 4.1.2.2)."""
    serial = 0
    while not serial:
        serial = int.from_bytes(secrets.token_bytes(20), "big") >> 1
    return serial


def encode_extension(extension: Extension) -> bytes:
    """Extension, with ``critical`` only where it is true (DER leaves defaults out)."""
    critical = _CRITICAL if extension.critical else b""
    return der.tlv(der.SEQUENCE, der.oid(extension.oid), critical, der.tlv(der.OCTET_STRING, extension.value))


def encode_tbs(
    *,
    serial: int,
    issuer: bytes,
    not_before: datetime,
    not_after: datetime,
    subject: bytes,
    spki: bytes,
    extensions: Sequence[Extension],
    algorithm: bytes = signatures.ECDSA_WITH_SHA256,
) -> bytes:
    """TBSCertificate, version 3.

    Args:
        serial: positive, at most 20 octets.
        issuer: Name in DER.
        not_before: first moment of the validity, cut to the second.
        not_after: last moment of the validity, cut to the second.
        subject: Name in DER; an empty one is ``der.sequence()``.
        spki: SubjectPublicKeyInfo in DER.
        extensions: in the order in which they shall stand.
        algorithm: AlgorithmIdentifier (DER) that :func:`sign_tbs` will sign with.
    """
    items = [encode_extension(extension) for extension in extensions]
    return der.sequence(
        _VERSION_3,
        der.integer(serial),
        algorithm,
        issuer,
        der.sequence(der.time(not_before), der.time(not_after)),
        subject,
        spki,
        der.tlv(der.context(3), der.sequence(*items)) if items else b"",
    )


def sign_tbs(tbs: bytes, key: PrivateKey, *, repeatable: bool = False) -> bytes:
    """The certificate (DER) of a TBS, signed with the algorithm that the TBS names; ``repeatable`` as in :func:`signatures.sign`.

    Raises:
        Refused: that algorithm does not fit the key.
    """
    fields = der.Reader(tbs, "the new certificate").enter()
    fields.raw(der.context(0))
    fields.raw(der.INTEGER)
    algorithm = fields.raw(der.SEQUENCE)
    return der.sequence(tbs, algorithm, der.bit_string(signatures.sign(algorithm, key, tbs, repeatable=repeatable)))


# --- chains of ours ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate of a stack's own is for, and from when to when."""

    common_name: str
    organization: str
    not_before: datetime
    not_after: datetime
    serial: int | None = None
    """Of a certificate that shall be the same, byte for byte, every time; None takes a random one."""


def make_root(key: PrivateKey, subject: Subject) -> bytes:
    """A self-signed root (DER): CA without a path limit, keyCertSign and cRLSign, no extended key usage."""
    spki = keys.encode_public_key(key.public_key())
    constraints = (
        extensions.basic_constraints(ca=True),
        extensions.key_usage("keyCertSign", "cRLSign"),
        extensions.subject_key_id(spki),
    )
    issuer = name(subject.common_name, subject.organization)
    tbs = _tbs(issuer, subject, spki, constraints, signatures.algorithm_for(key))
    data = sign_tbs(tbs, key, repeatable=subject.serial is not None)
    certificate = parse_certificate(data, what="the new root")
    chain.verify_signed_by(certificate, certificate)
    return data


def make_intermediate(
    issuer: Certificate, issuer_key: PrivateKey, spki: bytes, subject: Subject, *, eku: str, path_length: int = 0
) -> bytes:
    """An issuing CA (DER) below ``issuer``, for the one purpose ``eku``; ``path_length`` counts CAs below it.

    Raises:
        Refused: the issuer may not issue it, or is not valid as long as it would be.
    """
    above = extensions.parse_basic_constraints(issuer)
    if above is not None and above.path_length is not None and above.path_length <= path_length:
        raise Refused(f"the issuer's pathLenConstraint is {above.path_length}, too short for a CA with {path_length}")
    constraints = (
        extensions.basic_constraints(ca=True, path_length=path_length),
        extensions.key_usage("keyCertSign", "cRLSign"),
        extensions.extended_key_usage(eku),
    )
    certificate = _issue(issuer, issuer_key, spki, subject, constraints)
    chain.verify_signed_by(certificate, issuer)
    return certificate.der


def make_leaf(issuer: Certificate, issuer_key: PrivateKey, spki: bytes, subject: Subject, *, eku: str) -> bytes:
    """A service's signing certificate (DER) with a subject name; the purpose is critical for time-stamping (RFC 3161).

    Raises:
        Refused: the issuer may not issue it, or is not valid as long as it would be.
    """
    constraints = (
        extensions.key_usage("digitalSignature"),
        extensions.extended_key_usage(eku, critical=eku == EKU_TIME_STAMPING),
    )
    certificate = _issue(issuer, issuer_key, spki, subject, constraints)
    chain.verify_chain(certificate, (), (issuer,), at=certificate.not_before, eku=eku)
    return certificate.der


def _issue(
    issuer: Certificate, issuer_key: PrivateKey, spki: bytes, subject: Subject, constraints: Sequence[Extension]
) -> Certificate:
    keys.check_strength(keys.parse_public_key(spki))
    issuer_key_id = extensions.parse_subject_key_id(issuer) or extensions.key_identifier(issuer.spki)
    items = (*constraints, extensions.subject_key_id(spki), extensions.authority_key_id(issuer_key_id))
    tbs = _tbs(issuer.subject, subject, spki, items, signatures.algorithm_for(issuer_key))
    certificate = parse_certificate(
        sign_tbs(tbs, issuer_key, repeatable=subject.serial is not None), what="the new certificate"
    )
    if certificate.not_before < issuer.not_before or certificate.not_after > issuer.not_after:
        raise Refused(
            "the new certificate would be valid when its issuer is not",
            f"stay between {encode_time(issuer.not_before)} and {encode_time(issuer.not_after)}",
        )
    return certificate


def _tbs(issuer: bytes, subject: Subject, spki: bytes, items: Sequence[Extension], algorithm: bytes) -> bytes:
    return encode_tbs(
        serial=random_serial() if subject.serial is None else subject.serial,
        issuer=issuer,
        not_before=subject.not_before,
        not_after=subject.not_after,
        subject=name(subject.common_name, subject.organization),
        spki=spki,
        extensions=items,
        algorithm=algorithm,
    )
