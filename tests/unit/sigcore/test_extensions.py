# SPDX-License-Identifier: Apache-2.0
"""The standard extensions, both ways, against the library's."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import certify, der, extensions, keys, x509
from sigcore.errors import Malformed

KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = keys.encode_public_key(KEY.public_key())


def certificate(*items: x509.Extension) -> x509.Certificate:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    tbs = certify.encode_tbs(
        serial=1,
        issuer=certify.name("ca", "org"),
        not_before=moment,
        not_after=moment,
        subject=der.sequence(),
        spki=SPKI,
        extensions=items,
    )
    return x509.parse_certificate(certify.sign_tbs(tbs, KEY))


def holding(oid: str, value: bytes) -> x509.Certificate:
    return certificate(x509.Extension(oid, critical=False, value=value))


PARSERS = [
    (extensions.BASIC_CONSTRAINTS, extensions.parse_basic_constraints),
    (extensions.KEY_USAGE, extensions.parse_key_usage),
    (extensions.EXTENDED_KEY_USAGE, extensions.parse_extended_key_usage),
    (extensions.SUBJECT_KEY_ID, extensions.parse_subject_key_id),
    (extensions.AUTHORITY_KEY_ID, extensions.parse_authority_key_id),
]


@pytest.mark.parametrize(("oid", "parse"), PARSERS)
def test_absent_is_none_and_rubbish_is_refused(oid, parse):
    assert parse(certificate()) is None
    for rubbish in (b"", b"\xff", b"\x05\x00", b"\x30\x80\x00\x00"):
        with pytest.raises(Malformed):
            parse(holding(oid, rubbish))


@pytest.mark.parametrize(("oid", "parse"), PARSERS)
def test_nothing_may_follow_the_value(oid, parse):
    good = {
        extensions.BASIC_CONSTRAINTS: extensions.basic_constraints(ca=True, path_length=1),
        extensions.KEY_USAGE: extensions.key_usage("cRLSign"),
        extensions.EXTENDED_KEY_USAGE: extensions.extended_key_usage("1.2.3"),
        extensions.SUBJECT_KEY_ID: extensions.subject_key_id(SPKI),
        extensions.AUTHORITY_KEY_ID: extensions.authority_key_id(b"id"),
    }[oid]
    assert parse(certificate(good)) is not None
    with pytest.raises(Malformed, match="after its end"):
        parse(holding(oid, good.value + b"\x05\x00"))


@pytest.mark.parametrize(("ca", "path_length"), [(False, None), (True, None), (True, 0), (True, 1), (True, 200)])
def test_basic_constraints(ca, path_length):
    written = extensions.basic_constraints(ca=ca, path_length=path_length)
    assert written.value == oracle.BasicConstraints(ca=ca, path_length=path_length).public_bytes()
    assert extensions.parse_basic_constraints(certificate(written)) == extensions.BasicConstraints(
        ca=ca, path_length=path_length, critical=True
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (der.sequence(der.integer(0)), "not of a CA"),
        (der.sequence(der.boolean(value=True), der.integer(-1)), "negative"),
        (der.sequence(der.boolean(value=False)), "DEFAULT"),
        (der.sequence(b"\x01\x01\x01"), "neither 00 nor ff"),
        (der.sequence(der.boolean(value=True), der.integer(0), der.integer(0)), "after its end"),
    ],
)
def test_basic_constraints_defects(value, message):
    with pytest.raises(Malformed, match=message):
        extensions.parse_basic_constraints(holding(extensions.BASIC_CONSTRAINTS, value))


def library_key_usage(usages) -> bytes:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    bits = zip(extensions._USAGES, names, strict=True)
    return oracle.KeyUsage(**{name: usage in usages for usage, name in bits}).public_bytes()


def test_key_usage_in_every_combination_the_library_can_write():
    for count in range(1, len(extensions._USAGES) + 1):
        for usages in itertools.combinations(extensions._USAGES, count):
            if {"encipherOnly", "decipherOnly"} & set(usages) and "keyAgreement" not in usages:
                continue
            written = extensions.key_usage(*usages)
            assert written.value == library_key_usage(usages)
            read = extensions.parse_key_usage(holding(extensions.KEY_USAGE, written.value))
            assert read == frozenset(usages)


@pytest.mark.parametrize(
    "value",
    [
        der.bit_string(b""),
        der.bit_string(b"\x80", 6),
        der.bit_string(b"\x80\x00", 7),
        der.bit_string(b"\x00", 7),
        der.bit_string(b"\x80\x40", 6),
        der.bit_string(b"\x80\x80\x80", 7),
    ],
)
def test_key_usage_defects(value):
    with pytest.raises(Malformed, match="keyUsage is empty, has unknown bits, or is not the shortest form"):
        extensions.parse_key_usage(holding(extensions.KEY_USAGE, value))


@pytest.mark.parametrize("critical", [False, True])
def test_extended_key_usage(critical):
    purposes = ("1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8")
    written = extensions.extended_key_usage(*purposes, critical=critical)
    assert written.critical is critical
    assert written.value == oracle.ExtendedKeyUsage([oracle.ObjectIdentifier(p) for p in purposes]).public_bytes()
    assert extensions.parse_extended_key_usage(certificate(written)) == purposes


def test_extended_key_usage_has_at_least_one_purpose():
    with pytest.raises(Malformed, match="the end"):
        extensions.parse_extended_key_usage(holding(extensions.EXTENDED_KEY_USAGE, der.sequence()))


def test_key_identifiers():
    subject = extensions.subject_key_id(SPKI)
    digest = extensions.key_identifier(SPKI)
    assert len(digest) == 20
    assert subject.value == oracle.SubjectKeyIdentifier(digest).public_bytes()
    assert extensions.parse_subject_key_id(certificate(subject)) == digest
    authority = extensions.authority_key_id(digest)
    assert authority.value == oracle.AuthorityKeyIdentifier(digest, None, None).public_bytes()
    assert extensions.parse_authority_key_id(certificate(authority)) == digest


def test_authority_key_id_with_issuer_and_serial_number():
    issuer = [oracle.DirectoryName(oracle.Name([oracle.NameAttribute(oracle.NameOID.COMMON_NAME, "x")]))]
    full = oracle.AuthorityKeyIdentifier(b"id", issuer, 5).public_bytes()
    assert extensions.parse_authority_key_id(holding(extensions.AUTHORITY_KEY_ID, full)) == b"id"
    without = oracle.AuthorityKeyIdentifier(None, issuer, 5).public_bytes()
    assert extensions.parse_authority_key_id(holding(extensions.AUTHORITY_KEY_ID, without)) is None
    half = der.sequence(der.tlv(0x82, b"\x05"))
    with pytest.raises(Malformed, match="after its end"):
        extensions.parse_authority_key_id(holding(extensions.AUTHORITY_KEY_ID, half))


def test_poison_and_sct_list_are_the_librarys():
    assert extensions.poison().value == oracle.PrecertPoison().public_bytes()
    assert extensions.poison().critical
    assert extensions.sct_list(b"\0\2\0\0") == x509.Extension(
        "1.3.6.1.4.1.11129.2.4.2", critical=False, value=b"\x04\x04\0\2\0\0"
    )
