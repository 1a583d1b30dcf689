# SPDX-License-Identifier: Apache-2.0
"""Timestamp requests: S01 (nonce), S03 (bombs), S04 (imprint), S08 (extensions), and what arbitrary bytes do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sigcore import der, timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import SigError
from sigcore.timestamp import FailureInfo, Rejected, TimestampRequest, encode_request, parse_request

DIGEST = bytes(range(32))
SHA256 = der.sequence(der.oid(HashAlgorithm.SHA2_256.oid), der.null())
IMPRINT = der.sequence(SHA256, der.octet_string(DIGEST))
VERSION = der.integer(1)


def rejected(data: bytes) -> FailureInfo:
    with pytest.raises(Rejected) as caught:
        parse_request(data)
    assert caught.value.message.startswith(caught.value.failure.text)
    return caught.value.failure


requests = st.sampled_from(HashAlgorithm).flatmap(
    lambda hashing: st.builds(
        TimestampRequest,
        st.just(hashing),
        st.binary(min_size=hashing.size, max_size=hashing.size),
        st.none() | st.sampled_from(["1.3.6.1.4.1.57264.2", "2.999.1", "0.4.0.2023.1.1"]),
        st.none() | st.integers(0, 2**256 - 1),
        st.booleans(),
    )
)


@given(requests)
def test_a_request_reads_back_as_written(request_value: TimestampRequest):
    assert parse_request(encode_request(request_value)) == request_value


@given(st.binary(max_size=120) | requests.map(encode_request), st.data())
@example(b"", None)
def test_arbitrary_and_damaged_bytes_are_read_or_rejected(data: bytes, draw):
    if draw is not None and data:
        position = draw.draw(st.integers(0, len(data) - 1))
        data = data[:position] + bytes((draw.draw(st.integers(0, 255)),)) + data[position + 1 :]
    try:
        parsed = parse_request(data)
    except Rejected:
        return
    assert parse_request(encode_request(parsed)) == parsed


@given(st.binary(max_size=200))
def test_arbitrary_responses_raise_nothing_else(data: bytes):
    with pytest.raises(SigError):
        timestamp.parse_response(data)


@pytest.mark.parametrize(
    "options", [["-sha256", "-cert"], ["-sha384", "-no_nonce"], ["-sha512", "-tspolicy", "1.2.3.4"]]
)
def test_requests_of_openssl(tmp_path: Path, options: list[str]):
    (tmp_path / "data").write_bytes(b"hello")
    out = tmp_path / "query"
    subprocess.run(
        ["openssl", "ts", "-query", "-data", tmp_path / "data", *options, "-out", out], check=True, capture_output=True
    )
    parsed = parse_request(out.read_bytes())
    assert parsed.digest == parsed.hash.digest(b"hello")
    assert parsed.certificates == ("-cert" in options)
    assert (parsed.nonce is None) == ("-no_nonce" in options)
    assert parsed.policy == ("1.2.3.4" if "-tspolicy" in options else None)
    assert encode_request(parsed) == out.read_bytes()


# --- S01: the nonce ------------------------------------------------------------------------------------
@pytest.mark.parametrize("nonce", [0, 1, 2**63, 2**255, 2**256 - 1])
def test_s01_nonce_is_read_exactly(nonce: int):
    assert parse_request(der.sequence(VERSION, IMPRINT, der.integer(nonce))).nonce == nonce


@pytest.mark.parametrize("nonce", [-1, -(2**63), 2**256, 2**2000])
def test_s01_nonce_that_is_negative_or_too_long_is_refused(nonce: int):
    assert rejected(der.sequence(VERSION, IMPRINT, der.integer(nonce))) is FailureInfo.BAD_REQUEST


def test_s01_nonce_with_padding_is_refused():
    assert rejected(der.sequence(VERSION, IMPRINT, b"\x02\x02\x00\x01")) is FailureInfo.BAD_DATA_FORMAT


# --- S03: bombs ----------------------------------------------------------------------------------------
def test_s03_bombs_are_refused_at_once():
    policy = der.tlv(der.OID, b"\x2a" + b"\x01" * 1500)
    assert rejected(der.sequence(VERSION, IMPRINT, policy)) is FailureInfo.BAD_DATA_FORMAT
    nested = b""
    for _ in range(100):
        nested = der.sequence(nested)
    assert rejected(der.sequence(VERSION, nested)) is FailureInfo.BAD_DATA_FORMAT
    assert rejected(der.sequence(VERSION, IMPRINT, bytes(2048))) is FailureInfo.BAD_DATA_FORMAT
    assert rejected(b"\x30\x80" + VERSION + IMPRINT + b"\x00\x00") is FailureInfo.BAD_DATA_FORMAT


# --- S04: the imprint ------------------------------------------------------------------------------------
def test_s04_parameters_absent_or_null_and_nothing_else():
    absent = der.sequence(der.sequence(der.oid(HashAlgorithm.SHA2_256.oid)), der.octet_string(DIGEST))
    assert parse_request(der.sequence(VERSION, absent)) == parse_request(der.sequence(VERSION, IMPRINT))
    other = der.sequence(der.sequence(der.oid(HashAlgorithm.SHA2_256.oid), der.integer(0)), der.octet_string(DIGEST))
    assert rejected(der.sequence(VERSION, other)) is FailureInfo.BAD_DATA_FORMAT


@pytest.mark.parametrize(
    "oid", ["1.3.14.3.2.26", "1.2.840.113549.2.5", "2.16.840.1.101.3.4.2.4", "2.16.840.1.101.3.4.2.8", "1.2.3"]
)
def test_s04_sha1_md5_and_unknown_hashes_are_bad_algorithms(oid: str):
    imprint = der.sequence(der.sequence(der.oid(oid), der.null()), der.octet_string(DIGEST))
    assert rejected(der.sequence(VERSION, imprint)) is FailureInfo.BAD_ALG


@pytest.mark.parametrize("hashing", HashAlgorithm)
@pytest.mark.parametrize("off_by", [-1, 1])
def test_s04_a_digest_of_another_length_is_refused(hashing: HashAlgorithm, off_by: int):
    request = TimestampRequest(hashing, bytes(hashing.size + off_by))
    assert rejected(encode_request(request)) is FailureInfo.BAD_DATA_FORMAT


# --- S08 and the rest of the structure -----------------------------------------------------------------
@pytest.mark.parametrize("critical", [der.boolean(True), b""])
def test_s08_any_extension_is_unaccepted(critical: bytes):
    extension = der.sequence(der.oid("1.2.3"), critical, der.octet_string(b"x"))
    data = der.sequence(VERSION, IMPRINT, der.tlv(der.context(0), extension))
    assert rejected(data) is FailureInfo.UNACCEPTED_EXTENSION


@pytest.mark.parametrize(
    ("parts", "failure"),
    [
        ((der.integer(2), IMPRINT), FailureInfo.BAD_REQUEST),
        ((VERSION,), FailureInfo.BAD_DATA_FORMAT),
        ((VERSION, IMPRINT, der.boolean(False)), FailureInfo.BAD_DATA_FORMAT),
        ((VERSION, IMPRINT, der.boolean(True), der.integer(7)), FailureInfo.BAD_DATA_FORMAT),
        ((VERSION, IMPRINT, der.null()), FailureInfo.BAD_DATA_FORMAT),
        ((VERSION, der.sequence(SHA256, der.octet_string(DIGEST), der.null())), FailureInfo.BAD_DATA_FORMAT),
    ],
)
def test_other_structures_are_refused(parts: tuple[bytes, ...], failure: FailureInfo):
    assert rejected(der.sequence(*parts)) is failure


def test_nothing_may_follow_a_request():
    assert rejected(der.sequence(VERSION, IMPRINT) + b"\x00") is FailureInfo.BAD_DATA_FORMAT
