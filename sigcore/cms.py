# SPDX-License-Identifier: Apache-2.0
"""CMS SignedData with one signer: the part of RFC 5652 that timestamp tokens use.

Read strictly as DER. What is not done, and why:

* BER (indefinite or padded lengths) is refused: RFC 3161 section 2.4.2 asks for DER, and a second spelling of a signed
  structure is a second meaning.
* CRLs and unsigned attributes are skipped: nothing here depends on them.
* Signed attributes other than those that :func:`verify_signer` names are ignored, signingTime among them: the time of a
  token is its genTime.

Sources: RFC 5652 (CMS), RFC 8933 (one digest algorithm), RFC 5754 (SHA-2 in CMS), RFC 2634 section 5.4 and RFC 5035
(signing certificate attributes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from sigcore import der, signatures
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.extensions import parse_subject_key_id
from sigcore.values import dataclass
from sigcore.x509 import Certificate

SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"
SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
_RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
_RSA: Final = {
    HashAlgorithm.SHA2_256: signatures.RSA_WITH_SHA256,
    HashAlgorithm.SHA2_384: signatures.RSA_WITH_SHA384,
    HashAlgorithm.SHA2_512: signatures.RSA_WITH_SHA512,
}
_ECDSA: Final = {
    HashAlgorithm.SHA2_256: signatures.ECDSA_WITH_SHA256,
    HashAlgorithm.SHA2_384: signatures.ECDSA_WITH_SHA384,
    HashAlgorithm.SHA2_512: signatures.ECDSA_WITH_SHA512,
}

_SMALL_ALGORITHM, _SMALL_ATTRIBUTE = 32, 1024
"""Bytes; longer ones are not kept, so that what others send cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class IssuerAndSerial:
    """Names a certificate by its issuer (Name, DER) and serial number."""

    issuer: bytes
    serial: int


@dataclass(frozen=True, slots=True)
class SubjectKeyId:
    """Names a certificate by its subject key identifier."""

    value: bytes


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """RFC 5652 section 5.3.

    ``attributes`` are (type, content of the SET OF values); ``signed`` is what the signature is over: the attributes as
    a DER SET OF. ``hash`` serves for digest and signature alike; ``algorithm`` is a row of :mod:`sigcore.signatures`.
    """

    identifier: IssuerAndSerial | SubjectKeyId
    hash: HashAlgorithm
    attributes: tuple[tuple[str, bytes], ...]
    signed: bytes
    algorithm: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedData:
    """RFC 5652 section 5.1. ``certificates`` are whole TLVs, unread; they are hints and carry no trust."""

    content_type: str
    content: bytes
    certificates: tuple[bytes, ...]
    signer: SignerInfo


# --- read ------------------------------------------------------------------------------------------
def algorithm(reader: der.Reader) -> str:
    """The next AlgorithmIdentifier's OID; parameters absent or NULL (RFC 5754 section 2 tells readers to take both)."""
    raw = reader.raw(der.SEQUENCE)
    return (_recent_algorithm if len(raw) <= _SMALL_ALGORITHM else _algorithm)(raw, reader.what)


def _algorithm(raw: bytes, what: str) -> str:
    fields = der.Reader(raw, what).enter()
    oid = fields.oid()
    if not fields.at_end and fields.raw() != der.null():
        raise Malformed(f"{what} has parameters beside the algorithm {oid}, expected none")
    fields.finish()
    return oid


_recent_algorithm = lru_cache(maxsize=64)(_algorithm)
"""Three in every token, and the same ones in all tokens of one authority."""


def parse_signed_data(data: bytes, *, what: str) -> SignedData:
    """A ContentInfo that holds SignedData.

    Args:
        data: the DER of the ContentInfo.
        what: how messages name it.

    Raises:
        Malformed: not DER, not SignedData version 3, not exactly one signer, or an algorithm outside SHA-2.
    """
    outer = der.Reader(data, what)
    info = outer.enter()
    outer.finish()
    if (oid := info.oid()) != SIGNED_DATA:
        raise Malformed(f"{what} has the content type {oid}, expected SignedData")
    wrapped = info.enter(der.context(0))
    info.finish()
    fields = wrapped.enter()
    wrapped.finish()
    if (version := fields.integer()) != 3:
        raise Malformed(f"{what} is SignedData version {version}, expected 3 (RFC 5652 section 5.1)")
    digests = _algorithms(fields.enter(der.SET))
    content_type, content = _encapsulated(fields.enter())
    certificates = _elements(fields.optional(der.context(0)))
    fields.optional(der.context(1))  # CRLs
    signer = _only_signer(fields.enter(der.SET), digests)
    fields.finish()
    return SignedData(content_type, content, certificates, signer)


