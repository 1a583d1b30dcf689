# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import limits, strict
from sigcore.errors import Malformed
from sigcore.strict import Fields

TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-limits.INT64_MAX, limits.INT64_MAX) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def parse(data: bytes | str, **options: object) -> strict.JSON:
    return strict.parse_json(data, what="it", **{"limit": 10_000, **options})


# --- what may stand in a message -------------------------------------------------------------------
def test_shown_is_quoted_escaped_and_cut():
    assert strict.shown("a") == "'a'"
    assert strict.shown("\x1b[2J\n\u202e") == r"'\x1b[2J\n\u202e'"
    assert strict.shown("x" * 100, 10) == "'xxxxxx..."
    assert len(strict.shown("x" * 1000)) == 60


# --- JSON ------------------------------------------------------------------------------------------
@given(VALUES)
def test_json_reads_what_json_wrote(value):
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[1,]", "it is not JSON"),
        ("1 2", "it is not JSON"),
        ("'a'", "it is not JSON"),
        ("\ufeff{}", "it is not JSON"),
        (b"\xff", "it is not UTF-8 (byte 0)"),
        (b'"\xc0\x80"', "it is not UTF-8 (byte 1)"),
        ('{"a":1,"a":1}', "duplicate member name"),
        ('{"a":1,"\\u0061":2}', "duplicate member name"),
        ('[{"b":{"a":1,"a":2}}]', "duplicate member name"),
        ("NaN", "it has NaN, which is not JSON"),
        ("[-Infinity]", "it has -Infinity, which is not JSON"),
        ("9223372036854775808", "integer beyond 64 bits"),
        ("-9223372036854775808", "integer beyond 64 bits"),
        ("1" * 5000, "integer beyond 64 bits"),
        ("1.0", "the number '1.0', expected an integer"),
        ("1e3", "the number '1e3', expected an integer"),
        ('"\\ud800"', "a lone surrogate"),
        ('{"\\udfff":1}', "a lone surrogate"),
        ('["\\ude00\\ud83d"]', "a lone surrogate"),
        ("[" * 70 + "]" * 70, "nested deeper than 64 levels"),
        ("[" * 4000, "it is n"),
        (b"\x00", "it is not JSON"),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(data, message):
    with pytest.raises(Malformed, match=re.escape(message)):
        parse(data)


MEMBERS = st.recursive(
    st.integers(-9, 9) | st.sampled_from(["", "a", "b:", "\n", "\\", '"', "{", "\u00e9", "\u2014"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(["", "a", "b", "\u2014"]), inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)
"""Values with objects as tuples of (name, value), in which a name may come twice."""


def spelt(value: object, *, ascii_only: bool) -> str:
    if isinstance(value, tuple):
        members = (f"{spelt(n, ascii_only=ascii_only)}: {spelt(v, ascii_only=ascii_only)}" for n, v in value)
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(spelt(v, ascii_only=ascii_only) for v in value)}]"
    return json.dumps(value, ensure_ascii=ascii_only)


def read(value: object) -> object:
    """The value as a reader has it who takes no name twice; ValueError where one is."""
    if isinstance(value, tuple):
        if len({name for name, _ in value}) != len(value):
            raise ValueError
        return {name: read(member) for name, member in value}
    return [read(member) for member in value] if isinstance(value, list) else value


@given(MEMBERS, st.booleans())
def test_a_name_that_comes_twice_is_found_in_every_place(value, ascii_only):
    text = spelt(value, ascii_only=ascii_only)
    try:
        expected = read(value)
    except ValueError:
        with pytest.raises(Malformed, match="duplicate member name"):
            parse(text)
    else:
        assert parse(text) == expected
        assert parse(text.encode()) == expected


