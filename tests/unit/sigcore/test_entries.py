# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as pyca
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from sigcore import canonical, entries, keys, limits
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.entries import HashedRekord, Verifier
from sigcore.errors import Malformed, Refused, SigError

P256 = ec.derive_private_key(7, ec.SECP256R1())
SPKI = keys.encode_public_key(P256.public_key())
ARTIFACT = b"artifact"
DIGEST = hashlib.sha256(ARTIFACT).digest()


def certificate(key) -> bytes:
    """Self-signed and long expired: the log takes the key out of it and nothing else."""
    name = pyca.Name([pyca.NameAttribute(pyca.NameOID.COMMON_NAME, "someone")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = pyca.CertificateBuilder(name, name, key.public_key(), 42, start, start + timedelta(minutes=10))
    usage = pyca.BasicConstraints(ca=False, path_length=None)
    signed = builder.add_extension(usage, critical=True).sign(P256, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


CERTIFICATE = certificate(P256)
ENTRY = HashedRekord(DIGEST, keys.sign(P256, ARTIFACT), entries.certificate_verifier(CERTIFICATE))
KEY_ENTRY = replace(ENTRY, verifier=entries.key_verifier(SPKI))

entry_values = st.builds(
    HashedRekord,
    digest=st.binary(max_size=64),
    signature=st.binary(max_size=600),
    verifier=st.builds(Verifier, st.sampled_from(KeyDetails), certificate=st.binary(max_size=2000))
    | st.builds(Verifier, st.sampled_from(KeyDetails), public_key=st.binary(max_size=600)),
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body_value(entry: HashedRekord) -> dict:
    """The body as wire clients describe it, for the general encoder."""
    verifier = entry.verifier
    member = "publicKey" if verifier.certificate is None else "x509Certificate"
    return {
        "kind": "hashedrekord",
        "apiVersion": "0.0.2",
        "spec": {
            "hashedRekordV002": {
                "signature": {
                    "verifier": {
                        member: {"rawBytes": b64(verifier.certificate or verifier.public_key or b"")},
                        "keyDetails": verifier.details.name,
                    },
                    "content": b64(entry.signature),
                },
                "data": {"digest": b64(entry.digest), "algorithm": verifier.details.hash.name},
            }
        },
    }


def request_value(entry: HashedRekord) -> dict:
    record = body_value(entry)["spec"]["hashedRekordV002"]
    return {"hashedRekordRequestV002": {"digest": record["data"]["digest"], "signature": record["signature"]}}


# --- bodies -------------------------------------------------------------------------------------------------
@given(entry_values)
def test_the_body_is_what_the_general_encoder_writes(entry):
    assert entries.encode_body(entry) == canonical.encode(body_value(entry))


@given(entry_values)
def test_bodies_round_trip(entry):
    assert entries.parse_body(entries.encode_body(entry)) == entry


@pytest.mark.parametrize("entry", [ENTRY, KEY_ENTRY])
def test_any_other_spelling_of_a_body_is_malformed(entry):
    body = entries.encode_body(entry)
    value = body_value(entry)
    assert json.loads(body) == value
    for other in (
        json.dumps(value),
        json.dumps(value, separators=(",", ":")),
        body.decode() + "\n",
        " " + body.decode(),
    ):
        with pytest.raises(Malformed, match="not in canonical form"):
            entries.parse_body(other.encode())


def changed(value, path, new):
    copy = json.loads(json.dumps(value))
    *parents, last = path.split(".")
    holder = copy
    for name in parents:
        holder = holder[name]
    if new is None:
        del holder[last]
    else:
        holder[last] = new
    return canonical.encode(copy)


RECORD = "spec.hashedRekordV002"


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("kind", "dsse", r"kind 'dsse' '0.0.2' \(known: hashedrekord 0.0.2\)"),
        ("apiVersion", "0.0.1", "kind 'hashedrekord' '0.0.1'"),
        ("apiVersion", 2, "apiVersion is a number"),
        ("extra", 1, "unknown member 'extra'"),
        ("spec", None, "spec is missing"),
        ("spec.more", {}, "unknown member 'more'"),
        (f"{RECORD}.more", {}, "unknown member 'more'"),
        (f"{RECORD}.data.algorithm", "SHA2_512", "'SHA2_512', the key details go with SHA2_256"),
        (f"{RECORD}.data.more", 1, "unknown member 'more'"),
        (f"{RECORD}.data.digest", "AB==", "not canonical base64"),
        (f"{RECORD}.data.digest", b64(bytes(70)), "96 characters long"),
        (f"{RECORD}.signature.more", 1, "unknown member 'more'"),
        (f"{RECORD}.signature.content", None, "content is missing"),
        (f"{RECORD}.signature.content", b64(bytes(limits.SIGNATURE + 10)), "characters long"),
        (f"{RECORD}.signature.verifier.more", 1, "unknown member 'more'"),
        (f"{RECORD}.signature.verifier.keyDetails", "PKIX_MADE_UP", "'PKIX_MADE_UP', expected one of"),
        (f"{RECORD}.signature.verifier.publicKey", {"rawBytes": ""}, "expected exactly one"),
        (f"{RECORD}.signature.verifier.x509Certificate", None, "none of publicKey, x509Certificate"),
        (f"{RECORD}.signature.verifier.x509Certificate.more", 1, "unknown member 'more'"),
    ],
)
def test_malformed_bodies(path, new, message):
    with pytest.raises(Malformed, match=message):
        entries.parse_body(changed(body_value(ENTRY), path, new))


def test_the_largest_entry_fits_into_an_entry_bundle():
    verifier = Verifier(KeyDetails.PKIX_RSA_PKCS1V15_4096_SHA256, certificate=bytes(limits.CERTIFICATE))
    entry = HashedRekord(bytes(64), bytes(limits.SIGNATURE), verifier)
    assert len(entries.encode_body(entry)) <= limits.ENTRY


def test_a_verifier_is_one_of_two():
    for both in ({}, {"certificate": b"", "public_key": b""}):
        with pytest.raises(Malformed, match="either a certificate or a public key"):
            Verifier(KeyDetails.PKIX_ED25519, **both)


# --- requests -------------------------------------------------------------------------------------------------
@given(entry_values)
def test_requests_round_trip(entry):
    data = entries.encode_request_v2(entry)
    assert json.loads(data) == request_value(entry)
    assert entries.parse_request_v2(data) == entry


def test_snake_case_requests_are_read():
    verifier = {"x509_certificate": {"raw_bytes": b64(CERTIFICATE)}, "key_details": "PKIX_ECDSA_P256_SHA_256"}
    signature = {"content": b64(ENTRY.signature), "verifier": verifier}
    request = {"hashed_rekord_request_v002": {"digest": b64(DIGEST), "signature": signature}}
    assert entries.parse_request_v2(json.dumps(request, indent=2).encode()) == ENTRY


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("dsseRequestV002", {}, "unknown member 'dsseRequestV002'"),
        ("hashedRekordRequestV002", None, "hashedRekordRequestV002 is missing"),
        ("hashedRekordRequestV002.digest", None, "digest is missing"),
        ("hashedRekordRequestV002.data", {}, "unknown member 'data'"),
        ("hashedRekordRequestV002.signature", "x", "signature is a string, expected an object"),
        ("hashedRekordRequestV002.signature.verifier.publicKey", {"rawBytes": ""}, "expected exactly one"),
    ],
)
def test_malformed_requests(path, new, message):
    with pytest.raises(Malformed, match=message):
        entries.parse_request_v2(changed(request_value(ENTRY), path, new))


