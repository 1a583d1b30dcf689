# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import keys
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.errors import Malformed, Refused, SigError
from sigcore.trustroot import (
    AuthorityInstance,
    LogInstance,
    TrustedRoot,
    Validity,
    encode_trusted_root,
    parse_trusted_root,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, 0, 0, 0, 999000, tzinfo=UTC)
SPKI = keys.encode_public_key(keys.generate_p256().public_key())


def a_root() -> TrustedRoot:
    log = LogInstance(
        base_url="https://log.example",
        hash=HashAlgorithm.SHA2_256,
        key=SPKI,
        details=KeyDetails.PKIX_ECDSA_P256_SHA_256,
        validity=Validity(START, END),
        log_id=keys.key_id(SPKI),
        operator="example",
    )
    authority = AuthorityInstance(
        "Example", "example", "https://ca.example", (b"\x30\x00", b"\x30\x01"), Validity(START)
    )
    return TrustedRoot((log,), (authority,), (replace(log, base_url="https://ct.example"),), (authority,))


def edited(change) -> bytes:
    document = json.loads(encode_trusted_root(a_root()))
    change(document)
    return json.dumps(document).encode()


def test_round_trip():
    assert parse_trusted_root(encode_trusted_root(a_root())) == a_root()


def test_a_document_names_no_checkpoint_key_id_and_no_empty_member():
    document = json.loads(encode_trusted_root(replace(a_root(), logs=(replace(a_root().logs[0], operator=""),))))
    assert set(document["tlogs"][0]) == {"baseUrl", "hashAlgorithm", "publicKey", "logId"}
    assert set(document["certificateAuthorities"][0]["validFor"]) == {"start"}


def test_the_strict_models_of_sigstore_python_take_it():
    trustroot = pytest.importorskip("sigstore_models.trustroot.v1")
    model = trustroot.TrustedRoot.from_json(encode_trusted_root(a_root()))
    assert model.tlogs[0].base_url == "https://log.example"
    assert model.timestamp_authorities[0].cert_chain.certificates[1].raw_bytes == b"\x30\x01"


def test_third_party_roots_survive_a_round_trip(vectors):
    files = [
        *vectors.glob("sigstore-conformance/**/*trusted_root.json"),
        *vectors.glob("sigstore-*/**/trustedroot.v1*.json"),
    ]
    assert len(files) > 30
    for file in files:
        if file.parent.name == "trust-root-tlog-missing-validity-start_fail":
            continue
        root = parse_trusted_root(file.read_bytes())
        assert root.logs
        assert root.ct_logs
        assert parse_trusted_root(encode_trusted_root(root)) == root


def test_the_public_root(vectors):
    root = parse_trusted_root((vectors / "sigstore-conformance/production_trusted_root.json").read_bytes())
    assert [log.base_url for log in root.logs] == ["https://rekor.sigstore.dev", "https://log2025-1.rekor.sigstore.dev"]
    assert root.logs[1].details is KeyDetails.PKIX_ED25519
    assert root.certificate_authorities[0].validity.end == datetime(2022, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    assert root.certificate_authorities[1].validity.end is None
    assert root.timestamp_authorities[0].common_name == "sigstore-tsa-selfsigned"


def test_a_log_of_an_unknown_kind_is_kept_and_verifies_nothing(vectors):
    file = vectors / "sigstore-conformance/bundle-verify/rekor2-happy-path/trusted_root.json"
    log = parse_trusted_root(file.read_bytes()).ct_logs[0]
    assert log.details == "PKCS1_RSA_PKCS1V5"
    with pytest.raises(Refused, match="unsupported kind PKCS1_RSA_PKCS1V5"):
        log.public_key()


def test_third_party_malformed_roots_are_refused(vectors):
    start = vectors / "sigstore-conformance/bundle-verify/trust-root-tlog-missing-validity-start_fail/trusted_root.json"
    with pytest.raises(Malformed, match=r"tlogs\[\d\]\.publicKey\.validFor\.start is missing"):
        parse_trusted_root(start.read_bytes())
    with pytest.raises(Malformed, match="mediaType is 'bad-media-type'"):
        parse_trusted_root((vectors / "sigstore-python-config/trusted_root/trustedroot.badtype.json").read_bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(mediaType=d["mediaType"].replace("0.1", "0.2")), "mediaType"),
        (lambda d: d.update(unknown=1), "unknown member 'unknown'"),
        (lambda d: d["tlogs"][0].update(baseURL="x"), "unknown member"),
        (lambda d: d["tlogs"][0].pop("baseUrl"), r"tlogs\[0\].baseUrl is missing"),
        (lambda d: d["tlogs"][0]["logId"].update(keyId="AAAA"), "has 3 bytes, expected 32"),
        (lambda d: d["tlogs"][0]["publicKey"].update(rawBytes="MAA="), "not a DER SubjectPublicKeyInfo"),
        (lambda d: d["tlogs"][0]["publicKey"].update(keyDetails="x y"), "keyDetails"),
        (lambda d: d["tlogs"][0]["publicKey"].pop("validFor"), "validFor is missing"),
        (lambda d: d["tlogs"][0].update(hashAlgorithm="MD5"), "expected one of SHA2_256"),
        (lambda d: d["tlogs"][0]["publicKey"]["validFor"].update(end="2020-01-01T00:00:00Z"), "ends before it starts"),
        (lambda d: d["ctlogs"][0]["publicKey"]["validFor"].update(start="2020-01-01"), "RFC 3339"),
        (lambda d: d["certificateAuthorities"][0]["certChain"].update(certificates=[]), "certificates is empty"),
        (lambda d: d["certificateAuthorities"][0].pop("subject"), "subject is missing"),
        (lambda d: d.update(timestampAuthorities=d["timestampAuthorities"] * 65), "has 65 elements, the limit is 64"),
    ],
)
def test_defects_have_their_own_message(change, message):
    with pytest.raises(Malformed, match=message):
        parse_trusted_root(edited(change))


def test_a_window_includes_both_ends():
    window = Validity(START, END)
    tick = timedelta(microseconds=1)
    assert [window.covers(m) for m in (START - tick, START, END, END + tick)] == [False, True, True, False]
    assert Validity(START).covers(datetime.max.replace(tzinfo=UTC))
    assert str(window) == "2026-01-01T00:00:00Z to 2027-01-01T00:00:00.999000Z"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["mediaType", "tlogs", "ctlogs", "publicKey", "certChain", "validFor", "logId"])
                | st.text(),
                inner,
            )
        ),
    )
)
def test_any_json_is_parsed_or_refused(value):
    for document in (value, {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": value}):
        try:
            parse_trusted_root(json.dumps(document).encode())
        except SigError:
            continue


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    with pytest.raises(Malformed):
        parse_trusted_root(data)
