# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sigcore import der, keys, limits
from sigcore.der import Reader
from sigcore.errors import Malformed

ARCS = st.integers(0, 2**64)
OIDS = st.tuples(st.integers(0, 1), st.integers(0, 39)) | st.tuples(st.just(2), ARCS)


def reader(data: bytes | str) -> Reader:
    return Reader(bytes.fromhex(data) if isinstance(data, str) else data, "it")


# --- what is built is read back --------------------------------------------------------------------
@given(st.integers(-(2**300), 2**300))
def test_integers_come_back(value):
    assert reader(der.integer(value)).integer() == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (256, "02020100"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
    ],
)
def test_integers_are_minimal(value, encoded):
    assert der.integer(value).hex() == encoded


@given(st.binary(max_size=70_000))
def test_octet_strings_of_every_length_come_back(data):
    it = reader(der.octet_string(data))
    assert it.octet_string() == data
    it.finish()


@pytest.mark.parametrize(
    ("size", "header"), [(127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100"), (65536, "0483010000")]
)
def test_lengths_are_minimal(size, header):
    assert der.octet_string(bytes(size)).hex().startswith(header)


@given(OIDS, st.lists(ARCS, max_size=8))
def test_object_identifiers_come_back(head, tail):
    dotted = ".".join(map(str, (*head, *tail)))
    assert reader(der.oid(dotted)).oid() == dotted


def test_the_rsa_object_identifier_is_the_one_of_the_textbook():
    assert der.oid("1.2.840.113549").hex() == "06062a864886f70d"


@given(st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001 - made aware below
def test_times_come_back_as_rfc_5280_chooses_their_type(moment):
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    encoded = der.time(moment)
    assert encoded[0] == (der.UTC_TIME if moment.year < 2050 else der.GENERALIZED_TIME)
    assert reader(encoded).time() == moment
    assert reader(der.generalized_time(moment)).generalized_time() == moment


def test_times_are_written_in_utc():
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert der.time(moment) == b"\x17\x0d251231230000Z"


def test_the_century_of_a_utc_time_turns_at_fifty():
    assert reader(b"\x17\x0d500101000000Z").time().year == 1950
    assert reader(b"\x17\x0d491231235959Z").time().year == 2049


def test_fractions_of_a_second_are_read():
    assert reader(b"\x18\x1120260101000000.5Z").generalized_time().microsecond == 500_000


@given(st.booleans(), st.text(max_size=50), st.binary(max_size=50))
def test_the_other_types_come_back(flag, text, data):
    it = reader(der.sequence(der.boolean(flag), der.utf8_string(text), der.bit_string(data), der.null())).enter()
    assert (it.boolean(), it.utf8(), it.bit_string()) == (flag, text, (data, 0))
    assert it.content(der.NULL) == b""
    it.finish()


def test_a_set_is_sorted_by_its_encodings():
    assert der.set_of(der.integer(2), der.integer(1)).hex() == "3106020101020102"


def test_context_tags_and_optional_elements():
    assert (der.context(0), der.context(3), der.context(6, constructed=False)) == (0xA0, 0xA3, 0x86)
    it = reader(der.tlv(der.context(0), der.integer(1)) + der.integer(2))
    inner = it.optional(der.context(0))
    assert inner is not None
    assert inner.integer() == 1
    assert it.optional(der.context(0)) is None
    assert it.raw(der.INTEGER) == der.integer(2)
    assert (it.at_end, it.peek()) == (True, -1)


# --- what is not DER is refused --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "ends where a DER element was expected"),
        ("02", "ends where a DER element was expected"),
        ("0201", "longer than what holds it"),
        ("028101ff", "indefinite or not minimal"),
        ("02820001ff", "indefinite or not minimal"),
        ("3080020101" + "0000", "indefinite or not minimal"),
        ("0285" + "0100000000", "indefinite or not minimal"),
        ("02ff", "indefinite or not minimal"),
        ("0284ffffffff", "longer than what holds it"),
        ("1f8101", "multi-byte DER tag"),
        ("bf210100", "multi-byte DER tag"),
    ],
)
def test_headers_that_are_not_der(data, message):
    with pytest.raises(Malformed, match=f"^it .*{re.escape(message)}"):
        reader(data).element()


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        ("integer", "0200", "empty or not minimal"),
        ("integer", "02020001", "empty or not minimal"),
        ("integer", "0202ffff", "empty or not minimal"),
        ("integer", "040101", "has tag 0x04 at byte 0, expected DER tag 0x02"),
        ("integer", "", "has the end at byte 0, expected DER tag 0x02"),
        ("boolean", "010101", "neither 00 nor ff"),
        ("boolean", "0100", "neither 00 nor ff"),
        ("boolean", "0102ffff", "neither 00 nor ff"),
        ("default_false", "010100", "spells out a DEFAULT value"),
        ("bit_string", "0300", "malformed DER BIT STRING"),
        ("bit_string", "030108", "malformed DER BIT STRING"),
        ("bit_string", "030101", "malformed DER BIT STRING"),
        ("bit_string", "03020401", "malformed DER BIT STRING"),
        ("oid", "0600", "OBJECT IDENTIFIER that is truncated"),
        ("oid", "060180", "not minimal"),
        ("oid", "06022a81", "OBJECT IDENTIFIER that is truncated"),
        ("oid", "06032a8001", "not minimal"),
        ("oid", "0614" + "2a" + "ff" * 18 + "7f", "too long"),
        ("oid", "0621" + "01" * 33, "too long"),
        ("utf8", "0c01ff", "string with invalid bytes"),
        ("utf8", "0c02c080", "string with invalid bytes"),
        ("time", "170b" + b"2601010000Z".hex(), "UTCTime that is not DER"),
        ("time", "170d" + b"260230000000Z".hex(), "no moment of the calendar"),
        ("time", "1711" + b"260101000000+0100".hex(), "UTCTime that is not DER"),
        ("time", "020101", "expected DER tag 0x17"),
        ("generalized_time", "1811" + b"20260101000000.0Z".hex(), "GeneralizedTime that is not DER"),
        ("generalized_time", "180e" + b"20260101000000".hex(), "GeneralizedTime that is not DER"),
        ("generalized_time", "180f" + b"20260101000060Z".hex(), "no moment of the calendar"),
        ("generalized_time", "180f" + b"20261301000000Z".hex(), "no moment of the calendar"),
    ],
)
def test_contents_that_are_not_der(read, data, message):
    with pytest.raises(Malformed, match=f"^it .*{re.escape(message)}"):
        getattr(reader(data), read)()


