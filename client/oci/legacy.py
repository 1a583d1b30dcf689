# SPDX-License-Identifier: Apache-2.0
"""The layout of tags: a layer with its annotations <-> a bundle.

    layer of a signature     simple signing payload            dev.cosignproject.cosign/signature  base64
    layer of an attestation  DSSE envelope in JSON             that annotation is empty; predicateType
    both                     dev.sigstore.cosign/certificate        PEM; absent where a bare key signed
                             dev.sigstore.cosign/chain              PEM: issuers; nothing vouches for them, nobody needs them
                             dev.sigstore.cosign/bundle             Rekor v1: the entry with the log's promise, no proof
                             dev.sigstore.cosign/rfc3161timestamp   of the signature; of an attestation: of its whole text
                             sigbox.log-entry                       ours: the whole entry with its proof
                             sigbox.rfc3161timestamp                ours: of an attestation's signature

Without the last two an entry of Rekor v2 could not be kept here at all, and none could become a bundle of version 0.3.
Readers that do not know them pass over them. As everything here they are verified, never believed. (Where cosign's own annotation
holds a timestamp of an attestation's signature, cosign 2.6 ends with a panic.)

Source: cosign ``pkg/oci/static``, ``pkg/oci/internal/signature/layer.go``, ``cmd/cosign/cli/attest``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from client.oci.attached import DSSE, Attached, Layout
from client.oci.manifest import Descriptor, describe
from client.oci.simplesigning import MEDIA_TYPE, parse_payload
from sigcore import dsse, keys, limits, timestamp, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import MEDIA_TYPE as VERSION_03
from sigcore.bundle import Bundle, Content, MessageSignature
from sigcore.dsse import Envelope, encode_envelope
from sigcore.errors import Malformed
from sigcore.legacy_bundle import (
    VERSION_01,
    cosign_timestamp_json,
    hash_of_entry,
    parse_cosign_timestamp,
    parse_rekor_bundle,
    rekor_bundle_json,
)
from sigcore.log_entry import LogEntry, encode_log_entry, parse_log_entry
from sigcore.strict import JSON, Fields, encode_base64, parse_base64

SIGNATURE: Final = "dev.cosignproject.cosign/signature"
CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
CHAIN: Final = "dev.sigstore.cosign/chain"
REKOR: Final = "dev.sigstore.cosign/bundle"
TIMESTAMP: Final = "dev.sigstore.cosign/rfc3161timestamp"
PREDICATE_TYPE: Final = "predicateType"
ENTRY: Final = "sigbox.log-entry"
OWN_TIMESTAMP: Final = "sigbox.rfc3161timestamp"


# --- reading -----------------------------------------------------------------------------------------
def parse_layer(layer: Descriptor, data: bytes, place: str, layout: Layout = Layout.TAG) -> Attached:
    """The signature or the attestation in a layer of the image at a tag.

    Args:
        layer: with its annotations.
        data: the layer's content.
        place: for messages.
        layout: where the image was found: cosign's experiment of OCI 1.1 has such an image as a referrer.

    Raises:
        Malformed: a part is not what it should be; the layer is neither of the two.
    """
    entry = _entry(layer)
    certificate = _certificate(layer)
    stamps = _timestamps(layer)
    if layer.media_type == MEDIA_TYPE:
        signature = parse_base64(layer.annotation(SIGNATURE), what=f"the annotation {SIGNATURE}")
        hashing = _hash_of(entry, certificate)
        content: Content = MessageSignature(hashing, hashing.digest(data), signature)
        return Attached(layout, place, _bundle(content, certificate, entry, stamps), data, parse_payload(data))
    if layer.media_type != DSSE:
        raise Malformed(f"{place} is of type {layer.media_type}, expected {MEDIA_TYPE} or {DSSE}")
    envelope = dsse.parse_envelope(data, limit=limits.BUNDLE)
    if len(envelope.signatures) != 1:
        raise Malformed(f"the envelope has {len(envelope.signatures)} signatures, expected exactly one")
    bundle = _bundle(envelope, certificate, entry, stamps)
    return Attached(layout, place, bundle, data, stamped=_stamped(stamps, data))


def _bundle(content: Content, certificate: bytes | None, entry: LogEntry | None, stamps: tuple[bytes, ...]) -> Bundle:
    proved = entry is None or (entry.proof is not None and bool(entry.proof.checkpoint))
    media_type = VERSION_03 if proved else VERSION_01
    return Bundle(certificate, (entry,) if entry is not None else (), stamps, content, media_type=media_type)


def _entry(layer: Descriptor) -> LogEntry | None:
    """Ours where it is there: it must be the one that the other tells of."""
    promised, whole = layer.annotation(REKOR), layer.annotation(ENTRY)
    limit = limits.OCI_ANNOTATION
    known = (
        parse_log_entry(Fields.parse(whole, what=f"the annotation {ENTRY}", limit=limit, proto=True)) if whole else None
    )
    if not promised:
        return known
    entry = parse_rekor_bundle(Fields.parse(promised, what=f"the annotation {REKOR}", limit=limit))
    if known is not None and (known.body, known.log_id, known.index) != (entry.body, entry.log_id, entry.index):
        raise Malformed(
            f"the annotations {REKOR} and {ENTRY} hold different log entries", "one of them was added later"
        )
    return known or entry


def _certificate(layer: Descriptor) -> bytes | None:
    pem = layer.annotation(CERTIFICATE)
    return x509.parse_certificates_pem(pem, what=f"the annotation {CERTIFICATE}")[0].der if pem else None


def _timestamps(layer: Descriptor) -> tuple[bytes, ...]:
    """Ours where it is there."""
    text = layer.annotation(OWN_TIMESTAMP) or layer.annotation(TIMESTAMP)
    return (parse_cosign_timestamp(text.encode("utf-8")),) if text else ()


def _hash_of(entry: LogEntry | None, certificate: bytes | None) -> HashAlgorithm:
    if entry is not None and (entry.kind, entry.version) == ("hashedrekord", "0.0.1"):
        return hash_of_entry(entry)
    return keys.digest_details(x509.parse_certified_key(certificate)).hash if certificate else HashAlgorithm.SHA2_256


def _stamped(stamps: Sequence[bytes], text: bytes) -> bytes | None:
    """The envelope's text, where that is what the authority saw. The imprint decides; the verifier checks it again."""
    infos = [timestamp.parse_response(stamp).info for stamp in stamps]
    return text if infos and all(info.hash.digest(text) == info.digest for info in infos) else None


