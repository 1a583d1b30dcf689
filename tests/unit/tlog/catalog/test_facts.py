# SPDX-License-Identifier: Apache-2.0
"""What entries say: every kind that the logs take, certificates that make no sense, entries of the public instance."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization

from sigcore import entries, entries_v1, keys, sct
from sigcore.entries import HashedRekord, Verifier
from sigcore.errors import Malformed
from tests.unit.sigcore import v1_proposals
from tests.unit.tlog.catalog.conftest import ISSUER, KEY, START, certificate, digest, signed, signed_by_key
from tlog.catalog.facts import Kind, Term, certificate_facts, rekor_facts

SPKI = keys.encode_public_key(KEY.public_key())


def terms(facts, kind: Kind) -> list[str]:
    return [term.value for term in facts.terms if term.kind is kind]


def test_an_entry_with_a_certificate_says_who_where_and_what():
    entry = signed(
        "https://ci.example/build.yml",
        7,
        source_repository_uri="https://git.example/a/b",
        source_repository_digest="c0ffee",
    )
    facts = rekor_facts(entry.leaf)
    leaf_hash = hashlib.sha256(b"\0" + entry.leaf).hexdigest()
    assert facts.kind == "hashedrekord 0.0.2"
    assert facts.time_ms == 1772323620_000  # 2026-03-01 00:07
    assert set(facts.terms) == {
        Term(Kind.IDENTITY, "https://ci.example/build.yml"),
        Term(Kind.ISSUER, ISSUER),
        Term(Kind.REPOSITORY, "https://git.example/a/b"),
        Term(Kind.COMMIT, "c0ffee"),
        Term(Kind.DIGEST, digest(7).hex()),
        Term(Kind.KEY, hashlib.sha256(SPKI).hexdigest()),
        Term(Kind.SERIAL, "7"),
        Term(Kind.ENTRY, leaf_hash),
    }


def test_an_entry_with_a_bare_key_has_no_identity_and_no_time():
    facts = rekor_facts(signed_by_key(3).leaf)
    assert facts.time_ms is None
    assert {term.kind for term in facts.terms} == {Kind.DIGEST, Kind.KEY, Kind.ENTRY}


def test_a_certificate_that_cannot_be_read_leaves_an_entry_without_an_identity():
    details = entries.certificate_verifier(certificate("a@example.com").der).details
    leaf = entries.encode_body(HashedRekord(digest(1), b"signature", Verifier(details, certificate=b"0\x03abc")))
    assert {term.kind for term in rekor_facts(leaf).terms} == {Kind.DIGEST, Kind.ENTRY}


@pytest.mark.parametrize("make", ["hashedrekord", "rekord", "dsse", "intoto"])
@pytest.mark.parametrize("signer", ["key", "certificate"])
def test_every_kind_of_rekor_v1_is_read(monkeypatch, make, signer):
    """The log's own index of these entries is the oracle for what they are found by."""
    if signer == "certificate":
        monkeypatch.setattr(v1_proposals, "pem", lambda _key: certificate_pem())
    proposal = getattr(v1_proposals, make)()
    logged = entries_v1.parse_proposal(json.dumps(proposal).encode()).verify()
    facts = rekor_facts(logged.body, 5000)
    assert facts.time_ms == 5000
    assert all(f"sha256:{value}" in logged.index_keys for value in terms(facts, Kind.DIGEST))
    assert terms(facts, Kind.DIGEST)
    assert terms(facts, Kind.KEY) == [hashlib.sha256(v1_spki()).hexdigest()]
    assert terms(facts, Kind.IDENTITY) == (["v1@example.com"] if signer == "certificate" else [])


def v1_spki() -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return v1_proposals.KEY.public_key().public_bytes(serialization.Encoding.DER, form)


def certificate_pem() -> bytes:
    name = library.Name([library.NameAttribute(library.NameOID.COMMON_NAME, "v1")])
    made = (
        library.CertificateBuilder(name, name, v1_proposals.KEY.public_key(), 5)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .add_extension(library.SubjectAlternativeName([library.RFC822Name("v1@example.com")]), critical=True)
        .sign(v1_proposals.KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"apiVersion":"0.0.1","kind":"rpm","spec":{}}',
        b'{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}',
        b'{"apiVersion":"0.0.1","kind":"dsse","spec":{"payloadHash":7}}',
    ],
)
def test_what_is_no_entry_is_malformed(body):
    with pytest.raises(Malformed):
        rekor_facts(body)


# --- CT ------------------------------------------------------------------------------------------------
def test_certificate_and_precertificate_of_a_certificate_log():
    made = certificate("a@example.com", 9)
    final = certificate_facts(sct.encode_leaf(sct.X509Entry(made.der), 12345))
    pre = certificate_facts(sct.encode_leaf(sct.PrecertEntry(bytes(32), made.tbs), 12345))
    assert (final.kind, pre.kind) == ("certificate", "precertificate")
    for facts in (final, pre):
        assert facts.time_ms == 12345
        assert terms(facts, Kind.IDENTITY) == ["a@example.com"]
        assert terms(facts, Kind.ISSUER) == [ISSUER]
        assert terms(facts, Kind.SERIAL) == ["9"]
    assert terms(final, Kind.ENTRY) != terms(pre, Kind.ENTRY)


def test_a_leaf_with_nonsense_for_a_certificate_is_an_entry_all_the_same():
    facts = certificate_facts(sct.encode_leaf(sct.X509Entry(b"nonsense"), 1))
    assert {term.kind for term in facts.terms} == {Kind.ENTRY}


# --- the public instance -------------------------------------------------------------------------------
def test_every_entry_in_bundles_of_the_public_instance_is_read(vectors):
    bodies = {
        base64.b64decode(entry["canonicalizedBody"])
        for path in sorted(vectors.rglob("*.json"))
        for entry in _entries(path)
    }
    read = [rekor_facts(body) for body in bodies if _known(body)]
    assert len(read) >= 10
    with_certificate = [facts for facts in read if facts.certificate is not None]
    assert with_certificate
    for facts in with_certificate:
        ours = facts.certificate
        theirs = library.load_der_x509_certificate(ours.der)
        assert facts.first(Kind.SERIAL) == f"{theirs.serial_number:x}"


def _entries(path):
    try:
        bundle = json.loads(path.read_bytes())
    except ValueError:
        return []
    material = bundle.get("verificationMaterial", {}) if isinstance(bundle, dict) else {}
    return [entry for entry in material.get("tlogEntries", []) if "canonicalizedBody" in entry]


def _known(body: bytes) -> bool:
    try:
        head = json.loads(body)
    except ValueError:
        return False
    return "spec" in head and (head.get("kind"), head.get("apiVersion")) in {
        ("hashedrekord", "0.0.1"),
        ("hashedrekord", "0.0.2"),
        ("dsse", "0.0.1"),
        ("dsse", "0.0.2"),
        ("intoto", "0.0.2"),
    }
