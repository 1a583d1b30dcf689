# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import (
    MEDIA_TYPES,
    Bundle,
    MessageSignature,
    encode_bundle,
    parse_bundle,
)
from sigcore.errors import Malformed, SigError
from sigcore.log_entry import InclusionProof, LogEntry

PROOF = InclusionProof(index=1, size=2, root=b"r" * 32, hashes=(b"h" * 32,), checkpoint="log\n2\nx\n\n\u2014 log sig\n")
ENTRY = LogEntry(1, b"i" * 32, "hashedrekord", "0.0.2", 0, b"{}", PROOF)
CONTENT = MessageSignature(HashAlgorithm.SHA2_256, b"d" * 32, b"signature")
A_BUNDLE = Bundle(b"certificate", (ENTRY,), (b"response",), CONTENT)


def edited(change) -> bytes:
    document = json.loads(encode_bundle(A_BUNDLE))
    change(document)
    return json.dumps(document).encode()


def material(document) -> dict:
    return document["verificationMaterial"]


def entry(document) -> dict:
    return material(document)["tlogEntries"][0]


@pytest.mark.parametrize(
    "bundle",
    [
        A_BUNDLE,
        replace(A_BUNDLE, media_type=tuple(MEDIA_TYPES)[1]),
        replace(A_BUNDLE, certificate=None, key_hint="hint"),
        replace(A_BUNDLE, timestamps=(), log_entries=(ENTRY, replace(ENTRY, promise=b"set", integrated_time=7))),
    ],
)
def test_round_trip(bundle):
    assert parse_bundle(encode_bundle(bundle)) == bundle


def test_sigstore_python_reads_what_we_write(vectors):
    models = pytest.importorskip("sigstore.models")
    data = (vectors / "sigstore-conformance/bundle-verify/rekor2-happy-path/bundle.sigstore.json").read_bytes()
    ours = json.loads(models.Bundle.from_json(encode_bundle(parse_bundle(data))).to_json())
    assert entry(ours).pop("integratedTime") == "0"
    assert ours == json.loads(data)


def test_zero_values_are_written():
    document = json.loads(encode_bundle(replace(A_BUNDLE, log_entries=(replace(ENTRY, index=0),))))
    assert entry(document)["logIndex"] == entry(document)["integratedTime"] == "0"
    assert entry(document)["inclusionPromise"] is None


def test_absent_numbers_and_lists_are_zero_and_empty():
    first = replace(ENTRY, index=0, proof=replace(PROOF, index=0, size=1, hashes=()))

    def drop(document):
        for holder, names in ((entry(document), ("logIndex", "integratedTime", "inclusionPromise")),):
            for name in names:
                del holder[name]
        entry(document)["inclusionProof"] = {
            name: value
            for name, value in entry(document)["inclusionProof"].items()
            if name not in ("logIndex", "hashes")
        } | {"treeSize": "1"}

    assert parse_bundle(edited(drop)).log_entries == (first,)


def test_snake_case_is_read():
    def snake(document):
        document["verification_material"] = document.pop("verificationMaterial")
        document["verification_material"]["tlog_entries"] = document["verification_material"].pop("tlogEntries")

    assert parse_bundle(edited(snake)) == A_BUNDLE


def test_third_party_bundles_survive_a_round_trip(vectors):
    survivors = 0
    for file in vectors.glob("**/*.sigstore*.json"):
        try:
            bundle = parse_bundle(file.read_bytes())
        except SigError:
            continue
        assert parse_bundle(encode_bundle(bundle)) == bundle
        survivors += 1
    assert survivors >= 30


