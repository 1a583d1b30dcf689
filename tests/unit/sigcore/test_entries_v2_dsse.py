# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from sigcore import canonical, entries, keys, limits
from sigcore.entries_v2_dsse import DsseRequest, dsse_body, hashedrekord_body, parse_request
from sigcore.errors import Malformed, Refused, SigError
from tests.unit.sigcore.v1_proposals import IN_TOTO, STATEMENT, pae

P256 = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ec.derive_private_key(8, ec.SECP256R1())
P384 = ec.derive_private_key(7, ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def verifier(key) -> dict:
    found = entries.key_verifier(keys.encode_public_key(key.public_key()))
    return {"publicKey": {"rawBytes": b64(found.public_key or b"")}, "keyDetails": found.details.name}


def request(*signers, verifiers=None, payload: bytes = STATEMENT, kind: str = IN_TOTO) -> dict:
    signatures = [{"sig": b64(keys.sign(key, pae(kind, payload))), "keyid": "any"} for key in signers]
    envelope = {"payload": b64(payload), "payloadType": kind, "signatures": signatures}
    named = [verifier(key) for key in (signers if verifiers is None else verifiers)]
    return {"dsseRequestV002": {"envelope": envelope, "verifiers": named}}


def parsed(value: dict) -> DsseRequest:
    found = parse_request(json.dumps(value).encode())
    assert isinstance(found, DsseRequest)
    return found


@pytest.mark.parametrize("key", [P256, P384, RSA], ids=["p256", "p384", "rsa"])
def test_an_envelope_is_a_hashedrekord_over_its_pae(key):
    sent = request(key)
    body = json.loads(hashedrekord_body(parsed(sent)))
    details = verifier(key)["keyDetails"]
    algorithm, hashed = ("SHA2_384", "sha384") if key is P384 else ("SHA2_256", "sha256")
    record = body["spec"]["hashedRekordV002"]
    assert (body["kind"], body["apiVersion"]) == ("hashedrekord", "0.0.2")
    assert record["data"] == {
        "algorithm": algorithm,
        "digest": b64(hashlib.new(hashed, pae(IN_TOTO, STATEMENT)).digest()),
    }
    assert record["signature"] == {
        "content": sent["dsseRequestV002"]["envelope"]["signatures"][0]["sig"],
        "verifier": verifier(key),
    }
    assert record["signature"]["verifier"]["keyDetails"] == details
    entries.verify_entry(entries.parse_body(hashedrekord_body(parsed(sent))))


def test_an_envelope_of_kind_dsse_keeps_hash_and_signatures():
    sent = request(P256, P384)
    signatures = [
        {"content": one["sig"], "verifier": verifier(key)}
        for one, key in zip(sent["dsseRequestV002"]["envelope"]["signatures"], (P256, P384), strict=True)
    ]
    logged = {
        "payloadHash": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(STATEMENT).digest())},
        "signatures": signatures,
    }
    expected = canonical.encode({"apiVersion": "0.0.2", "kind": "dsse", "spec": {"dsseV002": logged}})
    body = dsse_body(parsed(sent))
    assert body == expected
    assert entries.kind_of(body) == "dsse"


