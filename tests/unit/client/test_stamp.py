# SPDX-License-Identifier: Apache-2.0
"""A timestamp that stands alone: what it shows of itself, and what it is held against."""

from __future__ import annotations

import json

import pytest

from client.inspection import encode_outline, inspect_timestamp
from client.verify.stamp import list_stamp_checks, parse_authority_pem, verify_stamp
from sigcore import der, timestamp, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.timestamp import TimestampRequest
from sigcore.tst_info import TimestampInfo
from tests.unit.client.minisig import MiniSigstore

SHA256 = HashAlgorithm.SHA2_256
DIGEST = SHA256.digest(b"release")


def info(sigstore: MiniSigstore, **more: object) -> TimestampInfo:
    return TimestampInfo("1.2.3.4", SHA256, DIGEST, 0xABC, sigstore.now, 0xDEF, **more)


@pytest.mark.parametrize("kind", ["directoryName", "uniformResourceIdentifier"])
def test_every_field_is_shown_also_those_that_few_authorities_write(sigstore: MiniSigstore, kind: str):
    uri = der.tlv(der.context(6, constructed=False), b"https://tsa.example")
    name = der.tlv(der.context(4), sigstore.tsa_leaf.subject) if kind == "directoryName" else uri
    stamped = info(sigstore, accuracy_us=1_002_003, ordering=True, tsa=name)
    shown = inspect_timestamp(sigstore.tsa_signer.encode_granted(stamped, certificates=True))
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["policy"], shown["serial"], shown["nonce"], shown["hash"]) == ("1.2.3.4", "abc", "def", "SHA2_256")
    assert (shown["accuracyMicroseconds"], shown["ordering"]) == (1_002_003, True)
    own = x509.common_name(sigstore.tsa_leaf.subject)
    assert shown["tsa"]["commonName"] == own if kind == "directoryName" else shown["tsa"] == name.hex()
    assert shown["signer"]["serial"] == f"{sigstore.tsa_leaf.serial:x}"
    assert shown["signer"]["issuer"]["commonName"] == x509.common_name(sigstore.tsa_leaf.issuer)
    assert "ordering: True" in encode_outline(shown)


def test_a_stamp_is_held_against_all_that_was_expected_and_says_so(sigstore: MiniSigstore):
    response = timestamp.parse_response(sigstore.stamp(DIGEST, nonce=7))
    authorities = sigstore.root.timestamp_authorities
    stamp = verify_stamp(response, TimestampRequest(SHA256, DIGEST, "1.2.3.4", 7), authorities)
    names = [check.name for check in list_stamp_checks(stamp)]
    assert names == ["artifact", "nonce", "policy", "signature", "chain", "time"]
    (chain,) = [check.what for check in list_stamp_checks(stamp) if check.name == "chain"]
    above = len(authorities[0].chain) - 1
    assert chain == f"{above} certificates above the first, all valid at that time"
    bare = verify_stamp(response, TimestampRequest(SHA256, DIGEST), authorities)
    assert [check.name for check in list_stamp_checks(bare)] == ["artifact", "signature", "chain", "time"]
    for request, said in (
        (TimestampRequest(SHA256, bytes(32)), "another file"),
        (TimestampRequest(HashAlgorithm.SHA2_512, bytes(64)), "another file"),
        (TimestampRequest(SHA256, DIGEST, nonce=8), "nonce"),
        (TimestampRequest(SHA256, DIGEST, "1.2.3.5"), "policy"),
    ):
        with pytest.raises(Refused, match=said):
            verify_stamp(response, request, authorities)
    with pytest.raises(Refused, match="none of the 0"):
        verify_stamp(response, TimestampRequest(SHA256, DIGEST), ())


def test_a_chain_in_pem_is_an_authority_where_each_certificate_is_signed_by_the_next(sigstore: MiniSigstore):
    chain = (sigstore.tsa_leaf, sigstore.tsa.intermediate, sigstore.tsa.root)
    pems = [x509.encode_certificate_pem(one.der).encode() for one in chain]
    authority = parse_authority_pem(b"".join(pems), what="the chain")
    root = sigstore.tsa.root.subject
    assert (authority.common_name, authority.organization) == (x509.common_name(root), x509.organization(root))
    assert authority.uri == ""
    for begins, lower in enumerate(chain[1:], 1):  # a chain that is complete, whatever it begins with
        assert parse_authority_pem(b"".join(pems[begins:]), what="the chain").chain[0] == lower.der
    response = timestamp.parse_response(sigstore.stamp(DIGEST))
    assert verify_stamp(response, TimestampRequest(SHA256, DIGEST), (authority,)).time.source == authority
    with pytest.raises(Refused):
        parse_authority_pem(b"".join(reversed(pems)), what="the chain")
    with pytest.raises(Malformed):
        parse_authority_pem(b"no chain", what="the chain")


def test_the_certificate_inside_holds_with_the_signature_or_nothing_does(sigstore: MiniSigstore):
    whole = timestamp.parse_response(sigstore.tsa_signer.encode_granted(info(sigstore), certificates=True))
    assert timestamp.verify_embedded(whole) == sigstore.tsa_leaf
    with pytest.raises(Refused, match="embeds 0 certificates"):
        timestamp.verify_embedded(timestamp.parse_response(sigstore.stamp(DIGEST)))
