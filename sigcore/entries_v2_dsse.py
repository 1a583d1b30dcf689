# SPDX-License-Identifier: Apache-2.0
"""Entries of Rekor v2 about a DSSE envelope: the older request of that log, and the two entries that it may come to.

Clients changed their minds: until sigstore-go 1.1 and sigstore-python 4.2 the log was asked for kind ``dsse`` 0.0.2, from then on
an envelope is logged as a hashedrekord over the hash of its pre-authentication encoding, and newer clients verify nothing else.
Both entries are made from the same verified signatures.

Source: rekor-tiles ``api/proto/rekor/v2/dsse.proto`` (DSSERequestV002, DSSELogEntryV002), ``pkg/types/dsse``.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sigcore import canonical, limits
from sigcore.algorithms import HashAlgorithm
from sigcore.dsse import Envelope, EnvelopeSignature
from sigcore.entries import (
    VERSION_002,
    HashedRekord,
    Verifier,
    encode_body,
    parse_hashedrekord_request,
    parse_plain_request,
    parse_request_object,
    parse_verifier,
    verifier_value,
    verify_entry,
)
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, encode_base64
from sigcore.values import dataclass

DSSE: Final = "dsse"


@dataclass(frozen=True, slots=True)
class DsseRequest:
    """An envelope and who is to have signed it; nothing is verified yet."""

    envelope: Envelope
    verifiers: tuple[Verifier, ...]

    def verify(self) -> tuple[HashedRekord, ...]:
        """Each signature of the envelope as a verified entry of its own, over the hash of the envelope's PAE.

        1. Every verifier verifies at least one signature.
        2. Every signature is verified; the first verifier that does it stands for it.

        Raises:
            Malformed, Refused: as :func:`sigcore.entries.verify_entry`. Refused: one of the two does not hold.
        """
        signed, found = self.envelope.signed_bytes(), dict[bytes, HashedRekord]()
        for position, verifier in enumerate(self.verifiers, 1):
            digest = verifier.details.hash.digest(signed)
            records = [HashedRekord(digest, one.signature, verifier) for one in self.envelope.signatures]
            for record in _verified(records, f"verifier {position}"):
                found.setdefault(record.signature, record)
        if any(one.signature not in found for one in self.envelope.signatures):
            raise Refused("a signature of the envelope is verified by none of the verifiers")
        return tuple(found[one.signature] for one in dict.fromkeys(self.envelope.signatures))


def _verified(records: list[HashedRekord], what: str) -> list[HashedRekord]:
    found, failure = [], Refused(f"{what} verifies no signature of the envelope")
    for record in records:
        try:
            verify_entry(record)
        except Refused as error:
            failure = Refused(f"{what}: {error.message}", error.hint)
        else:
            found.append(record)
    if not found:
        raise failure
    return found


def hashedrekord_body(request: DsseRequest) -> bytes:
    """The canonical body of the hashedrekord 0.0.2 that the envelope comes to. Errors: as :meth:`DsseRequest.verify`.

    Raises:
        Refused: the envelope has several signatures, and such an entry holds one.
    """
    records = request.verify()
    if len(records) != 1:
        raise Refused(
            f"the envelope has {len(records)} signatures, this log takes one as a hashedrekord",
            "log each signature with a hashedRekordRequestV002 of its own",
        )
    return encode_body(records[0])


def dsse_body(request: DsseRequest) -> bytes:
    """The canonical body of kind dsse 0.0.2, signatures in the envelope's order. Errors: as :meth:`DsseRequest.verify`."""
    signatures: list[JSON] = [
        {"content": encode_base64(record.signature), "verifier": verifier_value(record.verifier)}
        for record in request.verify()
    ]
    payload_hash = encode_base64(hashlib.sha256(request.envelope.payload).digest())
    logged: dict[str, JSON] = {
        "payloadHash": {"algorithm": HashAlgorithm.SHA2_256.name, "digest": payload_hash},
        "signatures": signatures,
    }
    return canonical.encode({"apiVersion": VERSION_002, "kind": DSSE, "spec": {"dsseV002": logged}})


# --- requests --------------------------------------------------------------------------------------------
def parse_request(data: bytes) -> HashedRekord | DsseRequest:
    """The body of ``POST /api/v2/log/entries``; camelCase and snake_case names.

    Raises:
        Malformed: not strict JSON, an unknown or missing member, a value out of bounds.
    """
    plain = parse_plain_request(data)
    if plain is not None:
        return plain
    fields = parse_request_object(data)
    fields.only("hashedRekordRequestV002", "dsseRequestV002")
    if fields.one_of("hashedRekordRequestV002", "dsseRequestV002") == "dsseRequestV002":
        return _parse_dsse(fields.object("dsseRequestV002"))
    return parse_hashedrekord_request(fields)


def _parse_dsse(request: Fields) -> DsseRequest:
    request.only("envelope", "verifiers")
    envelope = request.object("envelope")
    envelope.only("payload", "payloadType", "signatures")
    signatures = envelope.objects("signatures", limit=limits.ENVELOPE_SIGNATURES)
    verifiers = request.objects("verifiers", limit=limits.ENVELOPE_SIGNATURES)
    if not signatures or not verifiers:
        raise Malformed(f"{request.path} has no {'verifiers' if signatures else 'signatures in its envelope'}")
    payload = envelope.base64("payload", limit=limits.LOG_REQUEST) if "payload" in envelope else b""
    return DsseRequest(
        Envelope(envelope.optional_text("payloadType"), payload, tuple(_parse_signature(one) for one in signatures)),
        tuple(parse_verifier(one) for one in verifiers),
    )


def _parse_signature(fields: Fields) -> EnvelopeSignature:
    fields.only("sig", "keyid")
    return EnvelopeSignature(fields.base64("sig", limit=limits.SIGNATURE))
