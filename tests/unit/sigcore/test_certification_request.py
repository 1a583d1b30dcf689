# SPDX-License-Identifier: Apache-2.0
"""Requests of ours, as cryptography reads them; and names as people write them."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import certify, extensions, keys
from sigcore.certification_request import encode_request_pem, subject_name
from sigcore.errors import Malformed
from sigcore.x509 import EKU_CODE_SIGNING

WANTED = (extensions.basic_constraints(ca=True, path_length=0), extensions.extended_key_usage(EKU_CODE_SIGNING))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_another_library_reads_name_key_and_extensions(curve: ec.EllipticCurve):
    key = ec.generate_private_key(curve)
    pem = encode_request_pem(subject_name("CN=Signing\\, CA,OU=Build,O=ACME,DC=corp,C=JP"), key, WANTED)
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert request.subject.rfc4514_string() == "CN=Signing\\, CA,OU=Build,O=ACME,DC=corp,C=JP"
    constraints = request.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    purposes = request.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert [purpose.dotted_string for purpose in purposes.value] == [EKU_CODE_SIGNING]


def test_a_name_of_two_parts_is_that_of_our_own_certificates():
    assert subject_name(" cn=Signing CA , O = ACME ") == certify.name("Signing CA", "ACME")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no common name"),
        ("O=ACME", "no common name"),
        ("CN=", "expected 1 to 64"),
        (f"CN={'x' * 65}", "expected 1 to 64"),
        ("CN=a\nb", "expected 1 to 64"),
        ("CN=ok,UID=7", "has the part"),
        ("CN=ok,ACME", "has the part"),
        ("CN=ok,C=Japan", "two letters"),
        ("CN=ok,DC=日本", "expected ASCII"),
    ],
)
def test_what_is_no_name_is_refused_by_its_defect(text: str, said: str):
    with pytest.raises(Malformed, match=said):
        subject_name(text)


def test_each_request_is_of_the_key_that_it_names():
    key, other = keys.generate_p256(), keys.generate_p256()
    read = x509.load_pem_x509_csr(encode_request_pem(subject_name("CN=a"), key, WANTED).encode())
    assert read.public_key() != other.public_key()
