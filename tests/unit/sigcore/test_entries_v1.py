# SPDX-License-Identifier: Apache-2.0
"""Entries of Rekor v1: what is taken, what it becomes, what it is found by, what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
import rfc8785
from cryptography import x509 as pyca
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import dsse as dsse_module
from sigcore import entries_v1, limits, statement
from sigcore.entries_v1_verifier import parse_verifier
from sigcore.errors import Malformed, Refused, SigError
from tests.unit.sigcore.ed25519ph_signer import sign_digest
from tests.unit.sigcore.v1_proposals import (
    IN_TOTO,
    KEY,
    KINDS,
    OTHER,
    STATEMENT,
    b64,
    changed,
    dsse,
    envelope,
    hashedrekord,
    intoto,
    nodes,
    pae,
    pem,
    rekord,
    sign,
)

P384, ED25519 = ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def take(proposal: dict):
    return entries_v1.parse_proposal(json.dumps(proposal).encode()).verify()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def certificate(*names: pyca.GeneralName, key=KEY) -> bytes:
    subject = pyca.Name([pyca.NameAttribute(pyca.NameOID.COMMON_NAME, "x")])
    builder = pyca.CertificateBuilder(subject, subject, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    if names:
        builder = builder.add_extension(pyca.SubjectAlternativeName(names), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signed_by(key, signature: str, message: bytes) -> bool:
    try:
        key.public_key().verify(base64.b64decode(signature), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


# --- bodies ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_canonical_json_of_its_kind(kind):
    body = take(KINDS[kind]()).body
    document = json.loads(body)
    assert rfc8785.dumps(document) == body
    assert document["kind"] == kind


def test_a_hashedrekord_is_logged_as_it_was_sent():
    proposal = hashedrekord()
    assert json.loads(take(proposal).body) == proposal


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\n\n " + text + b"\n",
        lambda text: text.strip(),
        lambda text: text.replace(b"\n", b"", 2).replace(b"KEY-----", b"KEY-----\n", 1),
    ],
    ids=["crlf", "space", "stripped", "long-lines"],
)
def test_every_spelling_of_a_pem_is_logged_in_one(mangle):
    document = json.loads(take(hashedrekord(verifier=mangle(pem(KEY)))).body)
    assert document["spec"]["signature"]["publicKey"]["content"] == b64(pem(KEY))


def test_a_rekord_keeps_the_hash_and_forgets_the_file():
    proposal = rekord()
    document = json.loads(take(proposal).body)
    assert document["spec"]["signature"] == proposal["spec"]["signature"]
    assert document["spec"]["data"] == {"hash": {"algorithm": "sha256", "value": sha(b"artifact")}}
    named = changed(proposal, "spec.data.hash", {"algorithm": "sha256", "value": sha(b"artifact")})
    assert take(named).body == take(proposal).body


def test_a_dsse_keeps_hashes_and_sorted_signatures():
    found = envelope(signers=(KEY, OTHER))
    found["signatures"].sort(key=lambda one: one["sig"], reverse=True)
    bodies = {take(dsse(found, verifiers=order)).body for order in ((KEY, OTHER), (OTHER, KEY))}
    document = json.loads(bodies.pop())
    assert not bodies
    signed = pae(IN_TOTO, STATEMENT)
    by_signature = {one["sig"]: OTHER if signed_by(OTHER, one["sig"], signed) else KEY for one in found["signatures"]}
    assert document["spec"] == {
        "envelopeHash": {"algorithm": "sha256", "value": sha(json.dumps(found).encode())},
        "payloadHash": {"algorithm": "sha256", "value": sha(STATEMENT)},
        "signatures": [{"signature": text, "verifier": b64(pem(by_signature[text]))} for text in sorted(by_signature)],
    }


def test_an_intoto_keeps_what_was_sent_but_the_payload():
    proposal = intoto(signers=(KEY, OTHER), keyid="k")
    sent = proposal["spec"]["content"]
    document = json.loads(take(proposal).body)["spec"]["content"]
    assert document["envelope"] == {"payloadType": IN_TOTO, "signatures": sent["envelope"]["signatures"]}
    assert document["hash"] == sent["hash"]
    assert document["payloadHash"] == {"algorithm": "sha256", "value": sha(STATEMENT)}
    assert take(changed(proposal, "spec.content.payloadHash", {"algorithm": "sha256", "value": "00"})).body == (
        take(proposal).body
    )


def test_an_empty_key_id_is_left_out():
    proposal = changed(intoto(), "spec.content.envelope.signatures.0.keyid", "")
    assert take(proposal).body == take(changed(proposal, "spec.content.envelope.signatures.0.keyid", KeyError)).body


def test_the_payload_of_an_intoto_is_kept_beside_the_log_while_it_is_small():
    assert take(intoto()).attestation == STATEMENT
    assert take(intoto(bytes(limits.ATTESTATION))).attestation == bytes(limits.ATTESTATION)
    assert take(intoto(bytes(limits.ATTESTATION + 1))).attestation == b""
    assert take(dsse()).attestation == b""


# --- keys ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(KEY, "sha256"), (P384, "sha384"), (ec.generate_private_key(ec.SECP521R1()), "sha512"), (RSA, "sha256")],
    ids=["p256", "p384", "p521", "rsa"],
)
def test_a_hashedrekord_goes_with_the_hash_of_its_key(key, algorithm):
    take(hashedrekord(key=key, algorithm=algorithm))
    for other in {"sha256", "sha384", "sha512"} - {algorithm}:
        with pytest.raises(Refused, match=f"signs {algorithm}"):
            take(hashedrekord(key=key, algorithm=other))


def test_ed25519_signs_envelopes_and_files_and_digests_in_its_prehashed_form():
    take(rekord(key=ED25519))
    take(dsse(envelope(signers=(ED25519,)), (ED25519,)))
    digest = hashlib.sha512(b"artifact").digest()
    for signature, good in ((sign_digest(ED25519.private_bytes_raw(), digest), True), (ED25519.sign(digest), False)):
        proposal = changed(hashedrekord(algorithm="sha512"), "spec.signature.publicKey.content", b64(pem(ED25519)))
        proposal = changed(proposal, "spec.signature.content", b64(signature))
        if good:
            take(proposal)
        else:
            with pytest.raises(Refused, match="does not verify"):
                take(proposal)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384()], ids=["sha256", "sha384"])
def test_p384_may_sign_envelopes_with_either_hash(algorithm):
    found = envelope()
    found["signatures"][0]["sig"] = b64(sign(P384, pae(IN_TOTO, STATEMENT), algorithm))
    take(dsse(found, (P384,)))


def test_weak_keys_are_refused():
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the point of the test
    with pytest.raises(Refused, match="1024 bits"):
        take(hashedrekord(key=weak))


# --- index keys --------------------------------------------------------------------------------------------
def test_what_a_hashedrekord_is_found_by():
    names = (pyca.RFC822Name("Alice@Example.com"), pyca.UniformResourceIdentifier("https://a/b@c"))
    cert = certificate(*names)
    assert take(hashedrekord(verifier=cert)).index_keys == (
        sha(cert),
        "Alice@Example.com",
        "https://a/b@c",
        f"sha256:{sha(b'artifact')}",
    )
    assert take(hashedrekord()).index_keys == (sha(pem(KEY)), f"sha256:{sha(b'artifact')}")
    assert take(rekord()).index_keys == (sha(pem(KEY)), f"sha256:{sha(b'artifact')}")


def test_what_an_attestation_is_found_by():
    found = envelope()
    digests = ("sha256:" + "AA" * 32, "sha1:" + "bb" * 20, "sha1:" + "cc" * 20)
    key, payload = f"sha256:{sha(pem(KEY))}", f"sha256:{sha(STATEMENT)}"
    assert take(dsse(found)).index_keys == (key, payload, f"sha256:{sha(json.dumps(found).encode())}", *digests)
    # The hash of an intoto envelope is what its sender says: nobody can be led to the entry by it.
    assert take(intoto()).index_keys == (key, payload, *digests)


def test_the_lengths_of_what_is_signed_are_in_bytes():
    kind, payload = "text/\u65e5\u672c", "\u8a9e".encode()
    assert (
        dsse_module.pre_authentication_encoding(kind, payload)
        == b"DSSEv1 11 text/\xe6\x97\xa5\xe6\x9c\xac 3 \xe8\xaa\x9e"
    )


def test_only_statements_have_subjects():
    found = take(dsse(envelope(kind="text/plain")))
    assert len(found.index_keys) == 3


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff", b"[]", b"1e999", b'{"subject":{}}', b'{"subject":[1,{"digest":[]},{"digest":{"a":1}}]}',
        b'{"predicate":[]}', b'{"predicate":{"materials":1}}', b"[" * 10_000,
        json.dumps({"subject": [{"digest": {"a": "b" * limits.INDEX_KEY}}]}).encode(),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_statement_has_no_digests(payload):
    assert statement.statement_digests(payload) == ()


def test_the_digests_of_a_statement_are_bounded():
    many = {"subject": [{"digest": {f"a{n}": "00"}} for n in range(limits.STATEMENT_DIGESTS + 5)]}
    digests = statement.statement_digests(json.dumps(many).encode())
    assert len(digests) == limits.STATEMENT_DIGESTS
    assert digests[0] == "a0:00"


def test_all_names_of_a_certificate():
    other = b"\x0c\x06a!b.co"
    cert = certificate(
        pyca.DNSName("h.example"),
        pyca.RFC822Name("a@b.c"),
        pyca.IPAddress(ip_address("10.0.0.1")),
        pyca.IPAddress(ip_address("::1")),
        pyca.OtherName(pyca.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), other),
        pyca.OtherName(pyca.ObjectIdentifier("1.2.3"), other),
        pyca.RegisteredID(pyca.ObjectIdentifier("1.2.3")),
    )
    assert parse_verifier(cert, what="x").subjects == ("h.example", "a@b.c", "10.0.0.1", "::1", "a!b.co")
    assert parse_verifier(certificate(), what="x").subjects == ()


# --- refusals ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_l18_every_node_null_gone_or_of_another_type_is_refused_or_harmless(kind):
    """L18: a proposal is refused as a whole when it is parsed; what passes is the entry that it would have been."""
    proposal, optional = KINDS[kind](), 0
    good = take(proposal).body
    for path in nodes(proposal):
        for value in (None, KeyError, 7, "", [], {}, "\u00e9", [None], True):
            try:
                entry = take(changed(proposal, path, value))
            except SigError:
                continue
            optional += 1
            assert entry.body == good or kind in {"dsse", "intoto"}, (path, value)
    assert optional < 60


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_signed_it(kind):
    text = json.dumps(KINDS[kind]())
    for spelling in (pem(KEY), pem(KEY).strip()):
        text = text.replace(b64(spelling), b64(pem(OTHER)))
    with pytest.raises(Refused):
        entries_v1.parse_proposal(text.encode()).verify()


def test_other_content_was_signed():
    with pytest.raises(Refused, match="does not verify"):
        take(changed(hashedrekord(), "spec.data.hash.value", "00" * 32))
    with pytest.raises(Refused, match="does not verify"):
        take(changed(rekord(), "spec.data.content", b64("other")))
    with pytest.raises(Refused, match="does not verify"):
        take(dsse({**envelope(), "payload": b64("other")}))
    with pytest.raises(Refused, match="does not verify"):
        take(changed(intoto(), "spec.content.envelope.payloadType", "text/plain"))


def test_every_signature_of_an_envelope_needs_a_verifier():
    both = envelope(signers=(KEY, OTHER))
    with pytest.raises(Refused, match="none of the verifiers"):
        take(dsse(both, (KEY,)))
    lacking = changed(intoto(signers=(KEY, OTHER)), "spec.content.envelope.signatures.1.publicKey", b64(pem(KEY)))
    with pytest.raises(Refused, match="none of the public keys"):
        take(lacking)


def test_every_verifier_that_is_needed_must_verify_something():
    with pytest.raises(Refused, match="verifier 1"):
        take(dsse(verifiers=(OTHER, KEY)))
    # As in the original: once each signature has its verifier, the others are not looked at.
    assert take(dsse(verifiers=(KEY, OTHER)))


BAD = [
    (b"", "not JSON"),
    (b"[]", "an array, expected an object"),
    (b"{}", "kind is missing"),
    (b'{"kind":"hashedrekord","kind":"rekord"}', "duplicate"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested"),
    (b"\xff", "UTF-8"),
    (json.dumps({**hashedrekord(), "extra": 1}).encode(), "unknown member 'extra'"),
    (json.dumps({**hashedrekord(), "kind": "jar"}).encode(), "of kind 'jar' '0.0.1'"),
    (json.dumps({**hashedrekord(), "apiVersion": "0.0.2"}).encode(), "known: hashedrekord 0.0.1, dsse 0.0.1"),
    (json.dumps({**intoto(), "apiVersion": "0.0.1"}).encode(), "of kind 'intoto' '0.0.1'"),
    (json.dumps(changed(hashedrekord(), "spec.data.url", "http://x")).encode(), "unknown member 'url'"),
    (json.dumps(changed(hashedrekord(), "spec.data.hash.value", "AB" * 32)).encode(), "lower-case"),
    (json.dumps(changed(hashedrekord(), "spec.data.hash.algorithm", "md5")).encode(), "'md5', expected one of sha256"),
    (json.dumps(changed(hashedrekord(), "spec.signature.content", "AA")).encode(), "base64"),
    (json.dumps(changed(hashedrekord(), "spec.signature.content", "")).encode(), "content is empty"),
    (json.dumps(hashedrekord(verifier=b"ssh-ed25519 AAAA")).encode(), "expected -----BEGIN CERTIFICATE-----"),
    (json.dumps(hashedrekord(verifier=pem(KEY) + pem(KEY))).encode(), "2 PEM blocks"),
    (json.dumps(hashedrekord(verifier=certificate() * 2)).encode(), "is no CA"),
    (json.dumps(hashedrekord(verifier=certificate() * 9)).encode(), "more than 8 certificates"),
    (json.dumps(hashedrekord(verifier=certificate() + pem(KEY))).encode(), "expected -----BEGIN CERTIFICATE-----"),
    (json.dumps(changed(rekord(), "spec.signature.format", "pgp")).encode(), "'pgp', this log takes x509"),
    (json.dumps(changed(rekord(), "spec.data.hash", {"algorithm": "sha256", "value": "00" * 32})).encode(), "not the SHA"),
    (json.dumps(dsse({**envelope(), "signatures": []})).encode(), "no signature"),
    (json.dumps(dsse(verifiers=())).encode(), "verifiers is missing or empty"),
    (json.dumps(dsse(envelope(signers=(KEY,) * 17))).encode(), "17 elements, the limit is 16"),
    (json.dumps(dsse(verifiers=(KEY,) * 17)).encode(), "17 elements, the limit is 16"),
    (json.dumps(changed(dsse(), "spec.proposedContent.envelope", "no")).encode(), "envelope is not JSON"),
    (json.dumps(changed(dsse(), "spec.envelopeHash", {})).encode(), "unknown member 'envelopeHash'"),
    (json.dumps(changed(intoto(), "spec.content.envelope.payload", b64(STATEMENT))).encode(), "inner base64"),
    (json.dumps(changed(intoto(), "spec.content.hash", None)).encode(), "hash is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BAD, ids=range(len(BAD)))
def test_distinct_defects_have_distinct_messages(data, message):
    with pytest.raises((Malformed, Refused), match=message.replace("(", r"\(")):
        entries_v1.parse_proposal(data).verify()


def test_unknown_members_of_an_envelope_are_ignored_as_its_specification_says():
    take(dsse({**envelope(), "later": 1}))
    found = envelope()
    found["signatures"][0]["keyid"] = None
    take(dsse(found))


# --- looking for entries -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_sought_by_its_proposal_and_by_what_was_logged(kind):
    proposal = KINDS[kind]()
    body = take(proposal).body
    assert entries_v1.sought_body(proposal) == body
    assert entries_v1.sought_body(json.loads(body)) == body


def test_kinds_that_were_never_logged_are_not_found_and_others_are_refused():
    assert entries_v1.sought_body({"apiVersion": "0.0.1", "kind": "intoto", "spec": {}}) is None
    for bad in (None, [], {}, {"apiVersion": "0.0.1", "kind": "jar", "spec": {}}, {**hashedrekord(), "spec": {}}):
        with pytest.raises(Malformed):
            entries_v1.sought_body(bad)


def test_a_logged_form_cannot_be_proposed():
    for kind in ("dsse", "intoto", "rekord"):
        body = take(KINDS[kind]()).body
        with pytest.raises(Malformed):
            entries_v1.parse_proposal(body)


# --- chains --------------------------------------------------------------------------------------------------
def link(name: str, issuer: str, key, signer, *, ca: bool = True, year: int = 2020) -> bytes:
    """One certificate of a chain, in PEM, valid for ten years."""
    name_, issuer_ = (pyca.Name([pyca.NameAttribute(pyca.NameOID.COMMON_NAME, text)]) for text in (name, issuer))
    start = datetime(year, 1, 1, tzinfo=UTC)
    usage = pyca.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    built = (
        pyca.CertificateBuilder(issuer_, name_, key.public_key(), 42, start, start + timedelta(days=3650))
        .add_extension(pyca.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(pyca.SubjectAlternativeName([pyca.RFC822Name(f"{name}@example.com")]), critical=False)
    )
    return built.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


ROOT_KEY, MIDDLE_KEY = (ec.derive_private_key(number, ec.SECP256R1()) for number in (11, 12))
LEAF = link("leaf", "middle", KEY, MIDDLE_KEY, ca=False)
MIDDLE = link("middle", "root", MIDDLE_KEY, ROOT_KEY)
ROOT = link("root", "root", ROOT_KEY, ROOT_KEY)


@pytest.mark.parametrize("chain", [LEAF + MIDDLE, LEAF + MIDDLE + ROOT, LEAF + b"\n\n" + MIDDLE + b"\n"])
def test_a_chain_is_kept_whole_and_its_first_certificate_verifies(chain):
    logged = entries_v1.parse_proposal(json.dumps(hashedrekord(verifier=chain)).encode()).verify()
    kept = base64.b64decode(json.loads(logged.body)["spec"]["signature"]["publicKey"]["content"])
    assert kept == b"".join(line + b"\n" for line in chain.split(b"\n") if line)
    assert hashlib.sha256(kept).hexdigest() in logged.index_keys
    assert "leaf@example.com" in logged.index_keys
    assert not {"middle@example.com", "root@example.com"} & set(logged.index_keys)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (LEAF + ROOT, "names another issuer"),
        (LEAF + ROOT + MIDDLE, "names another issuer"),
        (LEAF + link("middle", "root", ROOT_KEY, ROOT_KEY), "does not verify"),
        (LEAF + link("middle", "root", MIDDLE_KEY, ROOT_KEY, ca=False), "no CA"),
        (LEAF + link("middle", "root", MIDDLE_KEY, ROOT_KEY, year=2021), "was not valid when"),
        (MIDDLE + LEAF, "names another issuer"),
        (MIDDLE + ROOT, "the entry's signature does not verify"),
    ],
)
def test_certificates_that_are_no_chain_are_refused(chain, message):
    with pytest.raises(Refused, match=message):
        entries_v1.parse_proposal(json.dumps(hashedrekord(verifier=chain)).encode()).verify()
