# SPDX-License-Identifier: Apache-2.0
"""A request for a certificate, as a client makes it that is not ours."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate_request(token: str, email: str) -> tuple[bytes, bytes]:
    """The body of POST /api/v2/signingCert for a key that nobody has had, and that key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_key().public_bytes(*form)
    proof = base64.b64encode(key.sign(email.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    wanted = {"publicKey": {"algorithm": "ECDSA", "content": pem.decode()}, "proofOfPossession": proof}
    return json.dumps({"credentials": {"oidcIdentityToken": token}, "publicKeyRequest": wanted}).encode(), pem
