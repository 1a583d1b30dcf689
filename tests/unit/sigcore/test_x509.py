# SPDX-License-Identifier: Apache-2.0
"""Reading certificates, PEM, names and subject alternative names."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcore import certify, chain, der, extensions, fulcio, general_name, keys, limits, signatures, x509
from sigcore.errors import Malformed, SigError

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
END = START + timedelta(minutes=10)
ISSUER = certify.name("test issuer", "test organization")
ALGORITHM = signatures.ECDSA_WITH_SHA256


@functools.cache
def private_key(kind: str):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


def spki(kind: str = "p256") -> bytes:
    return keys.encode_public_key(private_key(kind).public_key())


def validity(start: bytes | None = None, end: bytes | None = None) -> bytes:
    return der.sequence(start or der.time(START), end or der.time(END))


def assemble(
    *, outer: bytes = ALGORITHM, signature: bytes | None = None, trailer: bytes = b"", **replaced: bytes
) -> bytes:
    """A certificate whose fields are given as bytes; nobody signed it."""
    fields = {
        "version": der.tlv(der.context(0), der.integer(2)),
        "serial": der.integer(7),
        "algorithm": ALGORITHM,
        "issuer": ISSUER,
        "validity": validity(),
        "subject": der.sequence(),
        "spki": spki(),
        "unique": b"",
        "extensions": der.tlv(der.context(3), der.sequence(certify.encode_extension(extensions.poison()))),
        "more": b"",
    }
    assert set(replaced) <= set(fields)
    tbs = der.sequence(*(fields | replaced).values())
    return der.sequence(tbs, outer, signature or der.bit_string(b"\x30\x00")) + trailer


def extension_field(*items: bytes) -> bytes:
    return der.tlv(der.context(3), der.sequence(*items))


def with_extension(extension: x509.Extension) -> x509.Certificate:
    return x509.parse_certificate(assemble(extensions=extension_field(certify.encode_extension(extension))))


# --- values --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa", "ed25519"])
def test_a_certificate_of_the_library_reads_to_equal_values(kind):
    key = private_key(kind)
    subject = oracle.Name(
        [oracle.NameAttribute(NameOID.COMMON_NAME, "leaf"), oracle.NameAttribute(NameOID.COUNTRY_NAME, "JP")]
    )
    builder = (
        oracle.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(oracle.Name([oracle.NameAttribute(NameOID.ORGANIZATION_NAME, "Orgänisation")]))
        .serial_number(2**159 - 1)
        .not_valid_before(START)
        .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
        .public_key(key.public_key())
        .add_extension(oracle.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(oracle.SubjectAlternativeName([oracle.RFC822Name("a@example.com")]), critical=False)
        .add_extension(oracle.UnrecognizedExtension(oracle.ObjectIdentifier("1.2.3.4"), b"anything"), critical=False)
    )
    made = builder.sign(key, None if kind == "ed25519" else hashes.SHA256())
    data = made.public_bytes(serialization.Encoding.DER)

    read = x509.parse_certificate(data)

    assert read.der == data
    assert read.tbs == made.tbs_certificate_bytes
    assert read.serial == made.serial_number
    assert read.issuer == made.issuer.public_bytes()
    assert read.subject == made.subject.public_bytes()
    assert (read.not_before, read.not_after) == (made.not_valid_before_utc, made.not_valid_after_utc)
    assert read.spki == spki(kind)
    assert read.public_key() == key.public_key()
    assert read.signature == made.signature
    assert [(e.oid, e.critical) for e in read.extensions] == [
        (e.oid.dotted_string, e.critical) for e in made.extensions
    ]
    assert read.extension("1.2.3.4") == x509.Extension("1.2.3.4", critical=False, value=b"anything")
    assert read.extension("1.2.3.5") is None
    assert x509.common_name(read.subject) == "leaf"
    assert x509.organization(read.subject) == ""
    assert x509.organization(read.issuer) == "Orgänisation"
    assert general_name.parse_san(read) == general_name.Email("a@example.com")


def test_the_unsigned_example_of_these_tests_is_readable_by_itself():
    assert x509.parse_certificate(assemble()).serial == 7


def test_a_certificate_without_extensions_is_read():
    assert x509.parse_certificate(assemble(extensions=b"")).extensions == ()


EXTENSION = certify.encode_extension(extensions.poison())
DEFECTS = {
    "the certificate is an X.509 certificate of version 1": dict(version=b"", extensions=b""),
    "the certificate is an X.509 certificate of version 2": dict(version=der.tlv(der.context(0), der.integer(1))),
    "has a serial number that is not positive": dict(serial=der.integer(0)),
    "not positive or longer": dict(serial=der.integer(-5)),
    "longer than 20 octets": dict(serial=der.integer(1 << 160)),
    "INTEGER that is empty or not minimal": dict(serial=b"\x02\x02\x00\x07"),
    "one signature algorithm inside": dict(algorithm=signatures.ECDSA_WITH_SHA384),
    "inside the signed part and another outside": dict(outer=signatures.ED25519),
    "has an empty issuer name": dict(issuer=der.sequence()),
    "the issuer of the certificate has the end": dict(issuer=der.sequence(der.tlv(der.SET))),
    "the subject of the certificate has tag": dict(subject=der.sequence(der.sequence())),
    "a SET that is not in DER order": dict(
        subject=der.sequence(
            der.tlv(
                der.SET,
                der.sequence(der.oid("2.5.4.10"), der.utf8_string("b")),
                der.sequence(der.oid("2.5.4.3"), der.utf8_string("a")),
            )
        )
    ),
    "a notBefore that is not written": dict(validity=validity(start=der.generalized_time(START))),
    "a notAfter that is not written": dict(validity=validity(end=der.tlv(der.GENERALIZED_TIME, b"20510101000000.5Z"))),
    "UTCTime that is not DER": dict(validity=validity(end=der.tlv(der.UTC_TIME, b"2701010000Z"))),
    "no moment of the calendar": dict(validity=validity(end=der.tlv(der.UTC_TIME, b"270230000000Z"))),
    "ends before it begins": dict(validity=validity(start=der.time(END), end=der.time(START))),
    "has a unique identifier": dict(unique=der.tlv(der.context(1, constructed=False), b"\x00\x01")),
    "the extension 1.3.6.1.4.1.11129.2.4.3 twice": dict(extensions=extension_field(EXTENSION, EXTENSION)),
    "expected DER tag 0x30": dict(extensions=extension_field()),
    "spells out a DEFAULT value": dict(
        extensions=extension_field(der.sequence(der.oid("1.2.3"), der.boolean(value=False), der.octet_string(b"")))
    ),
    "expected DER tag 0x04": dict(extensions=extension_field(der.sequence(der.oid("1.2.3"), der.null()))),
    "bytes after its end": dict(more=der.null()),
    "has 2 bytes after its end": dict(trailer=b"\x05\x00"),
    "a signature that is not whole bytes": dict(signature=der.bit_string(b"\x80", 7)),
    "expected DER tag 0x03": dict(signature=der.octet_string(b"")),
}


@pytest.mark.parametrize(("message", "change"), DEFECTS.items(), ids=list(DEFECTS))
def test_each_defect_is_refused_with_its_own_message(message, change):
    with pytest.raises(Malformed, match=message):
        x509.parse_certificate(assemble(**change))


def test_the_message_names_what_was_read():
    with pytest.raises(Malformed, match="the TSA certificate"):
        x509.parse_certificate(b"\x30\x00", what="the TSA certificate")


def test_a_certificate_beyond_the_limit_is_not_even_looked_at():
    with pytest.raises(Malformed, match="the limit is"):
        x509.parse_certificate(b"\x30" * (limits.CERTIFICATE + 1))


def test_a_key_of_an_unsupported_kind_is_refused_when_it_is_asked_for():
    certificate = x509.parse_certificate(
        assemble(spki=der.sequence(der.sequence(der.oid("1.2.3")), der.bit_string(b"")))
    )
    with pytest.raises(Malformed, match="the public key of the certificate"):
        certificate.public_key()


# --- mutations ---------------------------------------------------------------------------------------
def leaf() -> bytes:
    tbs = certify.encode_tbs(
        serial=2**158 + 1,
        issuer=ISSUER,
        not_before=START,
        not_after=END,
        subject=der.sequence(),
        spki=spki(),
        extensions=(
            extensions.key_usage("digitalSignature"),
            extensions.extended_key_usage(x509.EKU_CODE_SIGNING),
            extensions.subject_key_id(spki()),
            extensions.authority_key_id(b"k" * 20),
            extensions.basic_constraints(ca=False),
            extensions.subject_alternative_name(general_name.OtherName("user!example.com")),
            *fulcio.encode_extensions(fulcio.FulcioExtensions(issuer="https://issuer", token_subject="s")),
        ),
    )
    return certify.sign_tbs(tbs, private_key("p256"))


LEAF = leaf()


def test_the_same_signed_part_under_two_signatures_makes_two_certificates():
    first = x509.parse_certificate(LEAF)
    signature = bytes(len(first.signature))
    data = der.sequence(first.tbs, first.signature_algorithm, der.bit_string(signature))
    second = x509.parse_certificate(data)
    assert (second.der, second.signature) == (data, signature)
    assert second != first
    assert replace(second, der=first.der, signature=first.signature) == first


def test_a_defect_of_the_signed_part_is_told_under_each_name():
    data = LEAF.replace(der.integer(2**158 + 1), der.integer(-(2**158) - 1))
    for what in ("the first", "the second", "the first"):
        with pytest.raises(Malformed, match=f"{what} has a serial number that is not positive"):
            x509.parse_certificate(data, what=what)


def read_everything(data: bytes) -> None:
    certificate = x509.parse_certificate(data)
    for reader in (
        general_name.parse_san,
        fulcio.parse_extensions,
        extensions.parse_basic_constraints,
        extensions.parse_key_usage,
        extensions.parse_extended_key_usage,
        extensions.parse_subject_key_id,
        extensions.parse_authority_key_id,
        x509.Certificate.public_key,
        lambda c: x509.common_name(c.subject),
        lambda c: x509.organization(c.issuer),
        lambda c: chain.verify_chain(c, [c], [c], at=START, eku=x509.EKU_CODE_SIGNING),
    ):
        with contextlib.suppress(SigError):
            reader(certificate)


@settings(max_examples=400, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(LEAF) - 1), st.integers(0, 255)), min_size=1, max_size=3),
    cut=st.tuples(st.integers(0, len(LEAF)), st.integers(0, 4)),
)
def test_mutated_der_raises_nothing_but_sigerror(edits, cut):
    data = bytearray(LEAF)
    for position, value in edits:
        data[position] = value
    del data[cut[0] : cut[0] + cut[1]]
    with contextlib.suppress(SigError):
        read_everything(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_sigerror(data):
    with pytest.raises(SigError):
        read_everything(data)


# --- PEM ---------------------------------------------------------------------------------------------
def test_pem_is_what_the_library_writes():
    expected = oracle.load_der_x509_certificate(LEAF).public_bytes(serialization.Encoding.PEM).decode()
    assert x509.encode_certificate_pem(LEAF) == expected
    assert x509.parse_certificate_pem(expected).der == LEAF
    assert x509.parse_certificate_pem(expected.encode()).der == LEAF


def test_several_blocks_in_order_with_blank_lines_and_crlf():
    pem = x509.encode_certificate_pem(LEAF)
    other = x509.encode_certificate_pem(assemble()).replace("\n", "\r\n")
    assert [c.der for c in x509.parse_certificates_pem(f"\n{pem}\n\n{other}\n")] == [LEAF, assemble()]


PEM = x509.encode_certificate_pem(LEAF)
PEM_DEFECTS = {
    "nothing": ("", "is not PEM at character 0"),
    "text before": (f"subject=x\n{PEM}", "is not PEM at character 0"),
    "text between": (f"{PEM}x\n{PEM}", "is not PEM at character"),
    "another label": (PEM.replace("CERTIFICATE", "PUBLIC KEY"), "is not PEM"),
    "no end": (PEM[:-10], "is not PEM"),
    "glued blocks": (PEM.strip() + PEM, "is not PEM"),
    "bad padding": (PEM.replace("\n-----END", "=\n-----END"), "base64"),
    "another alphabet": (PEM.replace("MII", "MI-"), "is not PEM"),
    "nine blocks": (PEM * 9, "more than 8 certificates"),
    "huge": ("\n" * (2**20), "the limit is"),
    "no DER": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "expected DER tag"),
}


@pytest.mark.parametrize(("pem", "message"), PEM_DEFECTS.values(), ids=list(PEM_DEFECTS))
def test_pem_defects(pem, message):
    with pytest.raises(Malformed, match=message):
        x509.parse_certificates_pem(pem)


def test_one_block_means_one():
    with pytest.raises(Malformed, match="has 2 PEM blocks, expected one"):
        x509.parse_certificate_pem(PEM * 2)


def test_pem_bytes_that_are_no_text_are_refused():
    with pytest.raises(Malformed, match="is not PEM"):
        x509.parse_certificates_pem(b"\xff\xfe" + PEM.encode())


# --- names -------------------------------------------------------------------------------------------
def test_the_last_common_name_counts_and_strange_string_types_are_refused():
    first, last = (der.set_of(der.sequence(der.oid("2.5.4.3"), der.utf8_string(text))) for text in ("first", "last"))
    assert x509.common_name(der.sequence(first, last)) == "last"
    bmp = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.tlv(0x1E, b"\x00a"))))
    with pytest.raises(Malformed, match="tag 0x1e"):
        x509.common_name(bmp)


# --- subject alternative names ---------------------------------------------------------------------------
SANS = [
    (general_name.Email("a.b+c@example.com"), [oracle.RFC822Name("a.b+c@example.com")]),
    (
        general_name.Uri("https://example.com/x?y=z#f"),
        [oracle.UniformResourceIdentifier("https://example.com/x?y=z#f")],
    ),
    (
        general_name.OtherName("usér!example.com"),
        [
            oracle.OtherName(
                oracle.ObjectIdentifier(general_name.FULCIO_OTHER_NAME), der.utf8_string("usér!example.com")
            )
        ],
    ),
]


@pytest.mark.parametrize(("san", "general_names"), SANS)
def test_san_forms_have_the_bytes_of_the_library(san, general_names):
    assert general_name.encode_san(san) == oracle.SubjectAlternativeName(general_names).public_bytes()
    assert general_name.parse_san(with_extension(extensions.subject_alternative_name(san))) == san


SAN_DEFECTS = {
    "several subject alternative names": oracle.SubjectAlternativeName(
        [oracle.RFC822Name("a@example.com"), oracle.RFC822Name("b@example.com")]
    ).public_bytes(),
    "is of the form \\[2\\]": oracle.SubjectAlternativeName([oracle.DNSName("example.com")]).public_bytes(),
    "otherName of type 1.2.3,": oracle.SubjectAlternativeName(
        [oracle.OtherName(oracle.ObjectIdentifier("1.2.3"), der.utf8_string("x"))]
    ).public_bytes(),
    "expected DER tag 0x0c": oracle.SubjectAlternativeName(
        [oracle.OtherName(oracle.ObjectIdentifier(general_name.FULCIO_OTHER_NAME), der.null())]
    ).public_bytes(),
    "name is empty": der.sequence(),
    "bytes after its end": general_name.encode_san(general_name.Email("a@example.com")) + b"\x05\x00",
    "is '', expected": der.sequence(der.tlv(0x81)),
    r"is 'a@example.com\\x00.evil', expected": der.sequence(der.tlv(0x81, b"a@example.com\x00.evil")),
    "invalid bytes": der.sequence(der.tlv(0x86, "https://ü".encode())),
}


@pytest.mark.parametrize(("message", "value"), SAN_DEFECTS.items(), ids=list(SAN_DEFECTS))
def test_san_defects(message, value):
    certificate = with_extension(x509.Extension(x509.SUBJECT_ALTERNATIVE_NAME, critical=True, value=value))
    with pytest.raises(Malformed, match=message):
        general_name.parse_san(certificate)


def test_no_san_at_all():
    with pytest.raises(Malformed, match="has no subject alternative name"):
        general_name.parse_san(x509.parse_certificate(assemble()))


@pytest.mark.parametrize(
    "san",
    [
        general_name.Email(""),
        general_name.Email("ü@x"),
        general_name.Uri("a\nb"),
        general_name.OtherName("\ud800"),
        general_name.OtherName("\0"),
    ],
)
def test_values_that_readers_could_take_for_others_are_not_written(san):
    with pytest.raises(Malformed, match="subject alternative name is"):
        general_name.encode_san(san)


@given(st.text(max_size=40), st.sampled_from([general_name.Email, general_name.Uri, general_name.OtherName]))
def test_what_can_be_written_is_read_back(text, form):
    san = form(text)
    try:
        extension = extensions.subject_alternative_name(san)
    except Malformed:
        assert not (text and text.isascii() and text.isprintable())
        return
    assert general_name.parse_san(with_extension(extension)) == san


# --- the key alone -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "ed25519", "rsa"])
def test_the_certified_key_is_that_of_the_whole_certificate(kind):
    data = assemble(spki=spki(kind))
    whole = x509.parse_certificate(data).public_key()
    assert keys.encode_public_key(x509.parse_certified_key(data)) == keys.encode_public_key(whole) == spki(kind)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_key_alone_is_never_another_than_that_of_the_whole(data):
    """Whatever is damaged: where both read a certificate, they read one key, and the short way raises one kind of error."""
    damaged = bytearray(assemble())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = x509.parse_certified_key(bytes(damaged))
    except SigError:
        with pytest.raises(SigError):
            x509.parse_certificate(bytes(damaged)).public_key()
        return
    with contextlib.suppress(SigError):
        whole = x509.parse_certificate(bytes(damaged)).public_key()
        assert keys.encode_public_key(whole) == keys.encode_public_key(found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        assemble(trailer=b"\0"),
        assemble(version=b""),
        assemble(outer=signatures.ECDSA_WITH_SHA384),
        assemble(spki=der.sequence()),
        assemble(more=der.null()),
        assemble(unique=der.tlv(der.context(1, constructed=False), b"\0\1")),
        assemble(signature=der.bit_string(b"\x80", 3)),
        bytes(limits.CERTIFICATE + 1),
    ],
    ids=range(9),
)
def test_what_is_no_certificate_has_no_certified_key(data):
    with pytest.raises(Malformed, match="the verifier's certificate"):
        x509.parse_certified_key(data, what="the verifier's certificate")
