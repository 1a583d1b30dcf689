# SPDX-License-Identifier: Apache-2.0
"""The certificate profile as rules, checked on every precertificate before the CA key sees it.

The rules are written from the Fulcio certificate specification and RFC 5280 with literal bytes, and read what an independent
parser finds; they share no constant with ``profile``, which builds what they check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from ca.principal import Principal
from sigcore import der, general_name, x509
from sigcore.errors import SigError
from sigcore.fulcio import parse_extensions
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_FULCIO: Final = "1.3.6.1.4.1.57264.1."
_FIXED: Final[tuple[tuple[str, bool, bytes | None], ...]] = (
    ("2.5.29.15", True, bytes.fromhex("03020780")),  # keyUsage: digitalSignature
    ("2.5.29.37", False, bytes.fromhex("300a06082b06010505070303")),  # extKeyUsage: codeSigning
    ("2.5.29.14", False, None),  # subjectKeyIdentifier
    ("2.5.29.35", False, None),  # authorityKeyIdentifier
    ("2.5.29.17", True, None),  # subjectAltName
)
_POISON: Final = ("1.3.6.1.4.1.11129.2.4.3", True, b"\x05\x00")
_BEFORE: Final = [(oid, critical) for oid, critical, _ in _FIXED]
_LAST: Final = [_POISON[:2]]
_CONSTANT: Final = [(oid, value) for oid, _, value in (*_FIXED, _POISON) if value is not None]


class Unsound(Exception):
    """Our own product, or a partner's answer, failed a check of ours: a fault of the service, never of the requester."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is checked, and what it was made from."""

    certificate: Certificate
    issuer: Certificate
    principal: Principal
    spki: bytes
    now: datetime
    lifetime: timedelta
    values: Mapping[str, bytes]
    """Extension -> value."""


def lint(
    tbs: bytes,
    *,
    issuer: Certificate,
    principal: Principal,
    spki: bytes,
    now: datetime,
    lifetime: timedelta = timedelta(seconds=600),
) -> Certificate:
    """Refuse a precertificate TBS that leaves the profile; the answer is the certificate as it was read.

    ``lifetime`` is what certificates are to have: the operator's, not what the profile made of it.

    The TBS is read inside an unsigned shell, so that the CA key touches nothing before the last rule has passed.

    Raises:
        Unsound: names every rule that is broken.
    """
    shell = der.sequence(tbs, _ECDSA_SHA256, der.bit_string(b""))
    try:
        certificate = x509.parse_certificate(shell, what="the precertificate")
        values = {extension.oid: extension.value for extension in certificate.extensions}
        case = _Case(certificate, issuer, principal, spki, now, lifetime, values)
        broken = [*_frame(case), *_extensions(case), *_identity(case)]
    except SigError as error:
        raise Unsound(f"the precertificate cannot be read: {error}") from error
    if broken:
        raise Unsound(f"the precertificate leaves the profile: {'; '.join(broken)}")
    return certificate


def _frame(case: _Case) -> Iterator[str]:
    """Everything outside the extensions."""
    certificate, issuer = case.certificate, case.issuer
    if not 64 < certificate.serial.bit_length() < 160:
        yield "serial number: positive, at most 20 octets, more than 64 bits"
    if certificate.signature_algorithm != _ECDSA_SHA256:
        yield "signature algorithm: ecdsa-with-SHA256"
    if certificate.issuer != issuer.subject:
        yield "issuer: the CA's subject, byte for byte"
    if certificate.subject != b"\x30\x00":
        yield "subject: empty"
    if certificate.not_before != case.now.replace(microsecond=0):
        yield "notBefore: now"
    if certificate.not_after - certificate.not_before != case.lifetime:
        yield f"notAfter: {case.lifetime.total_seconds():.0f} seconds after notBefore"
    if not issuer.not_before <= certificate.not_before <= certificate.not_after <= issuer.not_after:
        yield "validity: inside that of the CA"
    if certificate.spki != case.spki:
        yield "key: the one whose possession was proved"


def _extensions(case: _Case) -> Iterator[str]:
    """Which extensions there are, in which order, how critical, and the values that never vary."""
    found = [(extension.oid, extension.critical) for extension in case.certificate.extensions]
    between = found[len(_BEFORE) : -1]
    if found[: len(_BEFORE)] != _BEFORE or found[-1:] != _LAST or True in [critical for _, critical in between]:
        yield "extensions: KU, EKU, SKI, AKI, SAN, Fulcio's, poison; KU, SAN and poison critical"
    if not all(oid.startswith(_FULCIO) for oid, _ in between):
        yield "extensions: between SAN and poison only Fulcio's own"
    for oid, value in _CONSTANT:
        if case.values.get(oid) != value:
            yield f"extension {oid}: value {value.hex()}"
    if case.values.get("2.5.29.14") != b"\x04\x14" + _key_hash(case.spki):
        yield "subjectKeyIdentifier: RFC 7093 method 1"
    key_id = case.issuer.extension("2.5.29.14")
    identifier = key_id.value[2:] if key_id else b""
    if case.values.get("2.5.29.35") != der.sequence(der.tlv(0x80, identifier)):
        yield "authorityKeyIdentifier: the CA's subjectKeyIdentifier"


def _identity(case: _Case) -> Iterator[str]:
    """The name and the issuer, as a verifier will read them."""
    if general_name.parse_san(case.certificate) != case.principal.san:
        yield "subjectAltName: exactly the principal's one name"
    if parse_extensions(case.certificate) != case.principal.extensions:
        yield "Fulcio extensions: exactly the principal's"
    issuer = case.principal.extensions.issuer.encode("utf-8")
    if not issuer or case.values.get(_FULCIO + "1") != issuer:
        yield "issuer (v1): the raw issuer string"
    if case.values.get(_FULCIO + "8") != der.tlv(0x0C, issuer):
        yield "issuer (v2): the issuer as UTF8String"


def _key_hash(spki: bytes) -> bytes:
    """RFC 7093 section 2, method 1: the leftmost 160 bits of SHA-256 over the subjectPublicKey bits."""
    _, key = der.members(spki)
    return hashlib.sha256(key[der.content_start(key, der.BIT_STRING) + 1 :]).digest()[:20]
