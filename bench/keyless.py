# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of issuing need: an issuer of ES256 tokens that a stack is told about, and ready-made requests.

The requests are as sigstore-go sends them: a fresh P-256 key each, a proof of possession, the token in the header.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://tokens.bench.example"
KEY_ID = "bench"
ALGORITHM = ec.ECDSA(hashes.SHA256())
_OID_SHA256 = bytes.fromhex("300d06096086480165030402010500")


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def configure(folder: Path) -> Path:
    """Write the issuer's key (for the clients), its key set and a configuration for ``sigbox up --config``; return that."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "issuer.key").write_bytes(key.private_bytes(*private))
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (folder / "issuer.jwks").write_text(json.dumps({"keys": [jwk | {"kid": KEY_ID, "use": "sig", "alg": "ES256"}]}))
    config = folder / "bench.toml"
    config.write_text(f'[[issuers]]\nurl = "{ISSUER}"\njwks = "issuer.jwks"\n')
    return config


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """One request, and the key that it is for."""

    key: ec.EllipticCurvePrivateKey
    headers: dict[str, str]
    body: bytes


def prepare(folder: Path, count: int) -> list[CertificateRequest]:
    """``count`` requests, each of somebody else."""
    loaded = serialization.load_pem_private_key((folder / "issuer.key").read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError("the issuer's key is not ECDSA")
    return [_request(loaded, f"user-{number}@bench.example") for number in range(count)]


def _request(issuer: ec.EllipticCurvePrivateKey, email: str) -> CertificateRequest:
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": email, "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 600}
    claims |= {"email": email, "email_verified": True}
    token = jwt.encode(claims, issuer, "ES256", {"kid": KEY_ID})
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = {"algorithm": "ECDSA", "content": key.public_key().public_bytes(*form).decode()}
    proof = encode(key.sign(email.encode(), ALGORITHM))
    body = {"publicKeyRequest": {"publicKey": public, "proofOfPossession": proof}}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return CertificateRequest(key, headers, json.dumps(body).encode())


def timestamp_request(signature: bytes, nonce: int) -> bytes:
    """A TimeStampReq for the SHA-256 of ``signature``, with the certificate asked for (RFC 3161 section 2.4.1)."""
    imprint = _tlv(0x30, _OID_SHA256 + _tlv(0x04, hashlib.sha256(signature).digest()))
    number = _tlv(0x02, b"\x01" + nonce.to_bytes(8, "big"))
    return _tlv(0x30, bytes.fromhex("020101") + imprint + number + bytes.fromhex("0101ff"))


def _tlv(tag: int, content: bytes) -> bytes:
    """For contents below 128 bytes."""
    return bytes((tag, len(content))) + content


def entry_request(key: ec.EllipticCurvePrivateKey, certificate_pem: str, artifact: bytes) -> tuple[bytes, bytes]:
    """(signature over ``artifact``, request to Rekor v2 for it)."""
    signature = key.sign(artifact, ALGORITHM)
    der = "".join(certificate_pem.split("\n")[1:-1])
    verifier = {"x509Certificate": {"rawBytes": der}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    request = {
        "digest": encode(hashlib.sha256(artifact).digest()),
        "signature": {"content": encode(signature), "verifier": verifier},
    }
    return signature, json.dumps({"hashedRekordRequestV002": request}).encode()