def test_a_default_is_absent_or_true():
    assert reader("").default_false() is False
    assert reader("0101ff").default_false() is True


def test_trailing_bytes_are_refused():
    it = reader("0201010500")
    it.integer()
    with pytest.raises(Malformed, match="it has 2 bytes after its end"):
        it.finish()


def test_raw_refuses_another_tag():
    with pytest.raises(Malformed, match="expected DER tag 0x30"):
        reader("020101").raw(der.SEQUENCE)


def test_an_ascii_string_has_no_other_bytes():
    assert reader(der.tlv(der.IA5_STRING, b"a@b")).utf8(der.IA5_STRING) == "a@b"
    with pytest.raises(Malformed, match="invalid bytes"):
        reader(der.tlv(der.IA5_STRING, "é".encode())).utf8(der.IA5_STRING)


@given(
    st.lists(st.tuples(st.sampled_from([0x02, 0x04, 0x30, 0x1F, 0xA3]), st.binary(max_size=300)), max_size=5), st.data()
)
def test_until_a_tag_is_as_element_by_element(elements, data):
    text = b"".join(der.tlv(tag, content) for tag, content in elements)
    text = text[: data.draw(st.integers(0, len(text)))]
    fast, slow = reader(text), reader(text)
    try:
        parts = []
        while not slow.at_end and slow.peek() != 0xA3:
            parts.append(slow.raw())
    except Malformed as error:
        with pytest.raises(Malformed, match=re.escape(error.message)):
            fast.until(0xA3)
    else:
        assert fast.until(0xA3) == b"".join(parts)
        assert fast.peek() == slow.peek()


def test_nesting_is_bounded():
    data = b""
    for _ in range(limits.DER_DEPTH + 1):
        data = der.sequence(data)
    it = reader(data)
    for _ in range(limits.DER_DEPTH - 1):
        it = it.enter()
    with pytest.raises(Malformed, match=f"nested deeper than {limits.DER_DEPTH} levels"):
        it.enter()


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_read_whole_or_refused(data):
    it = reader(data)
    elements = []
    try:
        while not it.at_end:
            elements.append(it.raw())
    except Malformed:
        return
    assert b"".join(elements) == data


# --- another implementation --------------------------------------------------------------------------
def test_a_key_of_the_library_is_read_and_built_again():
    encoded = keys.encode_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    spki = reader(encoded).enter()
    algorithm = spki.enter()
    assert (algorithm.oid(), algorithm.oid()) == ("1.2.840.10045.2.1", "1.2.840.10045.3.1.7")
    point, unused = spki.bit_string()
    spki.finish()
    assert unused == 0
    rebuilt = der.sequence(
        der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")), der.bit_string(point)
    )
    assert rebuilt == encoded


def test_openssl_reads_what_is_built(openssl):
    data = der.sequence(
        der.integer(-129),
        der.boolean(True),
        der.oid("2.25.340282366920938463463374607431768211455"),
        der.generalized_time(datetime(2050, 1, 1, tzinfo=UTC)),
        der.utf8_string("grün"),
        der.octet_string(bytes(200)),
    )
    done = subprocess.run([openssl, "asn1parse", "-inform", "DER"], input=data, capture_output=True, check=True)
    text = done.stdout.decode()
    assert "INTEGER           :-81" in text
    assert ":20500101000000Z" in text
    assert "OBJECT            :2.25.340282366920938463463374607431768211455" in text
