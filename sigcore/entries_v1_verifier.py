# SPDX-License-Identifier: Apache-2.0
"""What the entries of Rekor v1 share: the key or certificate in PEM that verifies, and what a verified proposal comes to.

Source: rekor ``pkg/pki/x509`` (NewPublicKey, CanonicalValue, Subjects).
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Final

from sigcore import keys, limits, x509
from sigcore.chain import verify_signed_by
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from sigcore.strict import Fields, shown
from sigcore.subjects import subject_names
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_KEY: Final = b"-----BEGIN PUBLIC KEY-----"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_PEM: Final = 2 * limits.CERTIFICATE
"""Base64 with line ends: 1.4 bytes for one."""


@dataclass(frozen=True, slots=True)
class PemVerifier:
    """``pem`` in canonical form: each block with lines of 64 characters and a final newline."""

    pem: bytes
    key: PublicKey
    subjects: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical PEM, hex: what the index knows the verifier by."""
        return hashlib.sha256(self.pem).hexdigest()

    @property
    def certificate(self) -> bytes | None:
        """The certificate (DER) that verifies; None for a bare key."""
        return None if self.pem.startswith(_KEY) else x509.parse_certificates_pem(self.pem)[0].der


@dataclass(frozen=True, slots=True)
class LoggableEntry:
    """A proposal whose signatures hold. ``body`` is what the log keeps for ever, in canonical form (RFC 8785).

    ``index_keys`` are what it is found by, ``verifiers`` those that the body names. ``attestation`` is the payload where the kind
    has one that is kept beside the log.
    """

    body: bytes
    index_keys: tuple[str, ...]
    verifiers: tuple[PemVerifier, ...]
    attestation: bytes = b""


def parse_verifier(pem: bytes, *, what: str) -> PemVerifier:
    """One ``PUBLIC KEY`` block, or the ``CERTIFICATE`` blocks of a chain, whose first one verifies.

    Nothing of a certificate is judged, the log vouches for no identity; but a chain that is none is refused.

    Raises:
        Malformed: anything else. Refused: a key that is too weak, or certificates that do not lead to each other.
    """
    text = pem.strip()
    if text.startswith(_CERTIFICATE):
        chain = x509.parse_certificates_pem(text, what=what)
        _check_chain(chain, what)
        canonical, key = "".join(x509.encode_certificate_pem(one.der) for one in chain), chain[0].public_key()
        names = subject_names(chain[0])
    elif text.startswith(_KEY):
        if (blocks := text.count(b"-----BEGIN ")) > 1:
            raise Malformed(f"{what} has {blocks} PEM blocks, expected one key", "send the key that verifies alone")
        key = keys.parse_public_key_pem(text, what=what)
        canonical, names = keys.encode_public_key_pem(key), ()
    else:
        raise Malformed(
            f"{what} begins with {shown(text[:40])}, expected -----BEGIN CERTIFICATE----- or -----BEGIN PUBLIC KEY-----",
            "send the PEM block in base64",
        )
    keys.check_strength(key, what=what)
    return PemVerifier(canonical.encode("ascii"), key, names)


def _check_chain(chain: tuple[Certificate, ...], what: str) -> None:
    """Each certificate is signed by the next one, and all were valid when the first one began to be.

    The original looks for a path to the last certificate; this order is the one in which chains are sent.
    """
    for certificate, issuer in pairwise(chain):
        verify_signed_by(certificate, issuer)
        if not issuer.not_before <= chain[0].not_before <= issuer.not_after:
            raise Refused(f"{what} has an issuer that was not valid when its first certificate was made")


def read_verifier(fields: Fields, name: str) -> PemVerifier:
    """The member ``name``: a PEM block in base64. Errors as :func:`parse_verifier`."""
    return parse_verifier(fields.base64(name, limit=_PEM), what=f"{fields.path}.{name}")


def read_signature(fields: Fields, name: str) -> bytes:
    """The member ``name``: a signature in base64; Malformed when it is empty."""
    signature = fields.base64(name, limit=limits.SIGNATURE)
    if not signature:
        raise Malformed(f"{fields.path}.{name} is empty")
    return signature