PIECES = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"a"',
    '"\\u2014"',
    '"\u2014"',
    "\\",
    "\\u2014",
    "\\u0061",
    "\\ud800",
    "u2014",
]
PIECES += ["1", "-0", "1e3", "1.5", "NaN", "null", "true", " ", "\n", "\ufeff", "9" * 19, "9" * 25]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.sampled_from(["%s", "[%s]", '{"a":%s}', '"%s"']))
def test_the_fast_way_reads_nothing_that_the_close_one_does_not(pieces, around):
    text = around % pieces
    for data in (text, text.encode()):
        found = strict._parse_plain(data)
        if found is not None:
            assert found == strict._parse_closely(data, "it", floats=False)


def test_nesting_far_beyond_the_interpreters_stack_is_refused_not_raised():
    with pytest.raises(Malformed, match="nested"):
        parse("[" * 200_000 + "]" * 200_000, limit=500_000)


def test_json_bounds_are_where_they_are_said_to_be():
    assert parse(f"[{limits.INT64_MAX},{-limits.INT64_MAX}]") == [limits.INT64_MAX, -limits.INT64_MAX]
    assert parse("[]", limit=2) == []
    with pytest.raises(Malformed, match="it is 3 bytes long, the limit is 2"):
        parse("[] ", limit=2)
    depth = limits.JSON_DEPTH
    parse("[" * depth + "]" * depth)
    with pytest.raises(Malformed, match="nested deeper"):
        parse("[" * (depth + 1) + "]" * (depth + 1))


def test_fractions_are_read_only_when_asked_for_and_never_infinite():
    assert parse("[0.5, 1e2]", floats=True) == [0.5, 100.0]
    with pytest.raises(Malformed, match="'1e999'"):
        parse("1e999", floats=True)


def test_a_surrogate_pair_is_one_character():
    assert parse('"\\ud83d\\ude00"') == "\U0001f600"


# --- base64, hex, decimal --------------------------------------------------------------------------
@given(st.binary(max_size=100))
def test_text_forms_of_bytes_come_back(data):
    assert strict.parse_base64(strict.encode_base64(data), what="it") == data
    assert strict.parse_base64url(strict.encode_base64url(data), what="it") == data
    assert strict.parse_hex(data.hex(), what="it", size=len(data)) == data


@pytest.mark.parametrize(
    "text", ["QQ", "QQ=", "QQ===", "QR==", "Q Q=", "QQ==\n", "QQ=\u003d\u00a0", "_-8=", "=", "Ā==="]
)
def test_base64_has_one_spelling(text):
    with pytest.raises(Malformed, match=r"^it is not (canonical )?base64"):
        strict.parse_base64(text, what="it")


@pytest.mark.parametrize("length", range(6))
def test_texts_in_base64_are_read_as_one_by_one(length):
    """Every text of up to five characters of each sort: what begins, ends, leaves bits over, pads, or is no Base64."""
    for characters in product("AQgwB8/=\n-", repeat=length):
        text = "".join(characters)
        try:
            expected = [strict.parse_base64(text, what="it"), b"A"]
        except Malformed:
            expected = None
        for order in (1, -1):
            try:
                found = strict.parse_base64_texts([text.encode(), b"QQ=="][::order], what="it")
            except Malformed:
                found = None
            assert found == (expected and expected[::order]), text


@pytest.mark.parametrize("text", ["QQ==", "QR", "+/8", "Q", "QQ\n", "Q.Q", "é"])
def test_base64url_has_one_spelling(text):
    with pytest.raises(Malformed, match=r"^it is not (canonical )?base64url"):
        strict.parse_base64url(text, what="it")


@pytest.mark.parametrize("text", ["0", "0A", "0g", " 00", "00\n", "0x00", "\u0660\u0660"])
def test_hex_is_lower_case_and_whole(text):
    with pytest.raises(Malformed, match=r"^it is not (lower-case )?hexadecimal"):
        strict.parse_hex(text, what="it")


def test_hex_of_the_wrong_size_names_both_sizes():
    with pytest.raises(Malformed, match="it has 1 bytes, expected 32"):
        strict.parse_hex("00", what="it", size=32)