def test_the_hashedrekord_of_an_envelope_is_that_of_the_public_log(vectors: Path):
    """The bundle says what was signed, its entry says what the public log wrote."""
    folder = vectors / "sigstore-conformance/bundle-verify/rekor2-dsse-happy-path"
    bundle = json.loads((folder / "bundle.sigstore.json").read_text())
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    public = base64.b64decode(entry["canonicalizedBody"])
    certificate = bundle["verificationMaterial"]["certificate"]
    named = {"x509Certificate": certificate, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    sent = {"dsseRequestV002": {"envelope": bundle["dsseEnvelope"], "verifiers": [named]}}
    assert hashedrekord_body(parsed(sent)) == public


def test_snake_case_is_read():
    sent = request(P256)
    text = json.dumps(sent)
    for camel, snake in (
        ("dsseRequestV002", "dsse_request_v002"),
        ("payloadType", "payload_type"),
        ("publicKey", "public_key"),
        ("rawBytes", "raw_bytes"),
        ("keyDetails", "key_details"),
    ):
        text = text.replace(camel, snake)
    assert parse_request(text.encode()) == parsed(sent)


def test_a_hashedrekord_request_is_one_in_either_way():
    for key in (P256, RSA):
        found = entries.key_verifier(keys.encode_public_key(key.public_key()))
        entry = entries.HashedRekord(found.details.hash.digest(b"x"), keys.sign(key, b"x"), found)
        data = entries.encode_request_v2(entry)
        assert parse_request(data) == entry == parse_request(data.replace(b"{", b"{\n"))
        assert parse_request(data.replace(b"keyDetails", b"key_details")) == entry


def test_every_signature_has_a_verifier_and_every_verifier_a_signature():
    assert len(parsed(request(P256, P384)).verify()) == 2
    with pytest.raises(Refused, match="a signature of the envelope is verified by none"):
        parsed(request(P256, P384, verifiers=[P256])).verify()
    with pytest.raises(Refused, match="verifier 2: the entry's signature does not verify"):
        parsed(request(P256, verifiers=[P256, OTHER])).verify()
    with pytest.raises(Refused, match="verifier 1: the entry's signature does not verify"):
        parsed(request(P256, verifiers=[OTHER])).verify()


def test_the_payload_and_its_type_are_signed():
    for change in ({"payload": b64(b"other")}, {"payloadType": "text/plain"}):
        sent = request(P256)
        sent["dsseRequestV002"]["envelope"] |= change
        for body in (hashedrekord_body, dsse_body):
            with pytest.raises(Refused, match="does not verify"):
                body(parsed(sent))


def test_a_hashedrekord_holds_one_signature():
    with pytest.raises(Refused, match="has 2 signatures, this log takes one"):
        hashedrekord_body(parsed(request(P256, P384)))
    twice = request(P256)
    twice["dsseRequestV002"]["envelope"]["signatures"] *= 2
    assert hashedrekord_body(parsed(twice))  # the same one, written twice


def test_details_that_the_log_does_not_allow():
    sent = request(P256)
    sent["dsseRequestV002"]["verifiers"][0]["keyDetails"] = "PKIX_ED25519"
    with pytest.raises(Refused, match="not allowed in this log"):
        dsse_body(parsed(sent))


def without(value: dict, path: str, put: object) -> bytes:
    copy = json.loads(json.dumps(value))
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if put is KeyError:
        del place[int(last) if isinstance(place, list) else last]
    else:
        place[int(last) if isinstance(place, list) else last] = put
    return json.dumps(copy).encode()


ROOT = "dsseRequestV002"


@pytest.mark.parametrize(
    ("path", "put", "message"),
    [
        (ROOT, {}, "envelope is missing"),
        (ROOT, None, "none of hashedRekordRequestV002, dsseRequestV002"),
        ("hashedRekordRequestV002", {}, "hashedRekordRequestV002 and dsseRequestV002"),
        ("extra", 1, "unknown member 'extra'"),
        (f"{ROOT}.envelope", None, "envelope is missing"),
        (f"{ROOT}.envelope", [], "envelope is an array"),
        (f"{ROOT}.envelope.more", 1, "unknown member 'more'"),
        (f"{ROOT}.envelope.signatures", [], "no signatures in its envelope"),
        (f"{ROOT}.envelope.signatures", KeyError, "no signatures in its envelope"),
        (f"{ROOT}.envelope.signatures", [None], "signatures.0. is null"),
        (f"{ROOT}.envelope.signatures", [{"sig": "AA=="}] * (limits.ENVELOPE_SIGNATURES + 1), "elements, the limit"),
        (f"{ROOT}.envelope.signatures.0.sig", KeyError, "sig is missing"),
        (f"{ROOT}.envelope.signatures.0.sig", None, "sig is missing"),
        (f"{ROOT}.envelope.signatures.0.sig", "!", "not base64"),
        (f"{ROOT}.envelope.signatures.0.more", 1, "unknown member 'more'"),
        (f"{ROOT}.envelope.payload", 5, "payload is a number"),
        (f"{ROOT}.verifiers", [], "has no verifiers"),
        (f"{ROOT}.verifiers", {}, "verifiers is an object"),
        (f"{ROOT}.verifiers.0", None, "verifiers.0. is null"),
        (f"{ROOT}.verifiers.0", {}, "keyDetails is missing"),
        (f"{ROOT}.verifiers.0.publicKey", None, "none of publicKey, x509Certificate"),
    ],
)
def test_l18_malformed_requests(path, put, message):
    with pytest.raises(Malformed, match=message):
        parse_request(without(request(P256), path, put))


@given(st.binary() | st.text().map(str.encode))
def test_the_parser_raises_nothing_but_its_own_errors(data):
    with pytest.raises(SigError):
        parse_request(data)


def test_ecdsa_of_another_hash_does_not_verify():
    """The details name the hash; Rekor v1 would take SHA-256 with any curve."""
    sent = request(P384)
    signature = P384.sign(pae(IN_TOTO, STATEMENT), ec.ECDSA(hashes.SHA256()))
    sent["dsseRequestV002"]["envelope"]["signatures"][0]["sig"] = b64(signature)
    with pytest.raises(Refused, match="does not verify"):
        hashedrekord_body(parsed(sent))
