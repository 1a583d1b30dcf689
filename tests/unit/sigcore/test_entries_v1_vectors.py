# SPDX-License-Identifier: Apache-2.0
"""Bodies that the public Rekor has logged, built anew from the bundles that name them: equal byte for byte."""

from __future__ import annotations

import base64
import hashlib
import json
from itertools import product
from pathlib import Path

import pytest

from sigcore import entries_v1, keys, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.entries_v1_artifact import HashedRekordV1
from sigcore.entries_v1_verifier import parse_verifier

CONFORMANCE, SIGSTORE_JS = "sigstore-conformance/bundle-verify", "sigstore-js-bundles"
HASHEDREKORD = [
    "happy-path-v0.1",
    "happy-path-v0.2",
    "happy-path-v0.3",
    "happy-path-v0.3-new-mediaType",
    "managed-key-and-trusted-root",
    "managed-key-happy-path",
    "trust-root-tlog-validity-end-inclusive",
]
DSSE = [
    f"{CONFORMANCE}/happy-path-intoto-in-dsse-v3/bundle.sigstore.json",
    f"{SIGSTORE_JS}/bundleV01-dsse-no-proof.sigstore",
    f"{SIGSTORE_JS}/bundleV01-dsse-with-proof.sigstore",
    f"{SIGSTORE_JS}/bundleV02-dsse.sigstore",
    f"{SIGSTORE_JS}/bundleV03-dsse.sigstore",
]
INTOTO = [
    f"{SIGSTORE_JS}/bundleV01-intoto-no-proof.sigstore",
    f"{SIGSTORE_JS}/bundleV01-intoto-with-proof.sigstore",
    f"{SIGSTORE_JS}/bundleV01-full-cert-chain.sigstore",
    f"{SIGSTORE_JS}/bundleV02-intoto.sigstore",
    f"{SIGSTORE_JS}/bundleV03-intoto.sigstore",
]


def load(path: Path) -> tuple[dict, bytes]:
    bundle = json.loads(path.read_bytes())
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    return bundle, base64.b64decode(entry["canonicalizedBody"])


def pem_of(bundle: dict) -> str:
    material = bundle["verificationMaterial"]
    leaf = material.get("certificate") or material["x509CertificateChain"]["certificates"][0]
    return x509.encode_certificate_pem(base64.b64decode(leaf["rawBytes"]))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("name", HASHEDREKORD)
def test_a_hashedrekord_of_certificate_or_key_signature_and_digest(vectors, name):
    folder = vectors / CONFORMANCE / name
    bundle, body = load(folder / "bundle.sigstore.json")
    if "publicKey" in bundle["verificationMaterial"]:
        pem = keys.encode_public_key_pem(keys.parse_public_key_pem((folder / "key.pub").read_bytes()))
    else:
        pem = pem_of(bundle)
    message = bundle["messageSignature"]
    entry = HashedRekordV1(
        HashAlgorithm[message["messageDigest"]["algorithm"]],
        base64.b64decode(message["messageDigest"]["digest"]),
        base64.b64decode(message["signature"]),
        parse_verifier(pem.encode(), what="the bundle's certificate"),
    )
    assert entry.encode_body() == body
    assert entry.verify().body == body
    assert entries_v1.parse_proposal(body).verify().body == body


@pytest.mark.parametrize("name", DSSE)
def test_a_dsse_of_the_envelope(vectors, name):
    """Which JSON the signer hashed is its own affair; the two writers here differ in the empty keyid."""
    bundle, body = load(vectors / name)
    found = bundle["dsseEnvelope"]
    (signature,) = found["signatures"]
    texts = [
        json.dumps(
            {"payload": found["payload"], "payloadType": found["payloadType"], "signatures": [one]}, separators=by
        )
        for one, by in product(({"sig": signature["sig"]}, {"sig": signature["sig"], "keyid": ""}), ((",", ":"),))
    ]
    wanted = json.loads(body)["spec"]["envelopeHash"]["value"]
    (text,) = [text for text in texts if hashlib.sha256(text.encode()).hexdigest() == wanted]
    spec = {"proposedContent": {"envelope": text, "verifiers": [b64(pem_of(bundle))]}}
    proposal = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}
    assert entries_v1.parse_proposal(json.dumps(proposal).encode()).verify().body == body


@pytest.mark.parametrize("name", INTOTO)
def test_an_intoto_of_the_envelope(vectors, name):
    """sigstore-js sends the PEM without its last newline, and the public log keeps it so.

    intoto-with-custom-trust-root of the conformance suite is of a log that keeps payloads in its bodies: no oracle for this.
    """
    bundle, body = load(vectors / name)
    found = bundle["dsseEnvelope"]
    sent = [
        {
            "sig": b64(one["sig"]),
            "publicKey": b64(pem_of(bundle).strip()),
            **({"keyid": one["keyid"]} if one.get("keyid") else {}),
        }
        for one in found["signatures"]
    ]
    content = {
        "envelope": {"payloadType": found["payloadType"], "payload": b64(found["payload"]), "signatures": sent},
        "hash": json.loads(body)["spec"]["content"]["hash"],
    }
    proposal = {"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": content}}
    assert entries_v1.parse_proposal(json.dumps(proposal).encode()).verify().body == body


SCHEMAS = {
    "hashedrekord": ("hashedrekord_v0_0_1_schema.json", {"signature", "data"}),
    "rekord": ("rekord_v0_0_1_schema.json", {"signature", "data"}),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_members_are_those_of_the_schema(vectors, kind):
    name, members = SCHEMAS[kind]
    (path,) = (vectors / "rekor-schemas" / kind).rglob(name)
    assert set(json.loads(path.read_bytes())["properties"]) == members
