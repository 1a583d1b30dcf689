# SPDX-License-Identifier: Apache-2.0
"""SCTs and precertificates; certificates and the oracles for both come from the cryptography library."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as pyca
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from sigcore import der, keys, precertificate, sct, x509
from sigcore.errors import Malformed, Refused, SigError
from sigcore.sct import PrecertEntry, SignedCertificateTimestamp, X509Entry

CA_KEY = ec.derive_private_key(5, ec.SECP256R1())
LOG_KEY = ec.derive_private_key(6, ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
LEAF_KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(8, ec.SECP256R1())
CA_SPKI = keys.encode_public_key(CA_KEY.public_key())
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)

entry_values = st.builds(X509Entry, st.binary(max_size=300)) | st.builds(
    PrecertEntry, st.binary(min_size=32, max_size=32), st.binary(max_size=300)
)
uint64 = st.integers(0, 2**64 - 1)
sct_values = st.builds(
    SignedCertificateTimestamp,
    log_id=st.binary(min_size=32, max_size=32),
    timestamp_ms=uint64,
    extensions=st.binary(max_size=40),
    signature=st.binary(max_size=120),
    signature_algorithm=st.sampled_from([1, 3]),
)


# --- certificates -------------------------------------------------------------------------------------------
def name(text):
    return pyca.Name([pyca.NameAttribute(pyca.NameOID.COMMON_NAME, text)] if text else [])


EMAIL = pyca.SubjectAlternativeName([pyca.RFC822Name("someone@example.com")])
USAGE = pyca.ExtendedKeyUsage([pyca.ExtendedKeyUsageOID.CODE_SIGNING])


def certificate(*extensions, serial=42, issuer="CA", start=NOW, subject="", key=LEAF_KEY, hash_=None):
    """A certificate with ``extensions``, each (value, critical), in this order."""
    end = start + timedelta(minutes=10)
    builder = pyca.CertificateBuilder(name(issuer), name(subject), key.public_key(), serial, start, end)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    signed = builder.sign(CA_KEY, hash_ or hashes.SHA256())
    return x509.parse_certificate(signed.public_bytes(serialization.Encoding.DER))


def sct_list(*scts):
    value = der.octet_string(sct.encode_sct_list(scts))
    return pyca.UnrecognizedExtension(pyca.ObjectIdentifier(sct.SCT_LIST_OID), value), False


def poison(value=b"\x05\x00", *, critical=True):
    return pyca.UnrecognizedExtension(pyca.ObjectIdentifier(sct.POISON_OID), value), critical


PLAIN = ((EMAIL, True), (USAGE, False))
SCT = SignedCertificateTimestamp(bytes(32), NOW_MS, b"", b"signature")
PRECERT = certificate(*PLAIN, poison())
FINAL = certificate(*PLAIN, sct_list(SCT))


# --- layouts ------------------------------------------------------------------------------------------------
def test_the_layout_of_a_precertificate_leaf():
    leaf = sct.encode_leaf(PrecertEntry(b"k" * 32, b"TBS"), 0x0102030405060708, b"ext")
    assert leaf == (
        b"\x00" b"\x00" b"\x01\x02\x03\x04\x05\x06\x07\x08" b"\x00\x01" + b"k" * 32 + b"\x00\x00\x03TBS" b"\x00\x03ext"
    )  # fmt: skip
    assert sct.encode_leaf(X509Entry(b"DER"), 1) == bytes(9) + b"\x01\x00\x00\x00\x00\x03DER\x00\x00"


def test_an_sct_signs_the_bytes_of_its_leaf():
    """Version and type happen to be 0 in both structures (sections 3.2 and 3.4)."""
    for entry in (X509Entry(b"DER"), PrecertEntry(b"k" * 32, b"TBS")):
        assert sct.signed_data(entry, 1, b"ext") == sct.encode_leaf(entry, 1, b"ext")


def test_the_layout_of_an_sct_and_of_a_tree_head():
    value = SignedCertificateTimestamp(b"l" * 32, 1, b"e", b"sig", 1)
    signed = b"\x04\x01\x00\x03sig"
    assert sct.encode_digitally_signed(value) == signed
    assert sct.encode_sct(value) == b"\x00" + b"l" * 32 + bytes(7) + b"\x01\x00\x01e" + signed
    size = len(sct.encode_sct(value))
    framed = bytes((0, size)) + sct.encode_sct(value)
    assert sct.encode_sct_list((value, value)) == bytes((0, 2 * size + 4)) + framed + framed
    assert sct.sth_signed_data(3, 2, b"r" * 32) == b"\x00\x01" + bytes(7) + b"\x02" + bytes(7) + b"\x03" + b"r" * 32


def test_hashes_have_32_bytes():
    for encode in (
        lambda: sct.sth_signed_data(1, 1, bytes(31)),
        lambda: sct.encode_sct(replace(SCT, log_id=bytes(33))),
        lambda: sct.encode_leaf(PrecertEntry(bytes(31), b""), 1),
    ):
        with pytest.raises(Malformed, match="expected 32"):
            encode()


def test_numbers_have_bounds():
    for timestamp_ms in (-1, 2**64):
        with pytest.raises(Malformed, match="does not fit into 8 bytes"):
            sct.encode_leaf(X509Entry(b""), timestamp_ms)
    with pytest.raises(Malformed, match="does not fit into 3 bytes"):
        sct.encode_leaf(X509Entry(bytes(1 << 24)), 0)


@given(entry_values, uint64, st.binary(max_size=40))
def test_leaves_round_trip(entry, timestamp_ms, extensions):
    data = sct.encode_leaf(entry, timestamp_ms, extensions)
    assert sct.parse_leaf(data) == (entry, timestamp_ms, extensions)


@given(st.lists(sct_values, min_size=1, max_size=4))
def test_scts_round_trip(scts):
    data = sct.encode_sct_list(scts)
    assert sct.parse_sct_list(data) == tuple(scts)
    for value in scts:
        assert sct.parse_sct(sct.encode_sct(value)) == value
        signed = sct.encode_digitally_signed(value)
        assert sct.parse_digitally_signed(signed) == (value.signature_algorithm, value.signature)


@given(st.binary(max_size=200), st.data())
def test_what_parses_is_its_own_encoding(noise, data):
    leaf = sct.encode_leaf(PrecertEntry(bytes(32), b"TBS"), 1)
    listed = sct.encode_sct_list((SCT,))
    for parse, encode, good in (
        (sct.parse_leaf, lambda value: sct.encode_leaf(*value), leaf),
        (sct.parse_sct, sct.encode_sct, listed[4:]),
        (sct.parse_sct_list, sct.encode_sct_list, listed),
        (sct.parse_digitally_signed, lambda value: sct.encode_digitally_signed(
            replace(SCT, signature_algorithm=value[0], signature=value[1])), listed[-13:]),
    ):  # fmt: skip
        position = data.draw(st.integers(0, len(good) - 1))
        byte = data.draw(st.binary(min_size=1, max_size=1))
        for candidate in (noise, good[:position] + byte + good[position + 1 :], good[:position], good + byte):
            try:
                value = parse(candidate)
            except SigError:
                continue
            assert encode(value) == candidate
        assert encode(parse(good)) == good


def patched(data, position, value):
    return data[:position] + bytes((value,)) + data[position + 1 :]


LEAF = sct.encode_leaf(X509Entry(b"DER"), 1)
ENCODED = sct.encode_sct(SCT)
HASH_AT = 1 + 32 + 8 + 2


@pytest.mark.parametrize(
    ("parse", "data", "message"),
    [
        (sct.parse_leaf, patched(LEAF, 0, 1), "version 1, expected 0"),
        (sct.parse_leaf, patched(LEAF, 1, 1), "leaf type 1, expected 0"),
        (sct.parse_leaf, patched(LEAF, 11, 2), "entry type 2, expected 0 or 1"),
        (sct.parse_leaf, LEAF + b"\x00", "1 bytes after its end"),
        (sct.parse_sct, patched(ENCODED, 0, 1), "the SCT has version 1, expected 0"),
        (sct.parse_sct, patched(ENCODED, HASH_AT, 2), "hash algorithm 2, expected 4"),
        (sct.parse_sct, patched(ENCODED, HASH_AT + 1, 2), "signature algorithm 2, expected 3 or 1"),
        (sct.parse_sct, ENCODED + b"\x00", "1 bytes after its end"),
        (sct.parse_sct, ENCODED[:-1], "ends at byte"),
        (sct.parse_sct_list, b"", "ends at byte 0"),
        (sct.parse_sct_list, b"\x00\x00", "list is empty"),
        (sct.parse_sct_list, b"\x00\x02\x00\x00", "the SCT ends at byte 0"),
        (sct.parse_sct_list, sct.encode_sct_list((SCT,)) + b"\x00", "1 bytes after its end"),
        (sct.parse_digitally_signed, b"\x04\x03\x04\x01" + bytes(1025), "vector of 1025 bytes, the limit is 1024"),
        (sct.parse_digitally_signed, b"\x04\x03\x00\x00\x00", "1 bytes after its end"),
    ],
)
def test_malformed_structures(parse, data, message):
    with pytest.raises(Malformed, match=message):
        parse(data)


def test_an_empty_list_is_not_written():
    with pytest.raises(Malformed, match="at least one"):
        sct.encode_sct_list(())


# --- signatures -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", [LOG_KEY, RSA_KEY], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize(
    "entry", [X509Entry(b"DER"), precertificate.precert_entry(PRECERT, CA_SPKI)], ids=["x509", "precert"]
)
def test_sign_then_verify(key, entry):
    signed = sct.sign_sct(entry, NOW_MS, key)
    sct.verify_sct(sct.parse_sct(sct.encode_sct(signed)), entry, key.public_key())
    assert signed.log_id == hashlib.sha256(keys.encode_public_key(key.public_key())).digest()
    for bad in (
        replace(signed, timestamp_ms=NOW_MS + 1),
        replace(signed, extensions=b"\x00"),
        replace(signed, signature=signed.signature[:-1] + bytes((signed.signature[-1] ^ 1,))),
        replace(signed, signature=b""),
    ):
        with pytest.raises(Refused, match="SCT's signature does not verify"):
            sct.verify_sct(bad, entry, key.public_key())
    with pytest.raises(Refused, match="the SCT is of the log"):
        sct.verify_sct(replace(signed, log_id=bytes(32)), entry, key.public_key())
    with pytest.raises(Refused, match="the SCT is of the log"):
        sct.verify_sct(signed, entry, OTHER_KEY.public_key())
    other = 4 - signed.signature_algorithm
    with pytest.raises(Refused, match=f"signature algorithm {other}, the log's key needs {signed.signature_algorithm}"):
        sct.verify_sct(replace(signed, signature_algorithm=other), entry, key.public_key())


def test_an_sct_holds_for_its_entry_only():
    entry = precertificate.precert_entry(PRECERT, CA_SPKI)
    signed = sct.sign_sct(entry, NOW_MS, LOG_KEY)
    for other in (
        replace(entry, issuer_key_hash=bytes(32)),
        replace(entry, tbs=entry.tbs + b"\x00"),
        X509Entry(entry.tbs),
    ):
        with pytest.raises(Refused, match="does not verify"):
            sct.verify_sct(signed, other, LOG_KEY.public_key())


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())], ids=["ed25519", "p384"]
)
def test_keys_that_rfc_6962_does_not_know_are_refused(key):
    with pytest.raises(Refused, match="neither ECDSA P-256 nor RSA"):
        sct.sign_sct(X509Entry(b""), 1, key)
    log_id = keys.key_id(keys.encode_public_key(key.public_key()))
    with pytest.raises(Refused, match="neither ECDSA P-256 nor RSA"):
        sct.verify_sct(replace(SCT, log_id=log_id), X509Entry(b""), key.public_key())


def test_the_library_reads_and_verifies_what_we_embed():
    signed = sct.sign_sct(precertificate.precert_entry(PRECERT, CA_SPKI), NOW_MS, LOG_KEY)
    final = certificate(*PLAIN, sct_list(signed))
    [read] = pyca.load_der_x509_certificate(final.der).extensions.get_extension_for_class(
        pyca.PrecertificateSignedCertificateTimestamps
    ).value  # fmt: skip
    assert (read.log_id, read.timestamp) == (signed.log_id, NOW.replace(tzinfo=None))
    assert read.signature == signed.signature
    assert sct.embedded_scts(final) == (signed,)
    sct.verify_sct(signed, precertificate.precert_entry(final, CA_SPKI), LOG_KEY.public_key())


def test_certificates_without_a_readable_list():
    with pytest.raises(Refused, match="no SCT list"):
        sct.embedded_scts(PRECERT)
    oid = pyca.ObjectIdentifier(sct.SCT_LIST_OID)
    bare = sct.encode_sct_list((SCT,))
    for value in (bare, der.octet_string(bare) + b"\x00", der.octet_string(bare + b"\x00"), b""):
        with pytest.raises(Malformed, match="SCT list"):
            sct.embedded_scts(certificate(*PLAIN, (pyca.UnrecognizedExtension(oid, value), False)))


# --- precertificates --------------------------------------------------------------------------------------------
def test_the_tbs_is_what_the_library_takes_out():
    assert precertificate.precert_tbs(FINAL) == pyca.load_der_x509_certificate(FINAL.der).tbs_precertificate_bytes


@pytest.mark.parametrize("at", range(len(PLAIN) + 1))
def test_the_tbs_is_that_of_the_certificate_without_the_two_extensions(at):
    plain = certificate(*PLAIN)
    assert precertificate.precert_tbs(plain) == plain.tbs
    for extra in ((poison(),), (sct_list(SCT),), (sct_list(SCT), poison())):
        assert precertificate.precert_tbs(certificate(*PLAIN[:at], *extra, *PLAIN[at:])) == plain.tbs


def test_a_list_of_extensions_that_becomes_empty_is_left_out():
    tbs = precertificate.precert_tbs(certificate(poison()))
    reader = der.Reader(tbs, "TBS").enter()
    tags = []
    while not reader.at_end:
        tags.append(reader.element()[0])
    assert tags[-1] == der.SEQUENCE
    assert len(tags) == 7


def test_the_issuer_is_bound_by_its_key():
    entry = precertificate.precert_entry(PRECERT, CA_SPKI)
    assert entry == PrecertEntry(hashlib.sha256(CA_SPKI).digest(), certificate(*PLAIN).tbs)


def test_a_final_certificate_corresponds_to_its_precertificate():
    precertificate.correspond(PRECERT, FINAL)
    precertificate.correspond(certificate(poison(), *PLAIN), FINAL)


URI = pyca.SubjectAlternativeName([pyca.UniformResourceIdentifier("https://example.com")])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"serial": 43}, "the serial number"),
        ({"hash_": hashes.SHA384()}, "the signature algorithm"),
        ({"issuer": "CB"}, "the issuer"),
        ({"start": NOW + timedelta(seconds=1)}, "the validity"),
        ({"subject": "someone"}, "the subject"),
        ({"key": OTHER_KEY}, "the public key"),
        ({"extensions": ((URI, True), (USAGE, False))}, "the extensions"),
        ({"extensions": ((EMAIL, False), (USAGE, False))}, "the extensions"),
        ({"extensions": ((USAGE, False), (EMAIL, True))}, "the extensions"),
        ({"extensions": ((EMAIL, True),)}, "the extensions"),
        ({"extensions": ()}, "the extensions"),
    ],
)
def test_each_changed_field_is_refused_by_name(change, field):
    change = dict(change)
    extensions = change.pop("extensions", PLAIN)
    with pytest.raises(Refused, match=f"differs from its precertificate in {field}"):
        precertificate.correspond(PRECERT, certificate(*extensions, sct_list(SCT), **change))
    with pytest.raises(Refused, match=f"differs from its precertificate in {field}"):
        precertificate.correspond(certificate(*extensions, poison(), **change), FINAL)


@pytest.mark.parametrize(
    ("precert", "final", "message"),
    [
        (FINAL, FINAL, "precertificate has no critical poison"),
        (certificate(*PLAIN), FINAL, "precertificate has no critical poison"),
        (certificate(*PLAIN, poison(critical=False)), FINAL, "precertificate has no critical poison"),
        (certificate(*PLAIN, poison(b"\x05\x01\x00")), FINAL, "precertificate has no critical poison"),
        (certificate(*PLAIN, poison(), sct_list(SCT)), FINAL, "precertificate has an SCT list"),
        (PRECERT, PRECERT, "final certificate has the poison"),
        (PRECERT, certificate(*PLAIN, sct_list(SCT), poison()), "final certificate has the poison"),
        (PRECERT, certificate(*PLAIN), "final certificate has no SCT list"),
    ],
)
def test_the_two_extensions_are_where_they_belong(precert, final, message):
    with pytest.raises(Refused, match=message):
        precertificate.correspond(precert, final)