@given(st.integers(0, limits.INT64_MAX))
def test_decimals_come_back(number):
    assert strict.parse_decimal(str(number), what="it") == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "01", "00", " 1", "1 ", "1\n", "1_0", "٣", "0x1", "1.0", "1e2", "9" * 19]
)
def test_a_decimal_has_no_sign_zero_space_or_second_spelling(text):
    with pytest.raises(Malformed, match="expected a decimal number from 0 to"):
        strict.parse_decimal(text, what="it")


def test_a_decimal_keeps_to_its_maximum():
    assert strict.parse_decimal("256", what="it", maximum=256) == 256
    with pytest.raises(Malformed, match="from 0 to 256"):
        strict.parse_decimal("257", what="it", maximum=256)


# --- time, OID -------------------------------------------------------------------------------------
@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9000, 1, 1)))  # noqa: DTZ001 - made aware below
def test_times_come_back(moment):
    moment = moment.replace(tzinfo=UTC)
    assert strict.parse_time(strict.encode_time(moment), what="it") == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00.5Z", datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456789Z", datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_are_read_to_the_microsecond_in_utc(text, expected):
    moment = strict.parse_time(text, what="it")
    assert moment == expected
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00Z\n",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:01Z",
        "2026-01-31T12:00:00+99:00",
        "0001-01-01T00:00:00+23:59",
        "٢٠٢٦-01-31T12:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Malformed, match=r"^it is '"):
        strict.parse_time(text, what="it")


def test_encoded_times_are_in_utc_with_fractions_only_where_there_are_some():
    zone = timezone(timedelta(hours=2))
    assert strict.encode_time(datetime(2026, 1, 31, 12, tzinfo=zone)) == "2026-01-31T10:00:00Z"
    assert strict.encode_time(datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)) == "2026-01-31T12:00:00.000005Z"


def test_object_identifiers_are_arcs():
    assert strict.parse_oid("1.3.6.1.4.1.57264.1.8", what="it") == (1, 3, 6, 1, 4, 1, 57264, 1, 8)
    assert strict.parse_oid(f"2.25.{2**128 - 1}", what="it")[-1] == 2**128 - 1


@pytest.mark.parametrize(
    "text", ["", "1", "3.1", "1.40", "1.03", "1.3.", ".1.3", "1..3", "1.3\n", "1.-3", "1.3.x", f"2.25.{2**128}"]
)
def test_what_is_no_object_identifier_is_refused(text):
    with pytest.raises(Malformed, match=r"^it "):
        strict.parse_oid(text, what="it")


def test_object_identifiers_are_bounded_before_any_number_is_made():
    for text in ("1.3" + ".1" * 31, "1." + "9" * 600):
        with pytest.raises(Malformed):
            strict.parse_oid(text, what="it")


# --- Fields ----------------------------------------------------------------------------------------
def fields(text: str, *, proto: bool = False) -> Fields:
    return Fields.parse(text, what="it", limit=10_000, proto=proto)


def test_members_are_read_by_their_type():
    it = fields(
        '{"t":"x","n":3,"b":true,"s":"17","m":"2026-01-01T00:00:00Z","d":"AQI=","o":{"i":1},"l":[{"i":2}],"x":["y"]}'
    )
    assert (it.text("t"), it.integer("n"), it.boolean("b"), it.int64("s")) == ("x", 3, True, 17)
    assert it.time("m") == datetime(2026, 1, 1, tzinfo=UTC)
    assert it.base64("d", limit=2) == b"\x01\x02"
    assert it.object("o").integer("i") == 1
    assert [member.integer("i") for member in it.objects("l", limit=1)] == [2]
    assert it.texts("x", limit=1) == ("y",)
    assert "t" in it
    assert "z" not in it
    assert it.names()[:2] == ("t", "n")
    assert it.raw()["n"] == 3


