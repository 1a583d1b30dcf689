# SPDX-License-Identifier: Apache-2.0
"""PEP 740: the attestation that lies beside a Python distribution, as indexes store it and hand it out.

    {"version": 1,
     "verification_material": {"certificate": base64 DER, "transparency_entries": [TransparencyLogEntry, ...]},
     "envelope": {"statement": base64, "signature": base64}}

It is a bundle of version 0.3 in other words, with less room: a certificate and no key, a statement and no other payload, and no
place for timestamps. So the time must come from the promise of a Rekor v1 log; readers take the first entry.

Source: PEP 740, "Attestation objects"; the names of its members are snake_case, those inside an entry are proto-JSON.
"""

from __future__ import annotations

import json
from typing import Final

from sigcore import limits
from sigcore.bundle import MEDIA_TYPE, Bundle
from sigcore.dsse import IN_TOTO, Envelope, EnvelopeSignature
from sigcore.errors import Malformed, Refused
from sigcore.log_entry import LogEntry, encode_log_entry, parse_log_entry
from sigcore.strict import JSON, Fields, encode_base64, shown

VERSION: Final = 1
_INDEX: Final = "pypi"
PUBLISH: Final = f"https://docs.{_INDEX}.org/attestations/publish/v1"
"""The predicate type that says: this is what I publish. Its predicate is null.

A name, of which nobody asks anything; no line here shall read as the address of an index.
"""

_NO_TIME: Final = "no log entry promises a time, and PEP 740 has no place for timestamps"


def parse_attestation(data: bytes, *, what: str = "the attestation") -> Bundle:
    """The bundle that an attestation stands for, to be verified like any other.

    Raises:
        Malformed: not an attestation of version 1, with the path of the member at fault.
    """
    return _attestation(Fields.parse(data, what=what, limit=limits.BUNDLE))


def parse_provenance(data: bytes, *, what: str = "the provenance") -> tuple[Bundle, ...]:
    """The attestations of a file as an index hands them out, all of them, as bundles.

        {"version": 1, "attestation_bundles": [{"publisher": {...}, "attestations": [...]}]}

    What the index says about publishers is not read: certificates say it, and are verified.

    Raises:
        Malformed: it is no such document, or holds no attestation.
    """
    fields = Fields.parse(data, what=what, limit=limits.BUNDLE)
    fields.only("version", "attestation_bundles")
    _check_version(fields)
    groups = fields.objects("attestation_bundles", limit=limits.BUNDLE_LOG_ENTRIES)
    rows = [row for group in groups for row in group.objects("attestations", limit=limits.BUNDLE_LOG_ENTRIES)]
    if not 1 <= len(rows) <= limits.BUNDLE_LOG_ENTRIES:
        raise Malformed(f"{what} has {len(rows)} attestations, expected 1 to {limits.BUNDLE_LOG_ENTRIES}")
    return tuple(map(_attestation, rows))


def _check_version(fields: Fields) -> None:
    if (version := fields.integer("version")) != VERSION:
        raise Malformed(f"{fields.path}.version is {version}, expected {VERSION}")


def _attestation(fields: Fields) -> Bundle:
    fields.only("version", "verification_material", "envelope")
    _check_version(fields)
    material, envelope = fields.object("verification_material"), fields.object("envelope")
    material.only("certificate", "transparency_entries")
    envelope.only("statement", "signature")
    signature = EnvelopeSignature(envelope.base64("signature", limit=limits.SIGNATURE))
    return Bundle(
        certificate=material.base64("certificate", limit=limits.CERTIFICATE),
        log_entries=_entries(material),
        timestamps=(),
        content=Envelope(IN_TOTO, envelope.base64("statement", limit=limits.BUNDLE), (signature,)),
    )


def _entries(material: Fields) -> tuple[LogEntry, ...]:
    name = "transparency_entries"
    found = material.objects(name, limit=limits.BUNDLE_LOG_ENTRIES)
    if not found:
        raise Malformed(f"{material.path}.{name} is empty or missing, expected the entry of a transparency log")
    entries = tuple(parse_log_entry(Fields.of(dict(one.raw()), one.path, proto=True)) for one in found)
    for one, entry in zip(found, entries, strict=True):
        if entry.proof is None or not entry.proof.checkpoint:
            raise Malformed(f"{one.path} has no inclusionProof with a checkpoint, expected both")
    if not _promised(entries):
        raise Malformed(f"{material.path}: {_NO_TIME}")
    return entries


def _promised(entries: tuple[LogEntry, ...]) -> bool:
    return any(entry.promise for entry in entries)


def encode_attestation(bundle: Bundle) -> bytes:
    """The attestation of a bundle, on one line; timestamps are left out.

    An entry that promises a time stands first.

    Raises:
        Refused: something in the bundle has no place there, or the time at which it was signed would be lost.
    """
    content = bundle.content
    if not isinstance(content, Envelope):
        raise Refused(
            "the bundle holds the signature of a file, expected an attestation", "make one: sigbox pypi attest"
        )
    if content.payload_type != IN_TOTO:
        raise Refused(f"the envelope holds {shown(content.payload_type, 90)}, expected {IN_TOTO}: a statement")
    if bundle.certificate is None:
        raise Refused("the bundle was signed with a key, and PEP 740 has a place for certificates only")
    if bundle.media_type != MEDIA_TYPE or bundle.intermediates:
        raise Refused("the bundle is older than version 0.3", "renew it first: sigbox bundle upgrade")
    if not _promised(bundle.log_entries):
        raise Refused(
            _NO_TIME,
            "sign it into a log of Rekor v1: --rekor-version 1, as sigbox pypi attest does",
        )
    entries: list[JSON] = [encode_log_entry(one) for one in sorted(bundle.log_entries, key=lambda one: not one.promise)]
    document: JSON = {
        "version": VERSION,
        "verification_material": {
            "certificate": encode_base64(bundle.certificate),
            "transparency_entries": entries,
        },
        "envelope": {
            "statement": encode_base64(content.payload),
            "signature": content.signatures[0].text,
        },
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")
