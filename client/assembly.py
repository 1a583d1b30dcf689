# SPDX-License-Identifier: Apache-2.0
"""Bundles made from parts that lie in files, and older bundles made into version 0.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from client.verify.bodies import check_body
from client.verify.signed import ManagedKey, read_signed, verify_signature
from sigcore import keys, limits, x509
from sigcore.bundle import MEDIA_TYPE, MEDIA_TYPES, Bundle, Content
from sigcore.errors import Malformed, Refused, SigError
from sigcore.keys import PublicKey
from sigcore.legacy_bundle import VERSION_01, parse_cosign_timestamp
from sigcore.log_entry import LogEntry, parse_log_entry
from sigcore.strict import Fields, encode_base64, parse_base64

_PEM: Final = b"-----BEGIN CERTIFICATE-----"


def assemble_bundle(
    content: Content,
    verifier: bytes | PublicKey,
    *,
    digest: bytes,
    entries: Sequence[LogEntry],
    timestamps: Sequence[bytes],
) -> Bundle:
    """The bundle of these parts: version 0.3, or 0.1 where an entry has a promise and no proof.

    1. The signature is the verifier's over the content, which is about the artifact with ``digest``.
    2. Each entry's body is the one for that signature.

    Whether certificate, entries and timestamps are to be trusted, no trusted root says here: verify the bundle.

    Args:
        content: what was signed.
        verifier: the certificate (DER), or the key.
        digest: of the artifact.
        entries: log entries.
        timestamps: responses in DER.

    Raises:
        Refused: the parts do not belong together. Malformed: a part cannot be read.
    """
    proved = all(entry.proof is not None and entry.proof.checkpoint for entry in entries)
    media_type = MEDIA_TYPE if proved else VERSION_01
    if isinstance(verifier, bytes):
        bundle, key = Bundle(verifier, tuple(entries), tuple(timestamps), content, media_type=media_type), None
    else:
        hint = encode_base64(keys.key_id(keys.encode_public_key(verifier)))
        bundle = Bundle(None, tuple(entries), tuple(timestamps), content, key_hint=hint, media_type=media_type)
        key = ManagedKey(verifier)
    signed = read_signed(bundle, digest, key)
    verify_signature(signed)  # 1
    for entry in entries:
        check_body(entry, signed)  # 2
    return bundle


def upgrade_bundle(bundle: Bundle, entries: Sequence[LogEntry]) -> Bundle:
    """``bundle`` as version 0.3, with ``entries`` in the place of its own: the same ones, with proofs.

    Raises:
        Refused: an entry has no proof with a checkpoint.
    """
    for position, entry in enumerate(entries):
        if entry.proof is None or not entry.proof.checkpoint:
            raise Refused(
                f"log entry {position} has no proof with a checkpoint, which version 0.3 requires",
                "name the log, which is asked for it: --rekor-url URL",
            )
    return replace(bundle, media_type=MEDIA_TYPE, intermediates=(), log_entries=tuple(entries))


def is_newest(bundle: Bundle) -> bool:
    """Whether the bundle is of version 0.3 already."""
    return MEDIA_TYPES.get(bundle.media_type) == 3


def key_of(verifier: bytes | PublicKey) -> PublicKey:
    """The key of a certificate (DER), or the key itself."""
    return x509.parse_certified_key(verifier) if isinstance(verifier, bytes) else verifier


# --- parts in files ----------------------------------------------------------------------------------------
def parse_signature_file(data: bytes) -> bytes:
    """The signature in base64, as the tools write it, or as it is."""
    try:
        return parse_base64(data.decode("ascii").strip(), what="the signature file")
    except (SigError, UnicodeDecodeError):
        if not data:
            raise Malformed("the signature file is empty") from None
        return data


def parse_certificate_file(data: bytes) -> bytes:
    """The certificate (DER) in PEM, in base64 of PEM (cosign's ``--output-certificate``), or in DER."""
    what = "the certificate file"
    if _PEM not in data:
        try:
            data = parse_base64(data.decode("ascii").strip(), what=what)
        except (SigError, UnicodeDecodeError):
            return x509.parse_certificate(data, what=what).der
    return x509.parse_certificates_pem(data, what=what)[0].der


def parse_timestamp_file(data: bytes) -> bytes:
    """The response in DER, or in cosign's JSON around it."""
    return parse_cosign_timestamp(data) if data.lstrip().startswith(b"{") else data


def parse_entry_file(data: bytes) -> LogEntry:
    """A ``TransparencyLogEntry`` in proto-JSON, as Rekor v2 answers and as it stands in bundles."""
    return parse_log_entry(Fields.parse(data, what="the log entry file", limit=limits.SERVICE_RESPONSE, proto=True))
