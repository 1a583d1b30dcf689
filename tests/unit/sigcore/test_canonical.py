# SPDX-License-Identifier: Apache-2.0
"""RFC 8785: its own examples, known awkward values, and another implementation as oracle."""

from __future__ import annotations

import json
import math
import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sigcore import canonical
from sigcore.errors import Malformed
from sigcore.strict import parse_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
BIT_PATTERNS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack(">d", bits.to_bytes(8, "big"))[0])
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | DOUBLES | TEXTS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXTS, children, max_size=6),
    max_leaves=20,
)


def test_the_sample_of_rfc_8785_section_3_2_2():
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical.encode(value) == expected.encode()


def test_the_sorting_sample_of_rfc_8785_section_3_2_3():
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical.encode(value))) == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


NUMBERS_OF_APPENDIX_B = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS_OF_APPENDIX_B.items())
def test_the_numbers_of_rfc_8785_appendix_b(bits, text):
    [value] = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical.encode(value) == text.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ([], "[]"),
        ("", '""'),
        ({"": ""}, '{"":""}'),
        ([True, 1, 1.0, False, 0, -0.0], "[true,1,1,false,0,0]"),
        ({"b": 1, "a": {"d": 2, "c": 3}}, '{"a":{"c":3,"d":2},"b":1}'),
        ({"a": 1, "A": 2, "aa": 3, "_": 4}, '{"A":2,"_":4,"a":1,"aa":3}'),
        ("\x00\x07\b\t\n\x0b\f\r\x1b\x1f", '"\\u0000\\u0007\\b\\t\\n\\u000b\\f\\r\\u001b\\u001f"'),
        ("\x7f\x80\u2028\u2029/<>&+", '"\x7f\x80\u2028\u2029/<>&+"'),
        ("e\u0301", '"e\u0301"'),
        (2**53 - 1, "9007199254740991"),
        (100.0, "100"),
        (123456789012345680000.0, "123456789012345680000"),
        (0.00001, "0.00001"),
        (1.5e-7, "1.5e-7"),
    ],
)
def test_awkward_values(value, text):
    assert canonical.encode(value) == text.encode() == rfc8785.dumps(value)


def nested(depth):
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "no form for nan"),
        (math.inf, "no form for inf"),
        ([-math.inf], "no form for -inf"),
        (2**53, "beyond 2"),
        (-(2**53), "beyond 2"),
        (10**5000, "beyond 2"),
        ("\ud800", r"lone surrogate: '\\ud800'"),
        ({"\udfff": 1}, "lone surrogate"),
        ({"a": "\udc00\ud800"}, "lone surrogate"),
        (nested(65), "nested deeper than 64"),
        (nested(100_000), "nested deeper than 64"),
        (b"bytes", "value of type bytes"),
        ((1, 2), "value of type tuple"),
        ({1: 2}, "member name is of type int"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form(value, message):
    with pytest.raises(Malformed, match=message):
        canonical.encode(value)


def test_the_deepest_value_that_is_allowed():
    assert canonical.encode(nested(64)) == b"[" * 64 + b"]" * 64


@given(VALUES)
def test_agrees_with_the_oracle(value):
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(BIT_PATTERNS.filter(math.isfinite))
def test_doubles_agree_with_the_oracle_and_read_back(value):
    data = canonical.encode(value)
    assert data == rfc8785.dumps(value)
    assert float(data) == value


@given(VALUES.filter(lambda value: not has_large_integral_double(value)))
def test_encoding_is_idempotent(value):
    data = canonical.encode(value)
    parsed = parse_json(data, what="value", limit=1 << 20, floats=True)
    assert canonical.encode(parsed) == data


def has_large_integral_double(value):
    """Doubles from 2**53 to 1e21 are spelled like integers, which no reader of integers may trust."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) > canonical.MAX_INTEGER
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(has_large_integral_double, children))


@given(st.dictionaries(TEXTS, INTEGERS, min_size=2))
def test_the_order_of_insertion_does_not_matter(members):
    assert canonical.encode(members) == canonical.encode(dict(reversed(members.items())))
