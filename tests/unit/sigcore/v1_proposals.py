# SPDX-License-Identifier: Apache-2.0
"""Proposals for Rekor v1 as clients write them, made by hand: nothing of what they test is used."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a", "digest": {"sha256": "AA" * 32, "sha1": "bb" * 20}}],
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "predicate": {"materials": [{"uri": "git", "digest": {"sha1": "cc" * 20}}], "cost": 0.5},
    }
).encode()
IN_TOTO = "application/vnd.in-toto+json"


def b64(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def pem(key) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def sign(key, message: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), algorithm or hashes.SHA256())
    return key.sign(message, ec.ECDSA(algorithm or hashes.SHA256()))


def pae(kind: str, payload: bytes) -> bytes:
    return b" ".join((b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload))


def hashedrekord(
    message: bytes = b"artifact", key=KEY, *, algorithm: str = "sha256", verifier: bytes | None = None
) -> dict:
    name = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}[algorithm]
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": algorithm, "value": hashlib.new(algorithm, message).hexdigest()}},
            "signature": {
                "content": b64(sign(key, message, name())),
                "publicKey": {"content": b64(verifier or pem(key))},
            },
        },
    }


def rekord(content: bytes = b"artifact", key=KEY) -> dict:
    signature = {"format": "x509", "content": b64(sign(key, content)), "publicKey": {"content": b64(pem(key))}}
    return {
        "apiVersion": "0.0.1",
        "kind": "rekord",
        "spec": {"data": {"content": b64(content)}, "signature": signature},
    }


def envelope(payload: bytes = STATEMENT, signers=(KEY,), kind: str = IN_TOTO) -> dict:
    signatures = [{"sig": b64(sign(key, pae(kind, payload))), "keyid": ""} for key in signers]
    return {"payload": b64(payload), "payloadType": kind, "signatures": signatures}


def dsse(found: dict | None = None, verifiers=(KEY,)) -> dict:
    """As sigstore-python writes it: the members of the logged form are there, and null."""
    proposed = {"envelope": json.dumps(found or envelope()), "verifiers": [b64(pem(key)) for key in verifiers]}
    spec = {"proposedContent": proposed, "signatures": None, "envelopeHash": None, "payloadHash": None}
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}


def intoto(payload: bytes = STATEMENT, signers=(KEY,), keyid: str = "") -> dict:
    """As sigstore-js writes it: payload and signatures in base64 twice."""
    signatures = [
        {
            "sig": b64(b64(sign(key, pae(IN_TOTO, payload)))),
            "publicKey": b64(pem(key).strip()),
            **({"keyid": keyid} if keyid else {}),
        }
        for key in signers
    ]
    return {
        "apiVersion": "0.0.2",
        "kind": "intoto",
        "spec": {
            "content": {
                "envelope": {"payloadType": IN_TOTO, "payload": b64(b64(payload)), "signatures": signatures},
                "hash": {"algorithm": "sha256", "value": hashlib.sha256(b"what the client hashed").hexdigest()},
            }
        },
    }


KINDS: dict[str, Callable[[], dict]] = {
    "hashedrekord": hashedrekord,
    "rekord": rekord,
    "dsse": dsse,
    "intoto": intoto,
}


def at(document: dict, path: str):
    for name in path.split("."):
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def changed(document: dict, path: str, value: object) -> dict:
    """A copy with another value at ``path``; KeyError takes the member away."""
    copy = json.loads(json.dumps(document))
    parent, _, last = path.rpartition(".")
    place = at(copy, parent) if parent else copy
    name = int(last) if isinstance(place, list) else last
    if value is KeyError:
        del place[name]
    else:
        place[name] = value
    return copy


def nodes(value, path: str = "") -> list[str]:
    """The path of every node below the top."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for name, member in items:
        here = f"{path}.{name}".removeprefix(".")
        found += [here, *nodes(member, here)]
    return found
