# SPDX-License-Identifier: Apache-2.0
"""The bodies of certificate requests, API v2 and v1 (Fulcio ``fulcio.proto``, ``fulcio_legacy.proto``).

Read as grpc-gateway reads them: camelCase and snake_case, unknown members ignored. The ``algorithm`` of a public key is one of
those: sigstore-go writes a value that its own enumeration lacks, and the key says by itself what it is.
"""

from __future__ import annotations

from ca.possession import Proof, SignedSubject, SigningRequest, parse_public_key_text
from sigcore import keys, limits
from sigcore.strict import Fields, base64_characters, parse_base64, parse_json
from sigcore.values import dataclass

_WHAT = "the certificate request"
_KEY_MEMBERS = frozenset(("algorithm",))
"""What may stand beside ``content`` and is ignored."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A proof of possession, and the identity token where the body carried it (empty otherwise)."""

    proof: Proof
    token: str = ""


def parse_request_v2(data: bytes) -> CertificateRequest:
    """The body of ``POST /api/v2/signingCert``.

    ``publicKeyRequest.publicKey.content`` is a JSON string that holds PEM.

    Raises:
        Malformed: not such a body. Refused: it holds a key that is not supported.
    """
    value = parse_json(data, what=_WHAT, limit=limits.CERTIFICATE_REQUEST)
    match value:
        case {
            "publicKeyRequest": {
                "publicKey": {"content": str(content), **ignored},
                "proofOfPossession": str(proof),
                **inner,
            },
            **outer,
        } if not outer and not inner and ignored.keys() <= _KEY_MEMBERS and _is_bounded(content, proof):
            # As all clients send it; what follows gives the same answer, and says what is wrong with all others.
            signature = parse_base64(proof, what=f"{_WHAT}.publicKeyRequest.proofOfPossession")
            return CertificateRequest(SignedSubject(keys.parse_public_key_pem(content), signature))
    return _parse_closely(Fields.of(value, _WHAT, proto=True))


def _is_bounded(content: str, proof: str) -> bool:
    return len(content) <= limits.PUBLIC_KEY and len(proof) <= base64_characters(limits.SIGNATURE)


def _parse_closely(fields: Fields) -> CertificateRequest:
    credentials = fields.optional_object("credentials")
    token = credentials.optional_text("oidcIdentityToken", limit=limits.IDENTITY_TOKEN) if credentials else ""
    if fields.one_of("publicKeyRequest", "certificateSigningRequest") == "certificateSigningRequest":
        return CertificateRequest(_signing_request(fields), token)
    request = fields.object("publicKeyRequest")
    content = request.object("publicKey").text("content", limit=limits.PUBLIC_KEY)
    signature = request.base64("proofOfPossession", limit=limits.SIGNATURE)
    return CertificateRequest(SignedSubject(keys.parse_public_key_pem(content), signature), token)


def parse_request_v1(data: bytes) -> CertificateRequest:
    """The body of ``POST /api/v1/signingCert``; there the key is base64 of PEM or DER, and the token is never in the body.

    Raises:
        Malformed: not such a body. Refused: it holds a key that is not supported.
    """
    fields = Fields.parse(data, what=_WHAT, limit=limits.CERTIFICATE_REQUEST, proto=True)
    if fields.one_of("publicKey", "certificateSigningRequest") == "certificateSigningRequest":
        return CertificateRequest(_signing_request(fields))
    content = fields.object("publicKey").base64("content", limit=limits.PUBLIC_KEY)
    signature = fields.base64("signedEmailAddress", limit=limits.SIGNATURE)
    return CertificateRequest(SignedSubject(parse_public_key_text(content), signature))


def _signing_request(fields: Fields) -> SigningRequest:
    return SigningRequest(fields.base64("certificateSigningRequest", limit=limits.CSR))
