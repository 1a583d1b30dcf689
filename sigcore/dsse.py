# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes: a payload, its type, and signatures over both.

What is signed is not the JSON but the pre-authentication encoding (PAE):

    "DSSEv1" SP len(type) SP type SP len(payload) SP payload        lengths in bytes, decimal

Source: DSSE 1.0 ``protocol.md`` (PAE), ``envelope.md`` (JSON form; unknown members are ignored, as it demands).
"""

from __future__ import annotations

import json
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import limits, signatures
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from sigcore.strict import JSON, Fields, encode_base64
from sigcore.values import dataclass

IN_TOTO: Final = "application/vnd.in-toto+json"
"""The payload type of in-toto statements."""


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """One signature over the PAE. ``key_id`` is a hint that nothing vouches for."""

    signature: bytes
    key_id: str = ""

    @property
    def text(self) -> str:
        """As it stands in the envelope."""
        return encode_base64(self.signature)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope with at least one signature; nothing is verified yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    def signed_bytes(self) -> bytes:
        """The PAE."""
        return pre_authentication_encoding(self.payload_type, self.payload)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What the signatures of an envelope are over."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_json(envelope: Envelope) -> dict[str, JSON]:
    """The JSON form; a key id is written also where it is empty, as every writer does."""
    signatures: list[JSON] = [{"sig": one.text, "keyid": one.key_id} for one in envelope.signatures]
    return {
        "payload": encode_base64(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": signatures,
    }


def encode_envelope(envelope: Envelope) -> str:
    """The JSON form as text on one line."""
    return json.dumps(envelope_json(envelope), separators=(",", ":"))


def parse_envelope(text: str | bytes, *, what: str = "the envelope", limit: int = limits.LOG_REQUEST) -> Envelope:
    """An envelope in JSON of at most ``limit`` bytes. ``null`` counts as absent; base64 is of the standard alphabet, padded.

    Raises:
        Malformed: not that, or without a signature.
    """
    fields = Fields.parse(text, what=what, limit=limit)
    found = fields.objects("signatures", limit=limits.ENVELOPE_SIGNATURES)
    if not found:
        raise Malformed(f"{what} has no signature")
    return Envelope(
        payload_type=fields.text("payloadType"),
        payload=fields.base64("payload", limit=limit),
        signatures=tuple(_signature(one) for one in found),
    )


def _signature(fields: Fields) -> EnvelopeSignature:
    signature = fields.base64("sig", limit=limits.SIGNATURE)
    if not signature:
        raise Malformed(f"{fields.path}.sig is empty")
    has_key_id = "keyid" in fields and fields.raw()["keyid"] is not None
    return EnvelopeSignature(signature, fields.text("keyid") if has_key_id else "")


def verify_signature(signed: bytes, signature: bytes, key: PublicKey, *, what: str) -> None:
    """Check ``signature`` by ``key`` over ``signed`` (a PAE).

    ECDSA with the hash of its curve, or with SHA-256 whatever the curve, which is how Rekor v1 verifies; RSA PKCS#1 v1.5 with
    SHA-256; Ed25519.

    Raises:
        Refused: it does not verify, or the key is too weak.
    """
    algorithm = signatures.algorithm_for(key)
    try:
        signatures.verify(algorithm, key, signature, signed, what=what)
    except Refused:
        if not isinstance(key, ec.EllipticCurvePublicKey) or algorithm == signatures.ECDSA_WITH_SHA256:
            raise
        signatures.verify(signatures.ECDSA_WITH_SHA256, key, signature, signed, what=what)
