# SPDX-License-Identifier: Apache-2.0
"""Proof that the requester holds the private key: a signature over the principal's name, or a PKCS#10 request.

Of a request nothing but the key is used: RFC 2986 section 3 leaves the authority free in all the rest.
"""

from __future__ import annotations

from typing import TypeAlias

from ca.csr import parse_csr
from ca.strength import check_certifiable
from sigcore import keys, limits
from sigcore.errors import Malformed
from sigcore.keys import PublicKey
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class SignedSubject:
    """Fulcio's own form: the key, and its signature over the UTF-8 text of the principal's name."""

    key: PublicKey
    signature: bytes


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A certificate signing request in PEM; its signature covers the key itself."""

    pem: bytes


Proof: TypeAlias = SignedSubject | SigningRequest


def verify_possession(proof: Proof, subject: str) -> PublicKey:
    """The key that ``proof`` shows possession of, strong enough to be certified.

    The strength is checked first: a hostile key must not be computed with. The signature algorithm follows from the key (ECDSA
    with the curve's hash, RSA PKCS#1 v1.5 with SHA-256, Ed25519), never from the request.

    A signing request is bound to no name. It proves possession, and the token alone says who asks; what protects the token
    in transit protects that pair.

    Args:
        proof: what came with the token.
        subject: the principal's name, over which a :class:`SignedSubject` was made.

    Raises:
        Malformed: the request or the key cannot be read. Refused: the key is weak, or the signature does not verify.
    """
    if isinstance(proof, SigningRequest):
        return parse_csr(proof.pem)
    check_certifiable(proof.key)
    if not 0 < len(proof.signature) <= limits.SIGNATURE:
        raise Malformed(f"the proof of possession has {len(proof.signature)} bytes, expected 1 to {limits.SIGNATURE}")
    keys.verify(proof.key, proof.signature, subject.encode("utf-8"), what="the proof of possession")
    return proof.key


def parse_public_key_text(content: bytes) -> PublicKey:
    """The key of a request: PEM, or the same bytes as DER (Fulcio takes both in the same field)."""
    if content.lstrip().startswith(b"-----BEGIN"):
        return keys.parse_public_key_pem(content)
    return keys.parse_public_key(content)