def _algorithms(reader: der.Reader) -> tuple[str, ...]:
    found = []
    while not reader.at_end:
        found.append(algorithm(reader))
    return tuple(found)


def _elements(reader: der.Reader | None) -> tuple[bytes, ...]:
    found = []
    while reader is not None and not reader.at_end:
        found.append(reader.raw())
    return tuple(found)


def _encapsulated(reader: der.Reader) -> tuple[str, bytes]:
    content_type = reader.oid()
    wrapped = reader.enter(der.context(0))
    content = wrapped.octet_string()
    wrapped.finish()
    reader.finish()
    return content_type, content


def _only_signer(signers: der.Reader, digests: Sequence[str]) -> SignerInfo:
    if signers.at_end:
        raise Malformed(f"{signers.what} has no signer, expected exactly one")
    signer = signers.enter()
    if not signers.at_end:
        raise Malformed(f"{signers.what} has more than one signer, expected exactly one")
    return _signer(signer, digests)


def _signer(fields: der.Reader, digests: Sequence[str]) -> SignerInfo:
    version = fields.integer()
    identifier = _identifier(fields)
    if version != (1 if isinstance(identifier, IssuerAndSerial) else 3):
        raise Malformed(f"{fields.what} has a SignerInfo of version {version}, which does not fit its identifier")
    digest = algorithm(fields)
    if digest not in digests:
        raise Malformed(f"{fields.what} does not list its signer's digest algorithm {digest}")
    hashing = HashAlgorithm.by_oid(digest, what=f"the digest algorithm of {fields.what}")
    if fields.peek() != der.context(0):
        raise Malformed(f"{fields.what} has no signed attributes, which its content type requires")
    attributes, signed = _attributes(fields.enter(der.context(0)))
    scheme = _signature_algorithm(fields, hashing)
    signature = fields.octet_string()
    fields.optional(der.context(1))  # unsigned attributes
    fields.finish()
    return SignerInfo(identifier, hashing, attributes, signed, scheme, signature)


def _identifier(fields: der.Reader) -> IssuerAndSerial | SubjectKeyId:
    if fields.peek() == der.context(0, constructed=False):
        return SubjectKeyId(fields.content(der.context(0, constructed=False)))
    names = fields.enter()
    identifier = IssuerAndSerial(names.raw(der.SEQUENCE), names.integer())
    names.finish()
    return identifier


def _attributes(reader: der.Reader) -> tuple[tuple[tuple[str, bytes], ...], bytes]:
    """The attributes and the bytes that are signed: a SET OF in DER, whatever order they came in (section 5.4)."""
    raw: list[bytes] = []
    found: dict[str, bytes] = {}
    while not reader.at_end:
        raw.append(reader.raw(der.SEQUENCE))
        attribute = der.Reader(raw[-1], reader.what).enter()
        oid, values = attribute.oid(), attribute.content(der.SET)
        attribute.finish()
        if oid in found:
            raise Malformed(f"{reader.what} has the signed attribute {oid} twice")
        found[oid] = values
    return tuple(found.items()), der.set_of(*raw)


def _signature_algorithm(fields: der.Reader, digest: HashAlgorithm) -> bytes:
    """ECDSA or RSA PKCS#1 v1.5 with the digest's own hash (RFC 8933).

    ``rsaEncryption`` leaves the hash to the digest (RFC 3370 section 3.2); RSA may lack its NULL (RFC 5754 section 3.2).
    """
    raw = fields.raw(der.SEQUENCE)
    if raw in (_ECDSA[digest], _RSA[digest]):
        return raw
    oid = algorithm(der.Reader(raw, fields.what))
    if oid == _RSA_ENCRYPTION or der.sequence(der.oid(oid), der.null()) == _RSA[digest]:
        return _RSA[digest]
    raise Malformed(
        f"{fields.what} has the signature algorithm {oid} beside the digest algorithm {digest.name}",
        "ECDSA and RSA PKCS#1 v1.5 with that digest are supported",
    )