def test_absent_members_have_defaults_only_where_they_are_optional():
    it = fields("{}")
    assert (it.optional_text("t"), it.optional_text("t", "d")) == ("", "d")
    assert it.optional_time("m") is None
    assert it.optional_object("o") is None
    assert it.objects("l", limit=1) == it.texts("x", limit=1) == ()
    for read in (it.text, it.integer, it.int64, it.boolean, it.time, it.object):
        with pytest.raises(Malformed, match=r"^it\.a is missing$"):
            read("a")


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        ("text", "3", "it.a is a number, expected a string"),
        ("text", "null", "it.a is null, expected a string"),
        ("integer", "true", "it.a is a boolean, expected an integer"),
        ("integer", '"3"', "it.a is a string, expected an integer"),
        ("int64", "-1", "it.a is '-1', expected a decimal number"),
        ("int64", "[]", "it.a is an array, expected a decimal string"),
        ("int64", "true", "it.a is a boolean, expected a decimal string"),
        ("boolean", "1", "it.a is a number, expected true or false"),
        ("object", "[]", "it.a is an array, expected an object"),
        ("time", '"now"', "it.a is 'now', expected a time"),
    ],
)
def test_a_member_of_the_wrong_type_is_named_with_its_path(read, text, message):
    with pytest.raises(Malformed, match=re.escape(message)):
        getattr(fields(f'{{"a":{text}}}'), read)("a")


def test_nested_paths_say_where():
    it = fields('{"a":{"b":[{"c":1},{"c":"x"}],"s":["y",1]}}').object("a")
    with pytest.raises(Malformed, match=re.escape("it.a.b[1].c is a string, expected an integer")):
        it.objects("b", limit=2)[1].integer("c")
    with pytest.raises(Malformed, match=re.escape("it.a.s[1] is a number, expected a string")):
        it.texts("s", limit=2)
    with pytest.raises(Malformed, match=re.escape("it.a.b has 2 elements, the limit is 1")):
        it.objects("b", limit=1)
    with pytest.raises(Malformed, match=re.escape("it.a is an object, expected an array")):
        fields('{"a":{}}').objects("a", limit=1)


def test_lengths_are_bounded():
    it = fields('{"a":"xxxx"}')
    assert it.text("a", limit=4) == "xxxx"
    with pytest.raises(Malformed, match="4 characters long, the limit is 3"):
        it.text("a", limit=3)
    with pytest.raises(Malformed, match="characters long"):
        fields(f'{{"a":"{"QUFB" * 10}"}}').base64("a", limit=3)


def test_only_and_one_of_refuse_what_they_do_not_know():
    it = fields('{"a":1,"b":2}')
    it.only("a", "b", "c")
    with pytest.raises(Malformed, match="unknown member 'b'"):
        it.only("a")
    assert it.one_of("a", "x") == "a"
    with pytest.raises(Malformed, match="it has a and b of a, b, expected exactly one"):
        it.one_of("a", "b")
    with pytest.raises(Malformed, match="it has none of x, y"):
        it.one_of("x", "y")


def test_what_is_no_object_is_refused():
    with pytest.raises(Malformed, match="it is an array, expected an object"):
        fields("[]")


def test_proto_json_reads_both_spellings_and_null_as_absent():
    it = fields('{"log_index":"3","treeSize":4,"promise":null,"inner":{"raw_bytes":"AA=="}}', proto=True)
    assert (it.int64("logIndex"), it.int64("treeSize")) == (3, 4)
    assert "promise" not in it
    assert it.object("inner").base64("rawBytes", limit=1) == b"\0"
    with pytest.raises(Malformed, match="in camelCase and in snake_case"):
        fields('{"log_index":"3","logIndex":"3"}', proto=True)
    with pytest.raises(Malformed, match=r"it\.logIndex is missing"):
        fields('{"log_index":"3"}').int64("logIndex")