@given(st.binary() | st.text().map(str.encode))
def test_the_parsers_raise_nothing_but_their_own_errors(data):
    for parse in (entries.parse_body, entries.parse_request_v2):
        with pytest.raises(SigError):
            parse(data)


def slow(data: bytes) -> HashedRekord:
    """The general way, which the fast one must agree with."""
    return entries.parse_hashedrekord_request(entries.parse_request_object(data))


def outcome(parse, data: bytes):
    try:
        return parse(data)
    except SigError as error:
        return type(error), str(error)


NEAR = st.sampled_from(
    [
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"=",
        b"A",
        b"null",
        b"1",
        b"\n",
        b"\xff",
        b'"digest":"AA=="',
    ]
)


@given(entry_values, st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3), NEAR), max_size=3), st.booleans())
def test_the_fast_way_reads_what_the_general_way_reads(entry, edits, spaced):
    data = json.dumps(request_value(entry), indent=1 if spaced else None).encode()
    for at, cut, put in edits:
        place = at % (len(data) + 1)
        data = data[:place] + put + data[place + cut :]
    fast = entries.parse_plain_request(data)
    expected = outcome(slow, data)
    assert fast in (None, expected)
    assert outcome(entries.parse_request_v2, data) == expected


@given(entry_values)
def test_the_usual_form_takes_the_fast_way(entry):
    value = request_value(entry)["hashedRekordRequestV002"]
    shuffled = {"signature": dict(reversed(value["signature"].items())), "digest": value["digest"]}
    for form in (
        entries.encode_request_v2(entry),
        json.dumps({"hashedRekordRequestV002": shuffled}, indent=2).encode(),
    ):
        assert entries.parse_plain_request(form) == entry


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"digest":', b'"digest":"","digest":'),
        (b'"digest":', b'"more":[1,2,{}],"digest":'),
        (b'{"digest"', b'{"digest":null,"digest"'),
        (b'"content":', b'"content":["'),
        (b'"rawBytes":', b'"raw\\u0042ytes":'),
        (b'"publicKey"', b'"x509Certificate"'),
        (b"PKIX_ECDSA", b"PKIX_MADE_UP"),
        (b"{", b'{"":"",'),
        (b"}", b',"a":{}}'),
        (b"==", b"="),
    ],
)
def test_l18_what_only_resembles_a_request_is_left_to_the_general_way(old, new):
    data = entries.encode_request_v2(KEY_ENTRY).replace(old, new, 1)
    assert entries.parse_plain_request(data) in (None, outcome(slow, data))
    assert outcome(entries.parse_request_v2, data) == outcome(slow, data)


