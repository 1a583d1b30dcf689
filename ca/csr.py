# SPDX-License-Identifier: Apache-2.0
"""PKCS#10 certification requests, read for their key only (RFC 2986, RFC 7468 section 7)."""

from __future__ import annotations

from ca.strength import check_certifiable
from sigcore import der, keys, limits, signatures
from sigcore.errors import Malformed
from sigcore.keys import PublicKey
from sigcore.patterns import pattern
from sigcore.strict import parse_base64

_PEM = pattern(
    rb"\s*-----BEGIN (?P<label>(?:NEW )?CERTIFICATE REQUEST)-----\r?\n(?P<body>[A-Za-z0-9+/=\s]+)-----END (?P=label)-----\s*\Z"
)


def parse_csr(pem: bytes) -> PublicKey:
    """The key of a certification request whose self-signature verifies.

        CertificationRequest ::= SEQUENCE { info, AlgorithmIdentifier, BIT STRING }
        info ::= SEQUENCE { version INTEGER (0), Name, SubjectPublicKeyInfo, [0] attributes }

    1. One PEM block, strict base64, strict DER to the last byte. Name and attributes are stepped over as whole elements;
       nobody looks inside, so nothing in there can end up in a certificate.
    2. The key is of a kind and strength that may be certified.
    3. The algorithm is one that goes with the key, with SHA-2, and the signature over ``info`` verifies.

    Raises:
        Malformed: not such a request. Refused: weak key, other algorithm, or the signature does not verify.
    """
    info, algorithm, signature = _split(_parse_pem(pem))  # 1
    key = keys.parse_public_key(_spki(info), what="the signing request's key")  # 2
    check_certifiable(key, what="the signing request's key")
    signatures.verify(algorithm, key, signature, info, what="the signing request's own signature")  # 3
    return key


def _parse_pem(pem: bytes) -> bytes:
    if len(pem) > limits.CSR:
        raise Malformed(f"the signing request is {len(pem)} bytes long, the limit is {limits.CSR}")
    match = _PEM.match(pem)
    if match is None:
        raise Malformed("the signing request is not one CERTIFICATE REQUEST block in PEM")
    return parse_base64(b"".join(match["body"].split()).decode("ascii"), what="the signing request's PEM")


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    outer = der.Reader(data, "the signing request")
    request = outer.enter()
    outer.finish()
    info = request.raw(der.SEQUENCE)
    algorithm = request.raw(der.SEQUENCE)
    signature, unused = request.bit_string()
    request.finish()
    if unused:
        raise Malformed("the signing request's signature is not a whole number of bytes")
    return info, algorithm, signature


def _spki(info: bytes) -> bytes:
    reader = der.Reader(info, "the signing request").enter()
    version = reader.integer()
    if version != 0:
        raise Malformed(f"the signing request has version {version}, expected 0 (v1)")
    reader.raw(der.SEQUENCE)
    spki = reader.raw(der.SEQUENCE)
    reader.raw(der.context(0))
    reader.finish()
    return spki
