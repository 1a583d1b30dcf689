# SPDX-License-Identifier: Apache-2.0
"""A certificate and an entry as a page shows them: names and texts, decoded. Pure; what cannot be decoded is shown as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Final

from sigcore import fulcio, keys, sct, x509
from sigcore.errors import Malformed, SigError
from sigcore.strict import JSON, encode_time
from sigcore.subjects import subject_names
from sigcore.values import dataclass

_NAMES: Final = {
    "2.5.29.14": "subject key identifier",
    "2.5.29.15": "key usage",
    "2.5.29.17": "subject alternative name",
    "2.5.29.19": "basic constraints",
    "2.5.29.35": "authority key identifier",
    "2.5.29.37": "extended key usage",
    "1.3.6.1.4.1.11129.2.4.2": "SCT list",
    "1.3.6.1.4.1.11129.2.4.3": "precertificate poison",
}
_FULCIO: Final = {
    fulcio.oid_of(field.name): field.name.replace("_", " ") for field in fields(fulcio.FulcioExtensions)
} | {f"{fulcio.ARC}.1": "issuer (old form)"}


@dataclass(frozen=True, slots=True)
class Row:
    """``name`` and ``value`` for a reader; ``oid`` where the row is an extension."""

    name: str
    value: str
    oid: str = ""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """The certificate in the groups of its page."""

    identity: tuple[Row, ...]
    fields: tuple[Row, ...]
    extensions: tuple[Row, ...]
    scts: tuple[Row, ...]
    pem: str


def describe_certificate(certificate: x509.Certificate) -> ShownCertificate:
    """Everything that a certificate says."""
    values = _fulcio_values(certificate)
    return ShownCertificate(
        identity=(*(Row("identity", name) for name in _subject_names(certificate)), *values),
        fields=(
            Row("serial number", f"{certificate.serial:x}"),
            Row("issued by", _issuer(certificate)),
            Row("valid from", encode_time(certificate.not_before)),
            Row("valid to", encode_time(certificate.not_after)),
            Row("public key, SHA-256", hashlib.sha256(certificate.spki).hexdigest()),
        ),
        extensions=tuple(_others(certificate)),
        scts=tuple(_scts(certificate)),
        pem=x509.encode_certificate_pem(certificate.der) if certificate.der else "",
    )


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A bare public key: its kind, the SHA-256 of its SPKI, and PEM."""

    kind: str
    sha256: str
    pem: str


def describe_key(spki: bytes) -> ShownKey:
    """The key of an entry without a certificate."""
    kind = pem = ""
    with suppress(SigError):  # of a kind that is not signed with here
        key = keys.parse_public_key(spki)
        kind, pem = keys.default_details(key).name.removeprefix("PKIX_"), keys.encode_public_key_pem(key)
    return ShownKey(kind, hashlib.sha256(spki).hexdigest(), pem)


_SIGNATURES: Final = (
    ("hashedRekordV002", "signature", "content"),
    ("dsseV002", "signatures", "content"),
    ("signature", "content"),
    ("signatures", "signature"),
    ("content", "envelope", "signatures", "sig"),
)
"""Where the signature stands in ``spec``, by kind and version; of several the first is taken."""


def signature_of(body: JSON) -> str:
    """The (first) signature in the canonical body of an entry, base64; empty for a body of another kind."""
    spec = body.get("spec") if isinstance(body, dict) else None
    for path in _SIGNATURES:
        value = spec
        for name in path:
            value = value[0] if isinstance(value, list) and value else value
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value
    return ""


def _issuer(certificate: x509.Certificate) -> str:
    return ", ".join(filter(None, (x509.common_name(certificate.issuer), x509.organization(certificate.issuer))))


def _subject_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        return subject_names(certificate)
    except Malformed:
        return ()


def _fulcio_values(certificate: x509.Certificate) -> tuple[Row, ...]:
    try:
        values = fulcio.parse_extensions(certificate)
    except Malformed:
        return ()
    pairs = ((field.name, getattr(values, field.name)) for field in fields(values))
    return tuple(Row(name.replace("_", " "), text, fulcio.oid_of(name)) for name, text in pairs if text)


def _others(certificate: x509.Certificate) -> Iterator[Row]:
    for extension in certificate.extensions:
        if extension.oid not in _FULCIO:
            name = _NAMES.get(extension.oid, extension.oid)
            yield Row(f"{name} (critical)" if extension.critical else name, extension.value.hex(), extension.oid)


def _scts(certificate: x509.Certificate) -> Iterator[Row]:
    try:
        found = sct.embedded_scts(certificate)
    except SigError:
        return  # a precertificate has none
    for one in found:
        yield Row("log id", one.log_id.hex())
        yield Row("time", str(one.timestamp_ms))
        yield Row("signature", one.signature.hex())
