# SPDX-License-Identifier: Apache-2.0
"""The Sigstore bundle: a signature together with everything that verifies it offline.

Versions 0.1, 0.2 and 0.3 are read, 0.3 is written. What each version demands is demanded here:

    version   certificate                    log entry
    0.1       chain, leaf first, no root     a promise (SET); a proof may be there, with or without a checkpoint
    0.2       chain, leaf first, no root     a proof with a checkpoint
    0.3       the leaf alone                 a proof with a checkpoint

Reading is strict: unknown members are refused, counts and sizes are bounded before anything is decoded.

Sources: sigstore protobuf-specs ``sigstore_bundle.proto``, ``sigstore_common.proto``; DSSE ``envelope.md``.
"""

from __future__ import annotations

import json
from typing import Final, TypeAlias

from sigcore import bundle_text, limits, plain
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle_text import BundleText
from sigcore.dsse import Envelope, EnvelopeSignature, envelope_json
from sigcore.errors import Malformed
from sigcore.log_entry import LogEntry, encode_log_entry, parse_log_entry, read_plain_entry, sized
from sigcore.strict import JSON, Fields, encode_base64, shown
from sigcore.values import dataclass

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""What everybody writes."""
MEDIA_TYPES: Final = {
    MEDIA_TYPE: 3,
    "application/vnd.dev.sigstore.bundle+json;version=0.3": 3,
    "application/vnd.dev.sigstore.bundle+json;version=0.2": 2,
    "application/vnd.dev.sigstore.bundle+json;version=0.1": 1,
}
"""Media type -> minor version."""


# --- values ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over an artifact of which the bundle names the digest."""

    algorithm: HashAlgorithm
    digest: bytes
    signature: bytes


Content: TypeAlias = MessageSignature | Envelope
"""What is signed: a file by its digest, or a statement in a DSSE envelope (with exactly one signature)."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One signature with its verification material: a certificate (DER) or the hint of a key, never both.

    ``intermediates`` (DER) came with the certificate in versions 0.1 and 0.2; nothing vouches for them.
    ``timestamps`` are whole RFC 3161 responses in DER.
    """

    certificate: bytes | None
    log_entries: tuple[LogEntry, ...]
    timestamps: tuple[bytes, ...]
    content: Content
    key_hint: str | None = None
    media_type: str = MEDIA_TYPE
    intermediates: tuple[bytes, ...] = ()

    @property
    def signature(self) -> bytes:
        """The one signature, of whichever content."""
        content = self.content
        return content.signature if isinstance(content, MessageSignature) else content.signatures[0].signature


# --- parse -----------------------------------------------------------------------------------------
def parse_bundle(data: bytes) -> Bundle:
    """A bundle of version 0.1, 0.2 or 0.3 in proto-JSON.

    Raises:
        Malformed: not that, with the path of the member at fault.
    """
    known = bundle_text.read_known(data)
    if known is not None:
        return _of_text(known)
    usual = plain.read_plain(data, _read_usual) if len(data) <= limits.BUNDLE else None
    if usual is None:
        return _parse_closely(data)
    content = usual.content
    if isinstance(content, MessageSignature) and len(usual.log_entries) == 1:
        bundle_text.learn(data, usual.media_type, content.algorithm, usual.log_entries[0], len(usual.timestamps))
    return usual


def _of_text(known: BundleText) -> Bundle:
    media_type, algorithm, certificate, digest, signature, entry, stamps = known
    return Bundle(certificate, (entry,), stamps, MessageSignature(algorithm, digest, signature), None, media_type)


def _read_usual(document: plain.Members) -> tuple[Bundle, int]:
    """The signature of a file in the form that every writer of version 0.3 gives it, and the number of its strings."""
    material, message = document["verificationMaterial"], document["messageSignature"]
    certificate, hashed = material["certificate"], message["messageDigest"]
    stamps = plain.optional(material, "timestampVerificationData")
    responses = plain.items(stamps["rfc3161Timestamps"], limits.BUNDLE_TIMESTAMPS) if stamps else []
    entries = plain.items(material["tlogEntries"], limits.BUNDLE_LOG_ENTRIES)
    read = [read_plain_entry(entry) for entry in entries]
    stamped = "timestampVerificationData" in material
    counted = len(document), len(material), len(certificate), len(message), len(hashed), len(stamps)
    if counted != (3, 2 + stamped, 1, 2, 2, bool(stamps)):
        raise ValueError("a member too many or too few")
    for response in responses:
        plain.only(response, 1)
    algorithm = HashAlgorithm[hashed["algorithm"]]
    bundle = Bundle(
        media_type=document["mediaType"],
        certificate=plain.base64(certificate["rawBytes"], limits.CERTIFICATE),
        log_entries=tuple([entry for entry, _ in read]),
        timestamps=tuple([plain.base64(one["signedTimestamp"], limits.TIMESTAMP_RESPONSE) for one in responses]),
        content=MessageSignature(
            algorithm,
            plain.sized(hashed["digest"], algorithm.size),
            plain.base64(message["signature"], limits.SIGNATURE),
        ),
    )
    if MEDIA_TYPES[bundle.media_type] != 3 or not all(
        entry.proof and entry.proof.checkpoint for entry in bundle.log_entries
    ):
        raise ValueError("another version")
    return bundle, 15 + stamped + bool(stamps) + 2 * len(responses) + sum(strings for _, strings in read)


