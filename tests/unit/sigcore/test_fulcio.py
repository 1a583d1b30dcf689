# SPDX-License-Identifier: Apache-2.0
"""Fulcio's extension table, both ways."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import certify, der, fulcio, keys, x509
from sigcore.errors import Malformed

NAMES = [field.name for field in fields(fulcio.FulcioExtensions)]
RAW_ARCS = dict(zip(range(1, 7), NAMES[:6], strict=True))
DER_ARCS = {8: "issuer"} | dict(zip(range(9, 25), NAMES[6:], strict=True))
KEY = keys.generate_p256()


def certificate(extensions) -> x509.Certificate:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    tbs = certify.encode_tbs(
        serial=1,
        issuer=certify.name("ca", "org"),
        not_before=moment,
        not_after=moment,
        subject=der.sequence(),
        spki=keys.encode_public_key(KEY.public_key()),
        extensions=extensions,
    )
    return x509.parse_certificate(certify.sign_tbs(tbs, KEY))


def row(arc: int, value: bytes) -> x509.Extension:
    return x509.Extension(f"1.3.6.1.4.1.57264.1.{arc}", critical=False, value=value)


def test_all_rows_in_fulcios_order_with_their_encoding():
    values = fulcio.FulcioExtensions(**{name: f"value of {name}" for name in NAMES})
    written = fulcio.encode_extensions(values)
    expected = [row(arc, f"value of {name}".encode()) for arc, name in RAW_ARCS.items()]
    expected += [row(arc, der.utf8_string(f"value of {name}")) for arc, name in DER_ARCS.items()]
    assert list(written) == expected
    assert [int(extension.oid.rpartition(".")[2]) for extension in written] == [*range(1, 7), *range(8, 25)]
    assert fulcio.parse_extensions(certificate(written)) == values


STRANGE = ["a\0b", "\x0c\x03abc", "0\x00", "é\u202e", " ", "-----BEGIN", "x" * 2000]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_each_field_alone_keeps_any_text_as_it_is(name, text):
    values = fulcio.FulcioExtensions(**{name: text})
    written = fulcio.encode_extensions(values)
    assert len(written) == (2 if name == "issuer" else 1)
    assert fulcio.parse_extensions(certificate(written)) == values


@given(st.builds(fulcio.FulcioExtensions, **{name: st.text(max_size=20) for name in NAMES}))
def test_round_trip(values):
    assert fulcio.parse_extensions(certificate(fulcio.encode_extensions(values))) == values


@given(st.builds(fulcio.FulcioExtensions, **{name: st.text(max_size=20) for name in NAMES}))
def test_all_at_once_is_one_after_the_other(values):
    for _ in range(2):
        assert fulcio.encode_all(values) == b"".join(map(certify.encode_extension, fulcio.encode_extensions(values)))


def test_long_values_at_once_are_the_same():
    values = fulcio.FulcioExtensions(issuer="i" * 300, token_subject="s" * 70_000)
    assert fulcio.encode_all(values) == b"".join(map(certify.encode_extension, fulcio.encode_extensions(values)))


def test_empty_values_are_left_out_and_absent_ones_are_empty():
    assert fulcio.encode_extensions(fulcio.FulcioExtensions()) == ()
    assert fulcio.parse_extensions(certificate(())) == fulcio.FulcioExtensions()


@pytest.mark.parametrize("extension", [row(1, b"https://i"), row(8, der.utf8_string("https://i"))])
def test_one_of_the_two_issuers_is_enough(extension):
    assert fulcio.parse_extensions(certificate((extension,))).issuer == "https://i"


def test_two_issuers_that_differ_are_refused():
    with pytest.raises(Malformed, match="names two issuers, 'https://a' and 'https://b'"):
        fulcio.parse_extensions(certificate((row(1, b"https://a"), row(8, der.utf8_string("https://b")))))


DEFECTS = {
    "raw text in a DER arc": (row(24, b"sub"), "expected DER tag 0x0c"),
    "another string type": (row(9, der.tlv(der.IA5_STRING, b"uri")), "expected DER tag 0x0c"),
    "something after the string": (
        row(9, der.utf8_string("uri") + b"\0"),
        "the extension build_signer_uri has 1 bytes after",
    ),
    "raw bytes that are no UTF-8": (row(1, b"\xff"), "the extension issuer has a string with invalid bytes"),
    "DER bytes that are no UTF-8": (row(8, b"\x0c\x01\xff"), "the extension issuer has a string with invalid bytes"),
}


@pytest.mark.parametrize(("extension", "message"), DEFECTS.values(), ids=list(DEFECTS))
def test_values_in_the_wrong_form(extension, message):
    with pytest.raises(Malformed, match=message):
        fulcio.parse_extensions(certificate((extension,)))


@pytest.mark.parametrize("name", ["issuer", "token_subject"])
def test_a_lone_surrogate_cannot_be_written(name):
    with pytest.raises(Malformed, match="not Unicode text"):
        fulcio.encode_extensions(replace(fulcio.FulcioExtensions(), **{name: "\ud800"}))


def test_the_type_of_othername_and_unknown_arcs_are_no_extensions():
    strangers = (row(7, b"\xff"), row(25, b"\xff"))
    assert fulcio.parse_extensions(certificate(strangers)) == fulcio.FulcioExtensions()
