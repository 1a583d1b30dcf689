# SPDX-License-Identifier: Apache-2.0
"""Entries of Rekor v1 about a DSSE envelope: dsse 0.0.1 and, older, intoto 0.0.2.

Both keep hashes and signatures and drop the payload. dsse sorts the signatures and computes both hashes. intoto keeps the
signatures, the keys and the envelope's hash as they were sent: they lie in base64 twice, and verifying clients recompute that
hash from their bundle.

Source: rekor ``pkg/types/dsse/v0.0.1`` and ``pkg/types/intoto/v0.0.2``, schema and ``entry.go``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sigcore import canonical, limits
from sigcore.dsse import IN_TOTO, Envelope, EnvelopeSignature, parse_envelope, verify_signature
from sigcore.entries_v1_verifier import LoggableEntry, PemVerifier, parse_verifier, read_verifier
from sigcore.errors import Malformed, Refused
from sigcore.statement import statement_digests
from sigcore.strict import JSON, Fields, encode_base64, parse_base64, parse_hex, shown
from sigcore.values import dataclass


# --- dsse 0.0.1 --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class DsseV1:
    """``envelope_hash`` is SHA-256 of the envelope's text as it was sent."""

    envelope: Envelope
    envelope_hash: bytes
    verifiers: tuple[PemVerifier, ...]

    def verify(self) -> LoggableEntry:
        """The entry, once every signature has a verifier.

        1. Take the verifiers in their order until each signature is verified; each that is taken verifies at least one.
        2. The later verifier of a signature stands for it.
        3. The signatures are sorted by their base64; equal ones are one.

        Raises:
            Refused: a signature without verifier, or a verifier without signature.
        """
        found = self._verified()
        texts = sorted(found)
        verifiers = tuple(found[text] for text in texts)
        payload_hash = hashlib.sha256(self.envelope.payload).digest()
        signatures: list[JSON] = [{"signature": text, "verifier": encode_base64(found[text].pem)} for text in texts]
        spec: dict[str, JSON] = {
            "envelopeHash": _hash(self.envelope_hash),
            "payloadHash": _hash(payload_hash),
            "signatures": signatures,
        }
        keys = (
            *_verifier_keys(verifiers),
            f"sha256:{payload_hash.hex()}",
            f"sha256:{self.envelope_hash.hex()}",
            *_statement_keys(self.envelope),
        )
        return LoggableEntry(_body("dsse", "0.0.1", spec), keys, verifiers)

    def _verified(self) -> dict[str, PemVerifier]:
        signed, found = self.envelope.signed_bytes(), {}
        for position, verifier in enumerate(self.verifiers, 1):
            if all(signature.text in found for signature in self.envelope.signatures):
                break
            for signature in _signed_by(self.envelope.signatures, verifier, signed, f"verifier {position}"):
                found[signature.text] = verifier
        if not all(signature.text in found for signature in self.envelope.signatures):
            raise Refused("a signature of the envelope is verified by none of the verifiers")
        return found


def parse_dsse(spec: Fields) -> DsseV1:
    """The ``spec`` of dsse 0.0.1 as it is proposed. Malformed when it is not that."""
    spec.only("proposedContent")
    proposed = spec.object("proposedContent")
    proposed.only("envelope", "verifiers")
    text = proposed.text("envelope", limit=limits.LOG_REQUEST)
    pems = proposed.texts("verifiers", limit=limits.ENVELOPE_SIGNATURES)
    if not pems:
        raise Malformed(f"{proposed.path}.verifiers is missing or empty")
    what = f"{proposed.path}.verifiers"
    return DsseV1(
        envelope=parse_envelope(text, what=f"{proposed.path}.envelope"),
        envelope_hash=hashlib.sha256(text.encode("utf-8")).digest(),
        verifiers=tuple(parse_verifier(parse_base64(pem, what=what), what=what) for pem in pems),
    )