# --- writing -----------------------------------------------------------------------------------------
def signature_layer(bundle: Bundle, payload: bytes, issuers: Sequence[x509.Certificate]) -> tuple[Descriptor, bytes]:
    """The layer of a signature over ``payload``.

    Args:
        bundle: with the signature.
        payload: from :func:`client.oci.simplesigning.encode_payload`.
        issuers: of the bundle's certificate, root last.
    """
    return _layer(MEDIA_TYPE, payload, {SIGNATURE: encode_base64(bundle.signature)}, bundle, issuers), payload


def attestation_layer(
    bundle: Bundle, predicate_type: str, issuers: Sequence[x509.Certificate], text: bytes = b""
) -> tuple[Descriptor, bytes]:
    """The layer of an attestation. ``text``: the envelope as it was logged, where that is not our spelling.

    Raises:
        Malformed: the bundle holds no envelope.
    """
    if not isinstance(bundle.content, Envelope):
        raise Malformed("the bundle holds no attestation")
    text = text or encode_envelope(bundle.content).encode("utf-8")
    return _layer(DSSE, text, {SIGNATURE: "", PREDICATE_TYPE: predicate_type}, bundle, issuers), text


def _layer(
    media_type: str, data: bytes, own: dict[str, str], bundle: Bundle, issuers: Sequence[x509.Certificate]
) -> Descriptor:
    annotations = dict(own)
    if bundle.certificate is not None:
        annotations[CERTIFICATE] = x509.encode_certificate_pem(bundle.certificate)
        annotations[CHAIN] = "".join(x509.encode_certificate_pem(issuer.der) for issuer in issuers)
    for entry in bundle.log_entries[:1]:
        if entry.promise is not None:
            annotations[REKOR] = _text(rekor_bundle_json(entry))
        if entry.proof is not None:
            annotations[ENTRY] = _text(encode_log_entry(entry))
    for stamp in bundle.timestamps[:1]:
        annotations[OWN_TIMESTAMP if media_type == DSSE else TIMESTAMP] = _text(cosign_timestamp_json(stamp))
    return describe(media_type, data, annotations=tuple(sorted(annotations.items())))


def _text(value: dict[str, JSON]) -> str:
    return json.dumps(value, separators=(",", ":"))