@pytest.mark.parametrize(
    ("case", "kind", "message"),
    [
        ("bundle-malformed-json_fail", Malformed, "not JSON"),
        ("bundle-unknown-version_fail", Malformed, "version=99.9"),
        ("rekor2-no-inclusion-proof_fail", Malformed, "inclusionProof is missing"),
    ],
)
def test_third_party_bundles_that_are_refused(vectors, case, kind, message):
    data = (vectors / "sigstore-conformance/bundle-verify" / case / "bundle.sigstore.json").read_bytes()
    with pytest.raises(kind, match=message):
        parse_bundle(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("mediaType"), "mediaType is missing"),
        (lambda d: d.update(extra=1), "unknown member 'extra'"),
        (lambda d: d.pop("messageSignature"), "none of messageSignature, dsseEnvelope"),
        (lambda d: d.update(dsseEnvelope={}), "messageSignature and dsseEnvelope"),
        (lambda d: d["messageSignature"].update(signature="=!"), "signature is not base64"),
        (lambda d: d["messageSignature"].pop("messageDigest"), "messageDigest is missing"),
        (lambda d: d["messageSignature"]["messageDigest"].update(algorithm="SHA2_384"), "32 bytes, expected 48"),
        (lambda d: d["messageSignature"]["messageDigest"].update(algorithm="SHA1"), "expected one of"),
        (lambda d: material(d).update(publicKey={"hint": "x"}), "certificate and publicKey"),
        (lambda d: material(d).pop("certificate"), "none of certificate"),
        (lambda d: material(d).update(x509CertificateChain=material(d).pop("certificate")), "version 0.3 forbids"),
        (lambda d: material(d).update(tlogEntries=[entry(d)] * 33), "33 elements, the limit is 32"),
        (lambda d: material(d).update(tlogEntries=[None]), r"tlogEntries\[0\] is null, expected an object"),
        (lambda d: material(d)["timestampVerificationData"].update(rfc3161Timestamps=[{}] * 33), "the limit is 32"),
        (
            lambda d: material(d)["timestampVerificationData"].update(rfc3161Timestamps=[{}]),
            "signedTimestamp is missing",
        ),
        (lambda d: entry(d).update(logIndex="-1"), "logIndex is '-1'"),
        (lambda d: entry(d).update(logIndex=1.0), "expected an integer"),
        (lambda d: entry(d)["logId"].update(keyId="AAAA"), "keyId has 3 bytes, expected 32"),
        (lambda d: entry(d)["inclusionProof"].pop("checkpoint"), "checkpoint is missing"),
        (lambda d: entry(d)["inclusionProof"].pop("treeSize"), "treeSize is missing"),
        (lambda d: entry(d)["inclusionProof"].update(hashes=["AAAA"]), "not 32 bytes"),
        (lambda d: entry(d)["inclusionProof"].update(hashes=["AA=="] * 65), "65 elements, the limit is 64"),
        (lambda d: entry(d)["inclusionProof"].update(hashes=[1]), "expected a string"),
    ],
)
def test_defects_have_their_own_message(change, message):
    with pytest.raises(Malformed, match=message):
        parse_bundle(edited(change))


def objects(node):
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from objects(value)


@pytest.mark.parametrize("key", [None, "hint"], ids=["certificate", "key"])
def test_no_object_may_have_an_unknown_member(key):
    bundle = replace(A_BUNDLE, certificate=None, key_hint=key) if key else A_BUNDLE
    bundle = replace(bundle, log_entries=(replace(ENTRY, promise=b"set"),))
    document = json.loads(encode_bundle(bundle))
    places = list(objects(document))
    assert len(places) == 13
    for place in places:
        place["unknown"] = 1
        with pytest.raises(Malformed, match="unknown member 'unknown'"):
            parse_bundle(json.dumps(document).encode())
        del place["unknown"]
    assert parse_bundle(json.dumps(document).encode()) == bundle


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data):
    with pytest.raises(Malformed):
        parse_bundle(data)


NODES = st.sampled_from([None, 0, -1, 2**63, 1.5, "", "AA==", "\u2028", [], {}, True, [None], {"rawBytes": "AA=="}])


@given(st.data())
def test_any_replaced_member_is_parsed_or_refused(data):
    document = json.loads(encode_bundle(A_BUNDLE))
    holder = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    holder[key] = data.draw(NODES)
    try:
        parse_bundle(json.dumps(document).encode())
    except SigError:
        return
