# SPDX-License-Identifier: Apache-2.0
"""Certificates of ours, judged by the library, by openssl and by ourselves."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import verification

from sigcore import certify, chain, der, extensions, fulcio, general_name, keys, signatures, x509
from sigcore.errors import Malformed, Refused
from tests.missing import needs

START = datetime(2026, 1, 31, 12, 0, 0, 999999, tzinfo=UTC)
DAY = timedelta(days=1)
ROOT = certify.Subject("test root", "test organization", START, START + 3650 * DAY)
INTERMEDIATE = certify.Subject("test intermediate", "test organization", START, START + 365 * DAY)
SERVICE = certify.Subject("test service", "test organization", START, START + 30 * DAY)
SANS = [
    general_name.Email("a@example.com"),
    general_name.Uri("https://example.com/a"),
    general_name.OtherName("user!example.com"),
]


def key():
    return ec.generate_private_key(ec.SECP256R1())


def spki(private) -> bytes:
    return keys.encode_public_key(private.public_key())


class Chain:
    """Root, intermediate and Fulcio-like leaf with their keys."""

    def __init__(self, eku: str = x509.EKU_CODE_SIGNING) -> None:
        self.root_key, self.intermediate_key, self.leaf_key = key(), key(), key()
        self.root = x509.parse_certificate(certify.make_root(self.root_key, ROOT))
        made = certify.make_intermediate(self.root, self.root_key, spki(self.intermediate_key), INTERMEDIATE, eku=eku)
        self.intermediate = x509.parse_certificate(made)

    def leaf(self, san: general_name.San) -> x509.Certificate:
        issuer_key_id = extensions.parse_subject_key_id(self.intermediate)
        assert issuer_key_id is not None
        tbs = certify.encode_tbs(
            serial=certify.random_serial(),
            issuer=self.intermediate.subject,
            not_before=START,
            not_after=START + timedelta(minutes=10),
            subject=der.sequence(),
            spki=spki(self.leaf_key),
            extensions=(
                extensions.key_usage("digitalSignature"),
                extensions.extended_key_usage(x509.EKU_CODE_SIGNING),
                extensions.subject_key_id(spki(self.leaf_key)),
                extensions.authority_key_id(issuer_key_id),
                extensions.subject_alternative_name(san),
                *fulcio.encode_extensions(fulcio.FulcioExtensions(issuer="https://issuer.example")),
            ),
        )
        return x509.parse_certificate(certify.sign_tbs(tbs, self.intermediate_key))


@pytest.fixture(scope="module")
def ours() -> Chain:
    return Chain()


def library(certificate: x509.Certificate) -> oracle.Certificate:
    return oracle.load_der_x509_certificate(certificate.der)


# --- profile -------------------------------------------------------------------------------------------
def listed(certificate: x509.Certificate):
    return [(extension.value, extension.critical) for extension in library(certificate).extensions]


def usage(**names: bool) -> oracle.KeyUsage:
    every = (
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
    return oracle.KeyUsage(**{name: name in names for name in every})


def test_the_root_has_the_profile(ours):
    root = library(ours.root)
    identifier = oracle.SubjectKeyIdentifier(extensions.key_identifier(ours.root.spki))
    assert listed(ours.root) == [
        (oracle.BasicConstraints(ca=True, path_length=None), True),
        (usage(key_cert_sign=True, crl_sign=True), True),
        (identifier, False),
    ]
    assert root.subject == root.issuer
    assert root.subject.rfc4514_string() == "CN=test root,O=test organization"
    assert (root.not_valid_before_utc, root.not_valid_after_utc) == (
        START.replace(microsecond=0),
        ROOT.not_after.replace(microsecond=0),
    )
    assert 0 < root.serial_number < 2**159


@pytest.mark.parametrize("eku", [x509.EKU_CODE_SIGNING, x509.EKU_TIME_STAMPING])
def test_the_intermediate_has_the_profile(eku):
    made = Chain(eku)
    assert listed(made.intermediate) == [
        (oracle.BasicConstraints(ca=True, path_length=0), True),
        (usage(key_cert_sign=True, crl_sign=True), True),
        (oracle.ExtendedKeyUsage([oracle.ObjectIdentifier(eku)]), False),
        (oracle.SubjectKeyIdentifier(extensions.key_identifier(made.intermediate.spki)), False),
        (oracle.AuthorityKeyIdentifier(extensions.key_identifier(made.root.spki), None, None), False),
    ]


def test_the_tsa_leaf_has_a_critical_purpose():
    made = Chain(x509.EKU_TIME_STAMPING)
    private = key()
    data = certify.make_leaf(
        made.intermediate, made.intermediate_key, spki(private), SERVICE, eku=x509.EKU_TIME_STAMPING
    )
    leaf = x509.parse_certificate(data)
    assert listed(leaf)[:2] == [
        (usage(digital_signature=True), True),
        (oracle.ExtendedKeyUsage([oracle.ExtendedKeyUsageOID.TIME_STAMPING]), True),
    ]
    path = chain.verify_chain(leaf, [made.intermediate], [made.root], at=START, eku=x509.EKU_TIME_STAMPING)
    assert path == (leaf, made.intermediate, made.root)


# --- the library's judgement -----------------------------------------------------------------------------
def test_the_library_finds_each_directly_issued(ours):
    leaf, intermediate, root = map(library, (ours.leaf(SANS[0]), ours.intermediate, ours.root))
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)


@pytest.mark.parametrize("san", SANS[:2])  # its verification refuses every otherName
def test_the_verification_of_sigstore_python_passes(ours, san):
    lenient_purpose = (oracle.ExtendedKeyUsage, verification.Criticality.NON_CRITICAL, None)
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([library(ours.root), library(ours.intermediate)]))
        .time(START)
        .extension_policies(
            ca_policy=verification.ExtensionPolicy.webpki_defaults_ca().may_be_present(*lenient_purpose),
            ee_policy=verification.ExtensionPolicy.webpki_defaults_ee().may_be_present(*lenient_purpose),
        )
        .build_client_verifier()
    )
    leaf = library(ours.leaf(san))
    assert verifier.verify(leaf, []).chain[0] == leaf


# --- openssl's judgement ---------------------------------------------------------------------------------
openssl = needs("openssl", "openssl")


def run(*arguments: str, data: str | None = None) -> str:
    return subprocess.run(["openssl", *arguments], input=data, text=True, capture_output=True, check=True).stdout


@openssl
@pytest.mark.parametrize("san", SANS)
def test_openssl_verifies_the_chain(ours, san, tmp_path):
    leaf = ours.leaf(san)
    for name, certificate in {"root": ours.root, "intermediate": ours.intermediate, "leaf": leaf}.items():
        (tmp_path / name).write_text(x509.encode_certificate_pem(certificate.der))
    seconds = str(int(START.timestamp()) + 1)
    root, intermediate, own = (str(tmp_path / name) for name in ("root", "intermediate", "leaf"))
    arguments = ("-x509_strict", "-check_ss_sig", "-purpose", "any", "-attime", seconds, "-CAfile", root)
    assert run("verify", *arguments, "-untrusted", intermediate, own) == f"{own}: OK\n"


@openssl
@pytest.mark.parametrize(
    ("san", "shown"),
    [
        (SANS[0], "email:a@example.com"),
        (SANS[1], "URI:https://example.com/a"),
        (SANS[2], "othername: 1.3.6.1.4.1.57264.1.7::user!example.com"),
    ],
)
def test_openssl_shows_one_critical_name_and_nothing_unexpected(ours, san, shown):
    text = run("x509", "-noout", "-text", data=x509.encode_certificate_pem(ours.leaf(san).der))
    lines = [line.strip() for line in text.splitlines()]
    position = lines.index("X509v3 Subject Alternative Name: critical")
    assert lines[position + 1] == shown
    assert text.count("Subject Alternative Name") == 1
    assert lines[lines.index("X509v3 Key Usage: critical") + 1] == "Digital Signature"
    assert lines[lines.index("X509v3 Extended Key Usage:") + 1] == "Code Signing"
    assert "Signature Algorithm: ecdsa-with-SHA256" in lines


# --- bytes -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("which", ["root", "intermediate", "leaf"])
def test_the_fields_that_were_read_give_the_same_tbs(ours, which):
    certificate = {"root": ours.root, "intermediate": ours.intermediate, "leaf": ours.leaf(SANS[0])}[which]
    again = certify.encode_tbs(
        serial=certificate.serial,
        issuer=certificate.issuer,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        subject=certificate.subject,
        spki=certificate.spki,
        extensions=certificate.extensions,
        algorithm=certificate.signature_algorithm,
    )
    assert again == certificate.tbs


def test_the_tbs_is_the_librarys():
    private = key()
    made = (
        oracle.CertificateBuilder()
        .subject_name(oracle.Name([]))
        .issuer_name(
            oracle.Name(
                [
                    oracle.NameAttribute(oracle.NameOID.ORGANIZATION_NAME, "test organization"),
                    oracle.NameAttribute(oracle.NameOID.COMMON_NAME, "test ca"),
                ]
            )
        )
        .serial_number(2**158)
        .not_valid_before(START.replace(microsecond=0))
        .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
        .public_key(private.public_key())
        .add_extension(usage(digital_signature=True), critical=True)
        .add_extension(oracle.SubjectAlternativeName([oracle.RFC822Name("a@example.com")]), critical=True)
        .sign(private, signatures._ALGORITHMS[0].hash)
    )
    tbs = certify.encode_tbs(
        serial=2**158,
        issuer=certify.name("test ca", "test organization"),
        not_before=START,
        not_after=datetime(2050, 1, 1, tzinfo=UTC),
        subject=der.sequence(),
        spki=spki(private),
        extensions=(extensions.key_usage("digitalSignature"), extensions.subject_alternative_name(SANS[0])),
    )
    assert tbs == made.tbs_certificate_bytes
    assert x509.parse_certificate(made.public_bytes(serialization.Encoding.DER)).tbs == tbs


def test_serial_numbers_are_positive_differ_and_fit_into_20_octets():
    serials = {certify.random_serial() for _ in range(1000)}
    assert len(serials) == 1000
    assert all(0 < serial < 2**159 for serial in serials)
    assert max(serials).bit_length() == 159


# --- refusals --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "x" * 65, "line\nbreak", "nul\0"])
def test_names_that_certificates_cannot_carry(text):
    with pytest.raises(Malformed, match="printable characters"):
        certify.name(text, "organization")
    with pytest.raises(Malformed, match="printable characters"):
        certify.name("name", text)


@pytest.mark.parametrize(
    "subject",
    [replace(SERVICE, not_before=START - DAY), replace(SERVICE, not_after=INTERMEDIATE.not_after + DAY)],
)
def test_a_validity_outside_the_issuers_is_refused(ours, subject):
    with pytest.raises(Refused, match="valid when its issuer is not"):
        certify.make_leaf(ours.intermediate, ours.intermediate_key, spki(key()), subject, eku=x509.EKU_CODE_SIGNING)


def test_a_validity_that_ends_before_it_begins_is_refused():
    with pytest.raises(Malformed, match="the new root has a validity that ends before it begins"):
        certify.make_root(key(), replace(ROOT, not_after=START - DAY))


def test_another_key_than_the_issuers_is_noticed_before_the_certificate_leaves(ours):
    with pytest.raises(Refused, match="does not verify"):
        certify.make_leaf(ours.intermediate, key(), spki(key()), SERVICE, eku=x509.EKU_CODE_SIGNING)
    with pytest.raises(Refused, match="does not verify"):
        certify.make_intermediate(ours.root, key(), spki(key()), INTERMEDIATE, eku=x509.EKU_CODE_SIGNING)


def test_no_ca_below_a_ca_that_allows_none(ours):
    with pytest.raises(Refused, match="pathLenConstraint is 0, too short"):
        certify.make_intermediate(
            ours.intermediate, ours.intermediate_key, spki(key()), SERVICE, eku=x509.EKU_CODE_SIGNING
        )


def test_no_leaf_for_a_purpose_that_the_issuer_does_not_have(ours):
    with pytest.raises(Refused, match=r"may not issue for the purpose 1\.3\.6\.1\.5\.5\.7\.3\.8"):
        certify.make_leaf(ours.intermediate, ours.intermediate_key, spki(key()), SERVICE, eku=x509.EKU_TIME_STAMPING)


def test_no_leaf_below_a_leaf(ours):
    made = certify.make_leaf(
        ours.intermediate, ours.intermediate_key, spki(ours.leaf_key), SERVICE, eku=x509.EKU_CODE_SIGNING
    )
    with pytest.raises(Refused, match="is no CA"):
        certify.make_leaf(x509.parse_certificate(made), ours.leaf_key, spki(key()), SERVICE, eku=x509.EKU_CODE_SIGNING)


def test_weak_keys_are_not_certified(ours):
    weak = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(Refused, match="curve secp256k1"):
        certify.make_leaf(ours.intermediate, ours.intermediate_key, spki(weak), SERVICE, eku=x509.EKU_CODE_SIGNING)
    with pytest.raises(Refused, match="curve secp256k1"):
        certify.make_root(weak, ROOT)


def test_a_tbs_is_signed_with_the_algorithm_that_it_names(ours):
    with pytest.raises(Refused, match="does not fit"):
        certify.sign_tbs(ours.root.tbs, ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    "private",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p384", "ed25519", "rsa"],
)
def test_roots_with_other_keys_verify_in_the_library_too(private):
    root = x509.parse_certificate(certify.make_root(private, ROOT))
    assert root.signature_algorithm == signatures.algorithm_for(private)
    library(root).verify_directly_issued_by(library(root))
