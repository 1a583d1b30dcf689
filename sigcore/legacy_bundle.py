# SPDX-License-Identifier: Apache-2.0
"""cosign's own bundle of a file, from before the Sigstore bundle: a signature, its verifier, and Rekor's promise.

    {"base64Signature": <base64 of the signature, or of the DSSE envelope>,
     "cert": <base64 of PEM: the certificate, or the public key; cosign 2 leaves it out where a key signed>,
     "rekorBundle": {"SignedEntryTimestamp": <base64>,
                     "Payload": {"body": <base64>, "integratedTime": <s>, "logIndex": <n>, "logID": <hex>}}}

It becomes a bundle of version 0.1, the one that lets the promise stand for the proof. The digest of the artifact is not in it:
it is taken from the body of the entry, which the verifier then compares with the artifact's.

Source: cosign ``pkg/cosign/fetch.go`` (LocalSignedPayload), ``pkg/cosign/bundle/rekor.go`` (RekorBundle).
"""

from __future__ import annotations

from typing import Final

from sigcore import dsse, keys, limits, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, Content, MessageSignature
from sigcore.errors import Malformed
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON, Fields, encode_base64, parse_base64, parse_hex, shown

VERSION_01: Final = "application/vnd.dev.sigstore.bundle+json;version=0.1"
_WHAT: Final = "the legacy bundle"


def parse_legacy_bundle(data: bytes) -> Bundle:
    """The bundle as one of version 0.1.

    Raises:
        Malformed: not such a bundle, or without an entry of a log: nothing could be verified with it.
    """
    fields = Fields.parse(data, what=_WHAT, limit=limits.BUNDLE)
    fields.only("base64Signature", "cert", "rekorBundle")
    entry = parse_rekor_bundle(fields.object("rekorBundle"))
    certificate, hint = _verifier(fields)
    signature = fields.base64("base64Signature", limit=limits.BUNDLE)
    return Bundle(certificate, (entry,), (), _content(signature, entry), key_hint=hint, media_type=VERSION_01)


def parse_rekor_bundle(rekor: Fields) -> LogEntry:
    """The entry in cosign's ``RekorBundle``, which also stands as text beside an image's signature.

    Raises:
        Malformed: not that, or without the log's promise: so cosign 3 writes an entry of Rekor v2, which proves nothing.
    """
    rekor.only("SignedEntryTimestamp", "Payload")
    if rekor.raw().get("SignedEntryTimestamp") is None:
        raise Malformed(
            f"{rekor.path} has no promise of the log (SignedEntryTimestamp), so nothing shows that the log has the entry",
            "an entry of Rekor v2 has none: sign in the layout of referrers, or in a log of v1",
        )
    payload = rekor.object("Payload")
    payload.only("body", "integratedTime", "logIndex", "logID")
    body = payload.base64("body", limit=limits.ENTRY)
    document = Fields.parse(body, what=f"{payload.path}.body", limit=limits.ENTRY)
    return LogEntry(
        index=payload.int64("logIndex"),
        log_id=parse_hex(payload.text("logID"), what=f"{payload.path}.logID", size=32),
        kind=document.text("kind"),
        version=document.text("apiVersion"),
        integrated_time=payload.int64("integratedTime"),
        body=body,
        proof=None,
        promise=rekor.base64("SignedEntryTimestamp", limit=limits.SIGNATURE),
    )


def _verifier(fields: Fields) -> tuple[bytes | None, str | None]:
    """The certificate or the hint of a key; neither where a key signed and nothing says which: the verifier has it."""
    if "cert" not in fields:
        return None, None
    pem = fields.base64("cert", limit=2 * limits.CERTIFICATE)
    what = f"{fields.path}.cert"
    if b"BEGIN CERTIFICATE" in pem:
        return x509.parse_certificate_pem(pem, what=what).der, None
    key = keys.parse_public_key_pem(pem, what=what)
    return None, encode_base64(keys.key_id(keys.encode_public_key(key)))


def rekor_bundle_json(entry: LogEntry) -> dict[str, JSON]:
    """The same, for an entry with a promise."""
    payload: JSON = {
        "body": encode_base64(entry.body),
        "integratedTime": entry.integrated_time,
        "logIndex": entry.index,
        "logID": entry.log_id.hex(),
    }
    return {"SignedEntryTimestamp": encode_base64(entry.promise or b""), "Payload": payload}


def hash_of_entry(entry: LogEntry) -> HashAlgorithm:
    """The algorithm that a hashedrekord 0.0.1 says its digest is by.

    Raises:
        Malformed: no such body, or none of SHA-2.
    """
    return _hashed(entry)[1]


def _hashed(entry: LogEntry) -> tuple[Fields, HashAlgorithm]:
    document = Fields.parse(entry.body, what="the entry's body", limit=limits.ENTRY)
    hashed = document.object("spec").object("data").object("hash")
    name = hashed.text("algorithm")
    algorithm = next((known for known in HashAlgorithm if known.hashlib_name == name), None)
    if algorithm is None:
        raise Malformed(f"{hashed.path}.algorithm is {shown(name)}, expected one of SHA-2")
    return hashed, algorithm


def _content(signature: bytes, entry: LogEntry) -> Content:
    if signature.startswith(b"{"):
        return dsse.parse_envelope(signature)
    if entry.kind != "hashedrekord":
        raise Malformed(
            f"{_WHAT} has an entry of kind {shown(entry.kind)}, expected hashedrekord for a file's signature"
        )
    hashed, algorithm = _hashed(entry)
    digest = parse_hex(hashed.text("value"), what=f"{hashed.path}.value", size=algorithm.size)
    return MessageSignature(algorithm, digest, signature)


def parse_cosign_timestamp(data: bytes) -> bytes:
    """The response (DER) in ``{"SignedRFC3161Timestamp": <base64>}``, as ``cosign sign-blob --rfc3161-timestamp`` wrote it."""
    fields = Fields.parse(data, what="the timestamp file", limit=2 * limits.TIMESTAMP_RESPONSE)
    fields.only("SignedRFC3161Timestamp")
    return parse_base64(fields.text("SignedRFC3161Timestamp", limit=2 * limits.TIMESTAMP_RESPONSE), what=fields.path)


def cosign_timestamp_json(response: bytes) -> dict[str, JSON]:
    """The same for a response (DER), as it also stands beside an image's signature."""
    return {"SignedRFC3161Timestamp": encode_base64(response)}