def test_the_kind_stands_in_a_body():
    assert entries.kind_of(entries.encode_body(ENTRY)) == "hashedrekord"
    for other in (b"", b'{"apiVersion":"0.0.1","kind":"hashedrekord",', b' {"apiVersion":"0.0.2","kind":"dsse",'):
        with pytest.raises(Malformed, match="not a canonical body"):
            entries.kind_of(other)


# --- verification -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("entry", [ENTRY, KEY_ENTRY])
def test_a_good_entry_verifies(entry):
    entries.verify_entry(entry)
    assert keys.encode_public_key(entries.verification_key(entry.verifier)) == SPKI


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_other_curves_go_with_their_hash(curve):
    key = ec.derive_private_key(7, curve)
    for verifier in (
        entries.key_verifier(keys.encode_public_key(key.public_key())),
        entries.certificate_verifier(certificate(key)),
    ):
        entry = HashedRekord(verifier.details.hash.digest(ARTIFACT), keys.sign(key, ARTIFACT), verifier)
        entries.verify_entry(entry)
        with pytest.raises(Refused, match=f"digest has 32 bytes, {verifier.details.hash.name} has"):
            entries.verify_entry(replace(entry, digest=DIGEST))


def test_rsa_is_pkcs1_v15_and_not_pss():
    key = rsa.generate_private_key(65537, 2048)
    verifier = entries.key_verifier(keys.encode_public_key(key.public_key()))
    assert verifier.details is KeyDetails.PKIX_RSA_PKCS1V15_2048_SHA256
    hashed = utils.Prehashed(hashes.SHA256())
    entries.verify_entry(HashedRekord(DIGEST, key.sign(DIGEST, padding.PKCS1v15(), hashed), verifier))
    pss = key.sign(DIGEST, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH), hashed)
    with pytest.raises(Refused, match="is RSA-PSS, expected RSA with PKCS#1"):
        entries.verify_entry(HashedRekord(DIGEST, pss, verifier))
    with pytest.raises(Refused, match="PKIX_RSA_PSS_2048_SHA256 are not allowed in this log"):
        entries.verify_entry(HashedRekord(DIGEST, pss, replace(verifier, details=KeyDetails.PKIX_RSA_PSS_2048_SHA256)))


def test_ed25519_is_prehashed_and_a_plain_signature_is_refused():
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    verifier = entries.key_verifier(keys.encode_public_key(key.public_key()))
    assert verifier.details is KeyDetails.PKIX_ED25519_PH
    entry = HashedRekord(HashAlgorithm.SHA2_512.digest(ARTIFACT), key.sign(ARTIFACT), verifier)
    with pytest.raises(Refused, match="the entry's signature does not verify"):
        entries.verify_entry(entry)
    with pytest.raises(Refused, match="PKIX_ED25519 are not allowed in this log"):
        entries.verify_entry(replace(entry, verifier=replace(verifier, details=KeyDetails.PKIX_ED25519)))


def flipped(data, position=0):
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


def test_every_changed_part_is_refused():
    for entry in (
        replace(ENTRY, digest=flipped(DIGEST)),
        replace(ENTRY, signature=flipped(ENTRY.signature, 20)),
        replace(ENTRY, signature=b""),
        replace(ENTRY, verifier=entries.certificate_verifier(certificate(ec.derive_private_key(8, ec.SECP256R1())))),
    ):
        with pytest.raises(Refused, match="the entry's signature does not verify"):
            entries.verify_entry(entry)
    with pytest.raises(Refused, match="the digest has 31 bytes"):
        entries.verify_entry(replace(ENTRY, digest=DIGEST[1:]))
    wrong = replace(ENTRY.verifier, details=KeyDetails.PKIX_ECDSA_P384_SHA_384)
    with pytest.raises(Refused, match="do not fit the key"):
        entries.verify_entry(replace(ENTRY, verifier=wrong))
    for verifier in (
        replace(ENTRY.verifier, certificate=CERTIFICATE + b"\x00"),
        replace(ENTRY.verifier, certificate=b""),
        replace(KEY_ENTRY.verifier, public_key=CERTIFICATE),
    ):
        with pytest.raises(Malformed, match="the verifier's"):
            entries.verify_entry(replace(ENTRY, verifier=verifier))


def test_weak_keys_are_refused():
    key = rsa.generate_private_key(3, 2048)
    verifier = Verifier(KeyDetails.PKIX_RSA_PKCS1V15_2048_SHA256, public_key=keys.encode_public_key(key.public_key()))
    signature = key.sign(ARTIFACT, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(Refused, match="unusual exponent"):
        entries.verify_entry(HashedRekord(DIGEST, signature, verifier))
