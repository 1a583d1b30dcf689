# SPDX-License-Identifier: Apache-2.0
"""TSTInfo and the status of a response."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import der, timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused, SigError
from sigcore.timestamp import FailureInfo
from sigcore.tst_info import TimestampInfo, encode_imprint, encode_info, parse_info

MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
INFO = TimestampInfo("1.3.6.1.4.1.57264.2", HashAlgorithm.SHA2_256, bytes(32), 7, MOMENT)
HEAD = (der.integer(1), der.oid(INFO.policy), encode_imprint(INFO.hash, INFO.digest), der.integer(7))
TIME = der.generalized_time(MOMENT)


@given(
    st.builds(
        TimestampInfo,
        st.just(INFO.policy),
        st.just(HashAlgorithm.SHA2_512),
        st.binary(min_size=64, max_size=64),
        st.integers(-(2**255), 2**255),
        st.integers(0, 2**37).map(lambda second: datetime.fromtimestamp(second, UTC)),
        st.none() | st.integers(-(2**255), 2**255),
        st.none() | st.integers(1, 10**9),
        st.booleans(),
        st.none() | st.binary(max_size=20).map(lambda name: der.tlv(der.context(4), der.sequence(name))),
    )
)
def test_info_reads_back_as_written(info: TimestampInfo):
    assert parse_info(encode_info(info)) == info


@given(st.data())
def test_damaged_infos_raise_nothing_but_refusals(data):
    plain = encode_info(TimestampInfo(INFO.policy, INFO.hash, INFO.digest, 7, MOMENT, 99, 1_002_003))
    position, byte = data.draw(st.integers(0, len(plain) - 1)), data.draw(st.integers(0, 255))
    try:
        parse_info(plain[:position] + bytes((byte,)) + plain[position + 1 :])
    except SigError:
        return


def test_everything_that_other_authorities_add_is_read():
    fraction = der.tlv(der.GENERALIZED_TIME, b"20260504030201.25Z")
    accuracy = der.sequence(der.integer(2), b"\x80\x01\x05", b"\x81\x01\x07")
    tsa = der.tlv(der.context(0), der.tlv(der.context(4), der.sequence()))
    extension = der.sequence(der.oid("1.3.6.1.5.5.7.1.3"), der.octet_string(b"qualified"))
    rest = (accuracy, der.boolean(True), der.integer(-5), tsa, der.tlv(der.context(1), extension))
    info = parse_info(der.sequence(*HEAD, fraction, *rest))
    assert (info.time.microsecond, info.accuracy_us, info.nonce) == (250_000, 2_005_007, -5)
    assert (info.ordering, info.tsa) == (True, tsa[2:])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((der.integer(2), *HEAD[1:], TIME), "version 2"),
        ((*HEAD, der.tlv(der.GENERALIZED_TIME, b"20260504030201+0100")), "GeneralizedTime"),
        ((*HEAD, der.tlv(der.GENERALIZED_TIME, b"20260504030201.50Z")), "GeneralizedTime"),
        ((*HEAD, der.tlv(der.GENERALIZED_TIME, b"20260230030201Z")), "calendar"),
        ((*HEAD, der.time(MOMENT)), "expected DER tag 0x18"),
        ((*HEAD, TIME, der.sequence(b"\x80\x02\x03\xe8")), "outside 1 to 999"),
        ((*HEAD, TIME, der.sequence(b"\x80\x01\x00")), "outside 1 to 999"),
        ((*HEAD, TIME, der.boolean(False)), "DEFAULT"),
        ((*HEAD[:3], der.integer(2**300), TIME), "301 bits"),
        ((*HEAD, TIME, der.null()), "after its end"),
    ],
)
def test_malformed_infos(parts: tuple[bytes, ...], message: str):
    with pytest.raises(Malformed, match=message):
        parse_info(der.sequence(*parts))


def test_a_critical_extension_is_refused():
    extension = der.sequence(der.oid("1.2.3"), der.boolean(True), der.octet_string(b"x"))
    with pytest.raises(Refused, match=r"critical extension 1\.2\.3"):
        parse_info(der.sequence(*HEAD, TIME, der.tlv(der.context(1), extension)))


@pytest.mark.parametrize("failure", FailureInfo)
def test_rejections_name_the_failure_to_us_and_to_openssl(tmp_path: Path, failure: FailureInfo):
    data = timestamp.encode_rejected(failure, "it was not to be")
    with pytest.raises(Refused, match=rf"answered rejection \({failure.text}\)") as caught:
        timestamp.parse_response(data)
    assert caught.value.hint == "'it was not to be'"
    (tmp_path / "reply").write_bytes(data)
    text = subprocess.run(
        ["openssl", "ts", "-reply", "-in", tmp_path / "reply", "-text"], check=True, capture_output=True
    ).stdout
    assert b"Rejected" in text
    assert b"it was not to be" in text
    assert b"Failure info: unspecified" not in text


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (der.sequence(der.integer(1)), "grantedWithMods"),
        (der.sequence(der.integer(3)), "waiting"),
        (der.sequence(der.integer(-1)), "unknown status"),
        (der.sequence(der.integer(2**100)), "unknown status"),
        (der.sequence(der.integer(0), der.bit_string(b"\x40", 6)), "without a known name"),
    ],
)
def test_only_granted_is_granted(status: bytes, message: str):
    with pytest.raises(Refused, match=message):
        timestamp.parse_response(der.sequence(status))


def test_granted_without_a_token_is_malformed():
    with pytest.raises(Malformed):
        timestamp.parse_response(der.sequence(der.sequence(der.integer(0))))
    with pytest.raises(Malformed, match="the limit is"):
        timestamp.parse_response(bytes(70_000))
