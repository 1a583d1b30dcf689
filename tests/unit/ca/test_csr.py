# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from ca.csr import parse_csr
from sigcore import der
from sigcore.errors import Malformed, Refused, SigError
from sigcore.keys import encode_public_key
from sigcore.strict import encode_base64
from tests.unit.ca.test_possession import HOSTILE

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def request(key=P256, hashed=None, padding_=None, *, extensions=()):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashed or hashes.SHA256()
    return builder.sign(key, algorithm, rsa_padding=padding_)


def pem(csr, label="CERTIFICATE REQUEST"):
    text = csr if isinstance(csr, bytes) else csr.public_bytes(serialization.Encoding.DER)
    body = encode_base64(text)
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def spki(key):
    return encode_public_key(key.public_key())


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (P256, hashes.SHA256()),
        (P256, hashes.SHA384()),
        (P256, hashes.SHA512()),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
        (ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()),
        (RSA, hashes.SHA256()),
        (RSA, hashes.SHA512()),
        (ed25519.Ed25519PrivateKey.generate(), None),
    ],
)
def test_the_key_of_a_good_request(key, hashed):
    assert encode_public_key(parse_csr(pem(request(key, hashed)))) == spki(key)


def test_the_request_that_sigstore_python_sends():
    basic = (x509.BasicConstraints(ca=False, path_length=None), True)
    sent = request(extensions=[basic]).public_bytes(serialization.Encoding.PEM)
    assert encode_public_key(parse_csr(sent)) == spki(P256)


@pytest.mark.parametrize(
    "form", [lambda p: p.replace(b"\n", b"\r\n"), lambda p: p.rstrip(), lambda p: b"\n" + p + b"\n"]
)
def test_line_ends_do_not_matter(form):
    assert encode_public_key(parse_csr(form(pem(request())))) == spki(P256)


def test_the_old_label_is_read_too():
    parse_csr(pem(request(), "NEW CERTIFICATE REQUEST"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        request().public_bytes(serialization.Encoding.DER),
        pem(request(), "CERTIFICATE"),
        pem(request()).replace(b"BEGIN CERT", b"BEGIN NEW CERT"),
        pem(request()) * 2,
        b"Attributes\n" + pem(request()),
        pem(request()).replace(b"\nM", b"\n*"),
        pem(b""),
        pem(b"\x30\x00"),
        pem(request().public_bytes(serialization.Encoding.DER)[:-1]),
        pem(request().public_bytes(serialization.Encoding.DER) + b"\x00"),
        pem(
            der.sequence(
                der.sequence(der.integer(0)), der.sequence(der.oid("1.2.840.10045.4.3.2")), der.bit_string(b"")
            )
        ),
        b"-----BEGIN CERTIFICATE REQUEST-----" + b"\n" * 16_000,
        b"\n" * 20_000,
    ],
)
def test_what_is_no_request_is_malformed(text):
    with pytest.raises(Malformed):
        parse_csr(text)


def rebuilt(*, version=0, signature=None, algorithm=None, key=P256):
    """A request for ``key`` put together by hand, with one part replaced."""
    info = der.sequence(der.integer(version), der.sequence(), spki(key), der.tlv(der.context(0)))
    algorithm = algorithm or der.sequence(der.oid("1.2.840.10045.4.3.2"))
    return pem(der.sequence(info, algorithm, der.bit_string(signature or P256.sign(info, ec.ECDSA(hashes.SHA256())))))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_keys_are_refused_in_a_request_too(name):
    """A07: before any signature is looked at."""
    info = der.sequence(der.integer(0), der.sequence(), HOSTILE[name], der.tlv(der.context(0)))
    data = der.sequence(info, der.sequence(der.oid("1.2.840.10045.4.3.2")), der.bit_string(b"\x00"))
    with pytest.raises(SigError) as refused:
        parse_csr(pem(data))
    assert "own signature" not in str(refused.value)


def test_a_signature_that_is_not_whole_bytes_is_malformed():
    whole = request().public_bytes(serialization.Encoding.DER)
    info, algorithm, signature = _parts(whole)
    with pytest.raises(Malformed, match="whole number of bytes"):
        parse_csr(pem(der.sequence(info, algorithm, der.bit_string(signature + b"\x00", 1))))


def _parts(data):
    reader = der.Reader(data, "the request").enter()
    return reader.raw(), reader.raw(), reader.bit_string()[0]


def test_the_frame_of_the_following_tests_is_good():
    parse_csr(rebuilt())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "version 1"),
        ({"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"}, "does not verify"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "does not verify"),
        ({"algorithm": der.sequence(der.oid("1.2.840.10045.4.1"))}, "not supported"),
        ({"algorithm": der.sequence(der.oid("1.2.840.113549.1.1.11"), der.null())}, "does not fit"),
        ({"algorithm": der.sequence(der.oid("1.2.840.10045.4.3.2"), der.null())}, "not supported"),
        ({"algorithm": der.sequence(der.oid("1.3.101.112"))}, "does not fit"),
        ({"algorithm": der.sequence(der.oid("1.2.840.10045.4.3.2"), der.null(), der.null())}, "not supported"),
        ({"key": ec.generate_private_key(ec.SECP256K1())}, "secp256k1"),
    ],
)
def test_each_defect_has_its_message(changes, message):
    with pytest.raises(SigError, match=message):
        parse_csr(rebuilt(**changes))


@pytest.mark.parametrize(
    ("key", "hashed", "padding_"),
    [
        (RSA, hashes.SHA256(), padding.PSS(padding.MGF1(hashes.SHA256()), 32)),
        (P256, hashes.SHA224(), None),
        (P256, hashes.SHA3_256(), None),
        (rsa.generate_private_key(65537, 1024), hashes.SHA256(), None),  # noqa: S505 - refused, that is the test
        (ec.generate_private_key(ec.SECP224R1()), hashes.SHA256(), None),
    ],
)
def test_other_algorithms_and_weak_keys_are_refused(key, hashed, padding_):
    with pytest.raises(Refused):
        parse_csr(pem(request(key, hashed, padding_)))