# --- verify ------------------------------------------------------------------------------------------
def identifies(signer: SignerInfo, certificate: Certificate) -> bool:
    """Whether the signer's identifier is that of ``certificate``. Says nothing about trust."""
    identifier = signer.identifier
    if isinstance(identifier, IssuerAndSerial):
        return (identifier.issuer, identifier.serial) == (certificate.issuer, certificate.serial)
    return parse_subject_key_id(certificate) == identifier.value


def verify_signer(signed: SignedData, certificate: Certificate, *, what: str) -> None:
    """Check that the holder of ``certificate`` signed the content.

    1. The signer's identifier (issuer and serial, or subject key identifier) is that of ``certificate``.
    2. Signed attribute contentType is the type of the content.
    3. Signed attribute messageDigest is the digest of the content.
    4. Signed attribute signingCertificateV2 or signingCertificate (each one that is there) names ``certificate``.
    5. The signature over the signed attributes verifies with the certificate's key.

    The caller must still decide whether the certificate is trusted, at which time and for what.

    Raises:
        Malformed: a signed attribute has not the form that its specification gives.
        Refused: one of the checks fails; the message says which.
    """
    signer = signed.signer
    attributes = dict(signer.attributes)
    if not identifies(signer, certificate):
        raise Refused(f"{what} names another signer than the trusted certificate")
    if attributes.get(CONTENT_TYPE) != der.oid(signed.content_type):
        raise Refused(f"{what} has no signed contentType attribute that equals the type of its content")
    if attributes.get(MESSAGE_DIGEST) != der.octet_string(signer.hash.digest(signed.content)):
        raise Refused(f"{what} has no signed messageDigest attribute that equals the digest of its content")
    _verify_signing_certificate(attributes, certificate, what)
    signatures.verify(
        signer.algorithm, certificate.public_key(), signer.signature, signer.signed, what=f"the signature of {what}"
    )


def _verify_signing_certificate(attributes: dict[str, bytes], certificate: Certificate, what: str) -> None:
    """Step 4. Only the first ESSCertID is read: it names the signer, the others would only narrow the chain."""
    present = [oid for oid in (SIGNING_CERTIFICATE_V2, SIGNING_CERTIFICATE) if oid in attributes]
    if not present:
        raise Refused(f"{what} has no signed attribute that names its signing certificate (RFC 5816 section 2.2.1)")
    for oid in present:
        value = attributes[oid]
        verify = _recent_signing_certificate if len(value) <= _SMALL_ATTRIBUTE else _verify_signing_certificate_id
        verify(oid, value, certificate, what)


def _verify_signing_certificate_id(oid: str, data: bytes, certificate: Certificate, what: str) -> None:
    value = der.Reader(data, f"the signing certificate attribute of {what}")
    identifier = value.enter().enter().enter()
    value.finish()
    if oid == SIGNING_CERTIFICATE:
        # RFC 2634 fixes SHA-1; a trusted chain and the signature decide, this attribute only names.
        digest = hashlib.sha1(certificate.der, usedforsecurity=False).digest()
    elif identifier.peek() == der.SEQUENCE:
        digest = HashAlgorithm.by_oid(algorithm(identifier), what=identifier.what).digest(certificate.der)
    else:
        digest = HashAlgorithm.SHA2_256.digest(certificate.der)
    if identifier.octet_string() != digest:
        raise Refused(f"{what} names another signing certificate than the trusted one")
    _verify_issuer_serial(identifier, certificate, what)


_recent_signing_certificate = lru_cache(maxsize=64)(_verify_signing_certificate_id)
"""Kept where it holds: an authority names its certificate in the same bytes each time."""


def _verify_issuer_serial(identifier: der.Reader, certificate: Certificate, what: str) -> None:
    """IssuerSerial OPTIONAL: GeneralNames with one directoryName, and the serial number (RFC 5035 section 5)."""
    if not identifier.at_end:
        fields = identifier.enter()
        names = fields.enter().enter(der.context(4))
        if (names.raw(), fields.integer()) != (certificate.issuer, certificate.serial):
            raise Refused(f"{what} names its signing certificate by another issuer or serial number")
        names.finish()
        fields.finish()
    identifier.finish()