def _parse_closely(data: bytes) -> Bundle:
    fields = Fields.parse(data, what="the bundle", limit=limits.BUNDLE, proto=True)
    media_type = fields.text("mediaType")
    version = MEDIA_TYPES.get(media_type)
    if version is None:
        raise Malformed(f"{fields.path}.mediaType is {shown(media_type, 90)}, expected {MEDIA_TYPE}")
    fields.only("mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope")
    material = fields.object("verificationMaterial")
    chain, key_hint = _verifier(material, version)
    entries = material.objects("tlogEntries", limit=limits.BUNDLE_LOG_ENTRIES)
    return Bundle(
        media_type=media_type,
        certificate=chain[0] if chain else None,
        intermediates=chain[1:],
        key_hint=key_hint,
        log_entries=tuple(_log_entry(entry, version) for entry in entries),
        timestamps=_timestamps(material),
        content=_content(fields),
    )


def _verifier(material: Fields, version: int) -> tuple[tuple[bytes, ...], str | None]:
    """The certificates, or the hint of a key."""
    material.only("certificate", "publicKey", "x509CertificateChain", "tlogEntries", "timestampVerificationData")
    given = material.one_of("certificate", "publicKey", "x509CertificateChain")
    holder = material.object(given)
    if given == "publicKey":
        holder.only("hint")
        return (), holder.optional_text("hint")
    if (given == "x509CertificateChain") == (version == 3):
        raise Malformed(
            f"{material.path} has the member {given}, which version 0.{version} forbids",
            "0.3 carries the leaf only, as certificate; 0.1 and 0.2 carry an x509CertificateChain",
        )
    if given == "certificate":
        return (_raw(holder),), None
    holder.only("certificates")
    certificates = holder.objects("certificates", limit=limits.CHAIN_CERTIFICATES)
    if not certificates:
        raise Malformed(f"{holder.path}.certificates is empty, expected the signing certificate")
    return tuple(map(_raw, certificates)), None


def _raw(fields: Fields) -> bytes:
    fields.only("rawBytes")
    return fields.base64("rawBytes", limit=limits.CERTIFICATE)


def _log_entry(fields: Fields, version: int) -> LogEntry:
    entry = parse_log_entry(fields)
    if version == 1:
        if entry.promise is None:
            raise Malformed(f"{fields.path}.inclusionPromise is missing, which version 0.1 requires")
    elif entry.proof is None:
        raise Malformed(f"{fields.path}.inclusionProof is missing, which version 0.{version} requires")
    elif not entry.proof.checkpoint:
        raise Malformed(f"{fields.path}.inclusionProof.checkpoint is missing, which version 0.{version} requires")
    return entry


def _timestamps(material: Fields) -> tuple[bytes, ...]:
    data = material.optional_object("timestampVerificationData")
    if data is None:
        return ()
    data.only("rfc3161Timestamps")
    responses = data.objects("rfc3161Timestamps", limit=limits.BUNDLE_TIMESTAMPS)
    for response in responses:
        response.only("signedTimestamp")
    return tuple(response.base64("signedTimestamp", limit=limits.TIMESTAMP_RESPONSE) for response in responses)


def _content(fields: Fields) -> Content:
    if fields.one_of("messageSignature", "dsseEnvelope") == "dsseEnvelope":
        return _envelope(fields.object("dsseEnvelope"))
    message = fields.object("messageSignature")
    message.only("messageDigest", "signature")
    hashed = message.object("messageDigest")
    hashed.only("algorithm", "digest")
    algorithm = HashAlgorithm.parse(hashed.text("algorithm"), what=f"{hashed.path}.algorithm")
    digest = sized(hashed, "digest", algorithm.size)
    return MessageSignature(algorithm, digest, message.base64("signature", limit=limits.SIGNATURE))


def _envelope(fields: Fields) -> Envelope:
    """One signature: which of several would be meant, readers do not agree."""
    fields.only("payload", "payloadType", "signatures")
    signatures = fields.objects("signatures", limit=limits.ENVELOPE_SIGNATURES)
    if len(signatures) != 1:
        raise Malformed(f"{fields.path}.signatures has {len(signatures)} elements, expected exactly one")
    (signature,) = signatures
    signature.only("sig", "keyid")
    return Envelope(
        payload_type=fields.text("payloadType"),
        payload=fields.base64("payload", limit=limits.BUNDLE),
        signatures=(
            EnvelopeSignature(signature.base64("sig", limit=limits.SIGNATURE), signature.optional_text("keyid")),
        ),
    )


# --- encode ----------------------------------------------------------------------------------------
def encode_bundle(bundle: Bundle) -> bytes:
    """Proto-JSON on one line, zero values written out (sigstore-python's models need them)."""
    responses: list[JSON] = [{"signedTimestamp": encode_base64(response)} for response in bundle.timestamps]
    document: JSON = {
        "mediaType": bundle.media_type,
        "verificationMaterial": {
            **_verifier_json(bundle),
            "tlogEntries": [encode_log_entry(entry) for entry in bundle.log_entries],
            "timestampVerificationData": {"rfc3161Timestamps": responses},
        },
        **_content_json(bundle.content),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _verifier_json(bundle: Bundle) -> dict[str, JSON]:
    if bundle.certificate is None:
        return {"publicKey": {"hint": bundle.key_hint or ""}}
    if MEDIA_TYPES.get(bundle.media_type) == 3:
        return {"certificate": {"rawBytes": encode_base64(bundle.certificate)}}
    chain: list[JSON] = [{"rawBytes": encode_base64(der)} for der in (bundle.certificate, *bundle.intermediates)]
    return {"x509CertificateChain": {"certificates": chain}}


def _content_json(content: Content) -> dict[str, JSON]:
    if isinstance(content, Envelope):
        return {"dsseEnvelope": envelope_json(content)}
    return {
        "messageSignature": {
            "messageDigest": {"algorithm": content.algorithm.name, "digest": encode_base64(content.digest)},
            "signature": encode_base64(content.signature),
        }
    }
