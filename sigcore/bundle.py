# SPDX-License-Identifier: Apache-2.0
"""The Sigstore bundle: a signature together with everything that verifies it offline.

Version 0.3 is read and written; 0.1 and 0.2 (certificate chains, entries with a promise and no proof) are known and refused.
The content is a union: a message signature now, a DSSE envelope later. Reading is strict: unknown members are refused, counts
and sizes are bounded before anything is decoded, and the log entry's proof with its checkpoint is required, as 0.3 says.

Sources: sigstore protobuf-specs ``sigstore_bundle.proto``, ``sigstore_rekor.proto``, ``sigstore_common.proto``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, TypeAlias

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, encode_base64, parse_base64, shown

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
MEDIA_TYPES: Final = (MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3")
"""The two spellings of version 0.3; the first is what everybody writes."""
_OLDER: Final = tuple(f"application/vnd.dev.sigstore.bundle+json;version=0.{minor}" for minor in (1, 2))


# --- values ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a leaf is in a log of ``size`` leaves with ``root``; ``checkpoint`` is the signed note that says so."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A ``TransparencyLogEntry``. ``index`` is what the log answered; in Rekor v2 it is the proof's index too.

    ``integrated_time`` (Unix seconds) means nothing without a ``promise`` (SET) that signs it; Rekor v2 leaves it 0.
    """

    index: int
    log_id: bytes
    kind: str
    version: str
    integrated_time: int
    body: bytes
    proof: InclusionProof
    promise: bytes | None = None


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over an artifact of which the bundle names the digest."""

    algorithm: HashAlgorithm
    digest: bytes
    signature: bytes


Content: TypeAlias = MessageSignature
"""What is signed. The DSSE envelope joins this union when attestations are supported."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One signature with its verification material: a certificate (DER, leaf only) or the hint of a key, never both.

    ``timestamps`` are whole RFC 3161 responses in DER.
    """

    certificate: bytes | None
    log_entries: tuple[LogEntry, ...]
    timestamps: tuple[bytes, ...]
    content: Content
    key_hint: str | None = None
    media_type: str = MEDIA_TYPE


# --- parse -----------------------------------------------------------------------------------------
def parse_bundle(data: bytes) -> Bundle:
    """A bundle of version 0.3 in proto-JSON.

    Raises:
        Malformed: not that, with the path of the member at fault.
        Refused: well known and not supported: versions 0.1 and 0.2, DSSE content.
    """
    fields = Fields.parse(data, what="the bundle", limit=limits.BUNDLE, proto=True)
    media_type = _media_type(fields)
    fields.only("mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope")
    material = fields.object("verificationMaterial")
    certificate, key_hint = _verifier(material)
    return Bundle(
        media_type=media_type,
        certificate=certificate,
        key_hint=key_hint,
        log_entries=tuple(map(parse_log_entry, material.objects("tlogEntries", limit=limits.BUNDLE_LOG_ENTRIES))),
        timestamps=_timestamps(material),
        content=_content(fields),
    )


def _media_type(fields: Fields) -> str:
    found = fields.text("mediaType")
    if found in _OLDER:
        raise Refused(
            f"the bundle is of version {found[-3:]}, which is not supported yet",
            "sign again with a current client: cosign 3 and sigstore-python 4 write version 0.3",
        )
    if found not in MEDIA_TYPES:
        raise Malformed(f"{fields.path}.mediaType is {shown(found, 90)}, expected {MEDIA_TYPE}")
    return found


def _verifier(material: Fields) -> tuple[bytes | None, str | None]:
    material.only("certificate", "publicKey", "x509CertificateChain", "tlogEntries", "timestampVerificationData")
    given = material.one_of("certificate", "publicKey", "x509CertificateChain")
    if given == "x509CertificateChain":
        raise Malformed(
            f"{material.path} has an x509CertificateChain, which version 0.3 forbids",
            "a bundle carries the leaf only; the rest of the chain comes from the trusted root",
        )
    holder = material.object(given)
    if given == "publicKey":
        holder.only("hint")
        return None, holder.optional_text("hint")
    holder.only("rawBytes")
    return holder.base64("rawBytes", limit=limits.CERTIFICATE), None


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
        raise Refused(
            "the bundle holds a DSSE envelope (an attestation), which is not supported yet",
            "verify a bundle that signs a file",
        )
    message = fields.object("messageSignature")
    message.only("messageDigest", "signature")
    hashed = message.object("messageDigest")
    hashed.only("algorithm", "digest")
    algorithm = HashAlgorithm.parse(hashed.text("algorithm"), what=f"{hashed.path}.algorithm")
    digest = _sized(hashed, "digest", algorithm.size)
    return MessageSignature(algorithm, digest, message.base64("signature", limit=limits.SIGNATURE))


def _sized(fields: Fields, name: str, size: int) -> bytes:
    data = fields.base64(name, limit=2 * size)
    if len(data) != size:
        raise Malformed(f"{fields.path}.{name} has {len(data)} bytes, expected {size}")
    return data


def parse_log_entry(fields: Fields) -> LogEntry:
    """A ``TransparencyLogEntry``; ``fields`` must have been made with ``proto=True``.

    An absent number is 0 and an absent list is empty: Go's writers leave the zero values out.

    Raises:
        Malformed: a member is missing or wrong, or there is no proof with a checkpoint.
    """
    fields.only(
        "logIndex", "logId", "kindVersion", "integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody"
    )
    log_id, kind = fields.object("logId"), fields.object("kindVersion")
    log_id.only("keyId")
    kind.only("kind", "version")
    return LogEntry(
        index=_number(fields, "logIndex"),
        log_id=_sized(log_id, "keyId", 32),
        kind=kind.text("kind"),
        version=kind.text("version"),
        integrated_time=_number(fields, "integratedTime"),
        body=fields.base64("canonicalizedBody", limit=limits.ENTRY),
        proof=_proof(fields.object("inclusionProof")),
        promise=_promise(fields.optional_object("inclusionPromise")),
    )


def _number(fields: Fields, name: str) -> int:
    return fields.int64(name) if name in fields else 0


def _promise(fields: Fields | None) -> bytes | None:
    if fields is None:
        return None
    fields.only("signedEntryTimestamp")
    return fields.base64("signedEntryTimestamp", limit=limits.SIGNATURE)


def _proof(fields: Fields) -> InclusionProof:
    fields.only("logIndex", "rootHash", "treeSize", "hashes", "checkpoint")
    checkpoint = fields.object("checkpoint")
    checkpoint.only("envelope")
    hashes = tuple(
        parse_base64(text, what=f"{fields.path}.hashes[{position}]")
        for position, text in enumerate(fields.texts("hashes", limit=limits.PROOF_HASHES))
    )
    if any(len(node) != 32 for node in hashes):
        raise Malformed(f"{fields.path}.hashes has an element that is not 32 bytes long")
    return InclusionProof(
        index=_number(fields, "logIndex"),
        size=fields.int64("treeSize"),
        root=_sized(fields, "rootHash", 32),
        hashes=hashes,
        checkpoint=checkpoint.text("envelope", limit=limits.NOTE),
    )


# --- encode ----------------------------------------------------------------------------------------
def encode_bundle(bundle: Bundle) -> bytes:
    """Proto-JSON on one line, zero values written out (sigstore-python's models need them)."""
    verifier: dict[str, JSON]
    if bundle.certificate is not None:
        verifier = {"certificate": {"rawBytes": encode_base64(bundle.certificate)}}
    else:
        verifier = {"publicKey": {"hint": bundle.key_hint}}
    responses: list[JSON] = [{"signedTimestamp": encode_base64(response)} for response in bundle.timestamps]
    document: JSON = {
        "mediaType": bundle.media_type,
        "verificationMaterial": {
            **verifier,
            "tlogEntries": [encode_log_entry(entry) for entry in bundle.log_entries],
            "timestampVerificationData": {"rfc3161Timestamps": responses},
        },
        "messageSignature": {
            "messageDigest": {
                "algorithm": bundle.content.algorithm.name,
                "digest": encode_base64(bundle.content.digest),
            },
            "signature": encode_base64(bundle.content.signature),
        },
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def encode_log_entry(entry: LogEntry) -> dict[str, JSON]:
    """The ``TransparencyLogEntry`` as Rekor answers it: zero values present, 64-bit numbers as text, null for no promise."""
    promise: JSON = {"signedEntryTimestamp": encode_base64(entry.promise)} if entry.promise is not None else None
    return {
        "logIndex": str(entry.index),
        "logId": {"keyId": encode_base64(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
        "integratedTime": str(entry.integrated_time),
        "inclusionPromise": promise,
        "inclusionProof": {
            "logIndex": str(entry.proof.index),
            "rootHash": encode_base64(entry.proof.root),
            "treeSize": str(entry.proof.size),
            "hashes": [encode_base64(node) for node in entry.proof.hashes],
            "checkpoint": {"envelope": entry.proof.checkpoint},
        },
        "canonicalizedBody": encode_base64(entry.body),
    }
