# SPDX-License-Identifier: Apache-2.0
"""Fulcio's API v2, from the signer's side: an identity token and a proof of possession become a certificate.

Source: fulcio ``fulcio.proto`` (``CreateSigningCertificate``), ``pkg/challenges``.
"""

from __future__ import annotations

import json

from client.answers import answering
from client.identity import IdentityToken
from client.transport import Transport, call
from sigcore import keys, limits, x509
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, encode_base64, parse_json
from sigcore.values import dataclass
from sigcore.x509 import Certificate


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate for a new key, with what was shown for it. ``chain`` has the leaf first; ``possession`` is the proof."""

    token: IdentityToken
    chain: tuple[Certificate, ...]
    possession: bytes


async def request_certificate(transport: Transport, url: str, *, token: IdentityToken, key: keys.PrivateKey) -> Issued:
    """A certificate for ``key``.

    1. Sign the token's subject with the new key: proof that whoever asks holds it.
    2. POST key, proof and token.
    3. The leaf in the answer must be for ``key``; nothing else of it is believed.

    What the caller must still do: verify the chain and the SCT against the trusted root.

    Args:
        transport: how to get there.
        url: base URL of the certificate authority.
        token: whose identity is certified.
        key: the new key; only its public half is sent.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: the answer is no chain.
        Refused: the certificate is for another key.
    """
    public = key.public_key()
    proof = keys.sign(key, token.possession_subject.encode("utf-8"))
    request: JSON = {
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": keys.encode_public_key_pem(public)},
            "proofOfPossession": encode_base64(proof),
        }
    }
    answer = await call(
        transport,
        "POST",
        f"{url.rstrip('/')}/api/v2/signingCert",
        service="the certificate authority",
        headers={"Authorization": f"Bearer {token.text}", "Content-Type": "application/json"},
        body=json.dumps(request).encode("utf-8"),
    )
    with answering("the certificate authority", url):
        chain = _parse_answer(answer)
    if chain[0].spki != keys.encode_public_key(public):
        raise Refused(
            "the certificate authority answered with a certificate for another key", "do not use this service"
        )
    return Issued(token, chain, proof)


def _parse_answer(data: bytes) -> tuple[Certificate, ...]:
    """``signedCertificateEmbeddedSct.chain.certificates``; members that are not needed are read over."""
    what = "the certificate authority's answer"
    fields = Fields.of(parse_json(data, what=what, limit=limits.SERVICE_RESPONSE), what, proto=True)
    if "signedCertificateDetachedSct" in fields:
        raise Malformed(f"{what} has a detached SCT, which bundles cannot carry", "let the authority embed SCTs")
    chain = fields.object("signedCertificateEmbeddedSct").object("chain")
    certificates = chain.texts("certificates", limit=limits.CHAIN_CERTIFICATES)
    if not certificates:
        raise Malformed(f"{what} has no certificates")
    return tuple(x509.parse_certificate_pem(pem) for pem in certificates)