# --- intoto 0.0.2 ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class IntotoV2:
    """An envelope whose signatures each come with a verifier. ``sent`` are those members as they go into the body."""

    envelope: Envelope
    envelope_hash: bytes
    verifiers: tuple[PemVerifier, ...]
    sent: tuple[tuple[tuple[str, str], ...], ...]

    def verify(self) -> LoggableEntry:
        """The entry, once every verifier has verified a signature and every signature has a verifier. Refused otherwise.

        The envelope's hash is the sender's word: no key of the index is made from it.
        """
        signed, found = self.envelope.signed_bytes(), set()
        for position, verifier in enumerate(self.verifiers, 1):
            found |= set(_signed_by(self.envelope.signatures, verifier, signed, f"public key {position}"))
        if found != set(self.envelope.signatures):
            raise Refused("a signature of the envelope is verified by none of the public keys")
        payload = self.envelope.payload
        payload_hash = hashlib.sha256(payload).digest()
        signatures: list[JSON] = [dict(one) for one in self.sent]
        spec: dict[str, JSON] = {
            "content": {
                "envelope": {"payloadType": self.envelope.payload_type, "signatures": signatures},
                "hash": _hash(self.envelope_hash),
                "payloadHash": _hash(payload_hash),
            }
        }
        keys = (
            *_verifier_keys(self.verifiers),
            f"sha256:{payload_hash.hex()}",
            *_statement_keys(self.envelope),
        )
        kept = payload if len(payload) <= limits.ATTESTATION else b""
        return LoggableEntry(_body("intoto", "0.0.2", spec), keys, self.verifiers, kept)


def parse_intoto(spec: Fields) -> IntotoV2:
    """The ``spec`` of intoto 0.0.2 with its payload. Malformed when it is not that."""
    spec.only("content")
    content = spec.object("content")
    content.only("envelope", "hash", "payloadHash")
    fields = content.object("envelope")
    fields.only("payload", "payloadType", "signatures")
    payload = _twice(fields, "payload", limit=limits.LOG_REQUEST)
    members = fields.objects("signatures", limit=limits.ENVELOPE_SIGNATURES)
    if not payload or not members:
        raise Malformed(f"{fields.path} has no {'signatures' if payload else 'payload'}")
    for one in members:
        one.only("sig", "publicKey", "keyid")
    signatures = tuple(_parse_signature(one) for one in members)
    return IntotoV2(
        envelope=Envelope(fields.text("payloadType"), payload, signatures),
        envelope_hash=_read_sha256(content.object("hash")),
        verifiers=tuple(read_verifier(one, "publicKey") for one in members),
        sent=tuple(tuple((name, one.text(name, limit=limits.ENTRY)) for name in _sent(one)) for one in members),
    )


def _parse_signature(fields: Fields) -> EnvelopeSignature:
    signature = _twice(fields, "sig", limit=limits.SIGNATURE)
    if not signature:
        raise Malformed(f"{fields.path}.sig is empty")
    return EnvelopeSignature(signature, fields.optional_text("keyid"))


def _sent(fields: Fields) -> tuple[str, ...]:
    return ("keyid", "publicKey", "sig") if fields.optional_text("keyid") else ("publicKey", "sig")


def _twice(fields: Fields, name: str, *, limit: int) -> bytes:
    """Base64 of base64, which is how the original sends what it reads as bytes."""
    inner = fields.base64(name, limit=limit * 4 // 3 + 4)
    if not inner.isascii():
        raise Malformed(f"{fields.path}.{name} is not base64 of base64")
    return parse_base64(inner.decode("ascii"), what=f"the inner base64 of {fields.path}.{name}")


def _read_sha256(fields: Fields) -> bytes:
    fields.only("algorithm", "value")
    if (name := fields.text("algorithm")) != "sha256":
        raise Malformed(f"{fields.path}.algorithm is {shown(name)}, expected sha256")
    return parse_hex(fields.text("value"), what=f"{fields.path}.value", size=32)


# --- both ----------------------------------------------------------------------------------------------------
def _signed_by(
    signatures: Sequence[EnvelopeSignature], verifier: PemVerifier, signed: bytes, what: str
) -> list[EnvelopeSignature]:
    found, failure = [], Refused(f"{what} verifies no signature of the envelope")
    for signature in signatures:
        try:
            verify_signature(signed, signature.signature, verifier.key, what=f"the signature by {what}")
        except Refused as error:
            failure = error
        else:
            found.append(signature)
    if not found:
        raise failure
    return found


def _hash(digest: bytes) -> JSON:
    return {"algorithm": "sha256", "value": digest.hex()}


def _body(kind: str, version: str, spec: dict[str, JSON]) -> bytes:
    return canonical.encode({"apiVersion": version, "kind": kind, "spec": spec})


def _verifier_keys(verifiers: Sequence[PemVerifier]) -> tuple[str, ...]:
    return tuple(key for one in verifiers for key in (f"sha256:{one.fingerprint}", *one.subjects))


def _statement_keys(envelope: Envelope) -> tuple[str, ...]:
    return statement_digests(envelope.payload) if envelope.payload_type == IN_TOTO else ()
