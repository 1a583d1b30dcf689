# SPDX-License-Identifier: Apache-2.0
"""Certification requests of ours, for an authority elsewhere: a name, a key, and the extensions that the certificate shall have.

Source: RFC 2986 section 4 (CertificationRequest), RFC 2985 section 5.4.2 (extensionRequest), RFC 4514 (names as text, without its escapes
but for the comma), RFC 7468 section 7 (PEM).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sigcore import certify, der, keys, signatures
from sigcore.errors import Malformed
from sigcore.keys import PrivateKey
from sigcore.patterns import pattern
from sigcore.strict import encode_base64, shown
from sigcore.x509 import COMMON_NAME, ORGANIZATION, Extension

_EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"
_ATTRIBUTES: Final = {
    "CN": COMMON_NAME,
    "O": ORGANIZATION,
    "OU": "2.5.4.11",
    "C": "2.5.4.6",
    "ST": "2.5.4.8",
    "L": "2.5.4.7",
    "DC": "0.9.2342.19200300.100.1.25",
}
_BOUND: Final = 64
"""RFC 5280 appendix A.1: ub-common-name and the like."""
_PART: Final = pattern(r"(?:[^,\\]|\\,)+")
_LINE: Final = 64


def subject_name(text: str) -> bytes:
    """The Name (DER) that ``text`` writes most specific part first, such as ``CN=Signing CA,O=ACME,C=JP``.

    Raises:
        Malformed: it is none, has no common name, or a part that is empty, too long or not printable.
    """
    found = [_attribute(part.strip(), text) for part in _PART.findall(text)]
    if not any(kind == "CN" for kind, _ in found):
        raise Malformed(f"the subject {shown(text)} has no common name", "write it as 'CN=ACME Signing CA,O=ACME,C=JP'")
    rows = [der.set_of(der.sequence(der.oid(_ATTRIBUTES[kind]), _string(kind, value))) for kind, value in found]
    return der.sequence(*reversed(rows))


def _attribute(part: str, text: str) -> tuple[str, str]:
    kind, equals, value = part.partition("=")
    kind, value = kind.strip().upper(), value.strip().replace("\\,", ",")
    if kind not in _ATTRIBUTES or not equals:
        message = f"the subject {shown(text)} has the part {shown(part)}"
        raise Malformed(message, f"name {', '.join(_ATTRIBUTES)}, as in 'CN=ACME Signing CA,O=ACME,C=JP'")
    if not 1 <= len(value) <= _BOUND or not value.isprintable():
        raise Malformed(f"the subject has {kind}={shown(value)}, expected 1 to {_BOUND} printable characters")
    if kind == "C" and not (len(value) == 2 and value.isascii() and value.isalpha()):
        raise Malformed(f"the subject has the country {shown(value)}, expected two letters, such as JP")
    if kind == "DC" and not value.isascii():
        raise Malformed(f"the subject has DC={shown(value)}, expected ASCII")
    return kind, value


def _string(kind: str, value: str) -> bytes:
    """RFC 5280 appendix A.1: a country is a PrintableString, a domain component an IA5String."""
    if kind == "C":
        return der.tlv(der.PRINTABLE_STRING, value.encode("ascii"))
    return der.tlv(der.IA5_STRING, value.encode("ascii")) if kind == "DC" else der.utf8_string(value)


def encode_request_pem(subject: bytes, key: PrivateKey, extensions: Sequence[Extension]) -> str:
    """A ``CERTIFICATE REQUEST`` block, signed by the key that it asks a certificate for.

    Args:
        subject: Name in DER.
        key: ECDSA, RSA or Ed25519, in memory or in a token.
        extensions: what is asked for; the authority decides.

    Raises:
        Refused: the key is too weak for a signature of ours.
    """
    wanted = der.sequence(*map(certify.encode_extension, extensions))
    attributes = der.tlv(der.context(0), der.sequence(der.oid(_EXTENSION_REQUEST), der.set_of(wanted)))
    info = der.sequence(der.integer(0), subject, keys.encode_public_key(key.public_key()), attributes)
    algorithm = signatures.algorithm_for(key)
    text = encode_base64(der.sequence(info, algorithm, der.bit_string(signatures.sign(algorithm, key, info))))
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join(("-----BEGIN CERTIFICATE REQUEST-----", *lines, "-----END CERTIFICATE REQUEST-----", ""))
