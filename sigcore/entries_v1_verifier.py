# SPDX-License-Identifier: Apache-2.0
"""What the entries of Rekor v1 share: the key or certificate in PEM that verifies, and what a verified proposal comes to.

Source: rekor ``pkg/pki/x509`` (NewPublicKey, CanonicalValue, Subjects).
"""

from __future__ import annotations

import hashlib
from typing import Final

from sigcore import keys, limits, x509
from sigcore.errors import Malformed
from sigcore.keys import PublicKey
from sigcore.strict import Fields, shown
from sigcore.subjects import subject_names
from sigcore.values import dataclass

_KEY: Final = b"-----BEGIN PUBLIC KEY-----"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_PEM: Final = 2 * limits.CERTIFICATE
"""Base64 with line ends: 1.4 bytes for one."""


@dataclass(frozen=True, slots=True)
class PemVerifier:
    """``pem`` in canonical form: one block, lines of 64 characters, a final newline."""

    pem: bytes
    key: PublicKey
    subjects: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical PEM, hex: what the index knows the verifier by."""
        return hashlib.sha256(self.pem).hexdigest()


@dataclass(frozen=True, slots=True)
class LoggableEntry:
    """A proposal whose signatures hold. ``body`` is what the log keeps for ever, in canonical form (RFC 8785).

    ``index_keys`` are what it is found by. ``attestation`` is the payload where the kind has one that is kept beside the log.
    """

    body: bytes
    index_keys: tuple[str, ...]
    attestation: bytes = b""


def parse_verifier(pem: bytes, *, what: str) -> PemVerifier:
    """One ``PUBLIC KEY`` or ``CERTIFICATE`` block. Nothing of a certificate is judged: the log vouches for no identity.

    Not done: chains, which Rekor takes and no client sends.

    Raises:
        Malformed: anything else. Refused: a key that is too weak.
    """
    text = pem.strip()
    if text.count(b"-----BEGIN ") > 1:
        raise Malformed(f"{what} has {text.count(b'-----BEGIN ')} PEM blocks, expected one", "send the leaf alone")
    if text.startswith(_CERTIFICATE):
        certificate = x509.parse_certificate_pem(text, what=what)
        canonical, key = x509.encode_certificate_pem(certificate.der), certificate.public_key()
        names = subject_names(certificate)
    elif text.startswith(_KEY):
        key = keys.parse_public_key_pem(text, what=what)
        canonical, names = keys.encode_public_key_pem(key), ()
    else:
        raise Malformed(
            f"{what} begins with {shown(text[:40])}, expected -----BEGIN CERTIFICATE----- or -----BEGIN PUBLIC KEY-----",
            "send the PEM block in base64",
        )
    keys.check_strength(key, what=what)
    return PemVerifier(canonical.encode("ascii"), key, names)


def read_verifier(fields: Fields, name: str) -> PemVerifier:
    """The member ``name``: a PEM block in base64. Errors as :func:`parse_verifier`."""
    return parse_verifier(fields.base64(name, limit=_PEM), what=f"{fields.path}.{name}")


def read_signature(fields: Fields, name: str) -> bytes:
    """The member ``name``: a signature in base64; Malformed when it is empty."""
    signature = fields.base64(name, limit=limits.SIGNATURE)
    if not signature:
        raise Malformed(f"{fields.path}.{name} is empty")
    return signature
