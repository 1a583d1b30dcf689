# SPDX-License-Identifier: Apache-2.0
"""What the template issues: equal to a plain builder's bytes, and believed by openssl, rfc3161-client and ourselves (S07)."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from rfc3161_client import VerifierBuilder, decode_timestamp_response

from sigcore import cms, der, timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Refused
from sigcore.timestamp_signer import TimestampSigner
from sigcore.tst_info import TimestampInfo

MESSAGE = b"a signature, raw"
KINDS = ["p256", "p384", "p521", "rsa"]


def info_at(now: datetime, hashing: HashAlgorithm = HashAlgorithm.SHA2_256, nonce: int | None = 2**63) -> TimestampInfo:
    return TimestampInfo("1.3.6.1.4.1.57264.2", hashing, hashing.digest(MESSAGE), 2**150 + 1, now, nonce, 1_000_000)


# --- the oracle: one expression per type of the specifications, no template ------------------------------
def plain_response(info: TimestampInfo, chain, certificates: int, signature: bytes) -> tuple[bytes, bytes]:
    """(response, what its signature is over) as RFC 3161 and RFC 5652 write them down."""
    size = getattr(chain.key, "curve", None) and chain.key.curve.key_size
    hashing = {256: "sha256", 384: "sha384", 521: "sha512", None: "sha256"}[size]
    digest_oid = {"sha256": "1", "sha384": "2", "sha512": "3"}[hashing]
    digest_algorithm = der.sequence(der.oid(f"2.16.840.1.101.3.4.2.{digest_oid}"))
    if size:
        last = {"sha256": 2, "sha384": 3, "sha512": 4}[hashing]
        signature_algorithm = der.sequence(der.oid(f"1.2.840.10045.4.3.{last}"))
    else:
        signature_algorithm = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.null())
    imprint_oid = {32: 1, 48: 2, 64: 3}[len(info.digest)]
    imprint_algorithm = der.sequence(der.oid(f"2.16.840.1.101.3.4.2.{imprint_oid}"), der.null())
    stamp = f"{info.time:%Y%m%d%H%M%S}Z".encode()
    tst = der.sequence(
        der.integer(1),
        der.oid(info.policy),
        der.sequence(imprint_algorithm, der.octet_string(info.digest)),
        der.integer(info.serial),
        der.tlv(der.GENERALIZED_TIME, stamp),
        der.sequence(der.integer(1)),
        b"" if info.nonce is None else der.integer(info.nonce),
    )
    signing_time = der.tlv(der.UTC_TIME, stamp[2:]) if info.time.year < 2050 else der.tlv(der.GENERALIZED_TIME, stamp)
    leaf = chain.leaf
    ess = der.sequence(
        der.octet_string(hashlib.sha256(leaf.der).digest()),
        der.sequence(der.sequence(der.tlv(0xA4, leaf.issuer)), der.integer(leaf.serial)),
    )
    attributes = sorted(
        der.sequence(der.oid(oid), der.tlv(der.SET, value))
        for oid, value in {
            "1.2.840.113549.1.9.3": der.oid("1.2.840.113549.1.9.16.1.4"),
            "1.2.840.113549.1.9.5": signing_time,
            "1.2.840.113549.1.9.4": der.octet_string(hashlib.new(hashing, tst).digest()),
            "1.2.840.113549.1.9.16.2.47": der.sequence(der.sequence(ess)),
        }.items()
    )
    signer = der.sequence(
        der.integer(1),
        der.sequence(leaf.issuer, der.integer(leaf.serial)),
        digest_algorithm,
        der.tlv(0xA0, *attributes),
        signature_algorithm,
        der.octet_string(signature),
    )
    embedded = sorted(c.der for c in chain.certificates[:certificates])
    signed_data = der.sequence(
        der.integer(3),
        der.tlv(der.SET, digest_algorithm),
        der.sequence(der.oid("1.2.840.113549.1.9.16.1.4"), der.tlv(0xA0, der.octet_string(tst))),
        der.tlv(0xA0, *embedded) if embedded else b"",
        der.tlv(der.SET, signer),
    )
    token = der.sequence(der.oid("1.2.840.113549.1.7.2"), der.tlv(0xA0, signed_data))
    return der.sequence(der.sequence(der.integer(0)), token), der.tlv(der.SET, *attributes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hashing", HashAlgorithm)
@pytest.mark.parametrize("certificates", [0, 2])
def test_the_template_writes_what_a_plain_builder_writes(chains, now, kind, hashing, certificates):
    chain = chains[kind]
    signer = TimestampSigner.of(chain.key, chain.leaf, chain.certificates[1:-1])
    for moment in (now, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)):
        for nonce in (None, 0, 2**255):
            info = info_at(moment, hashing, nonce)
            response = signer.encode_granted(info, certificates=certificates > 0)
            token = timestamp.parse_response(response).token
            expected, signed = plain_response(info, chain, certificates, token.signer.signature)
            assert response == expected
            assert token.signer.signed == signed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("certificates", [True, False])
def test_s07_everyone_believes_the_response(chains, now, tmp_path: Path, kind, certificates):
    chain = chains[kind]
    signer = TimestampSigner.of(chain.key, chain.leaf, chain.certificates[1:-1])
    data = signer.encode_granted(info_at(now), certificates=certificates)
    response = timestamp.parse_response(data)
    assert timestamp.verify_response(response, MESSAGE, chain=chain.certificates) == now.replace(microsecond=0)
    openssl_verify(chain, data, tmp_path, now)
    pyca = [x509.load_der_x509_certificate(c.der) for c in chain.certificates]
    builder = VerifierBuilder(nonce=2**63, tsa_certificate=pyca[0], intermediates=pyca[1:-1], roots=pyca[-1:])
    builder.build().verify(decode_timestamp_response(data), hashlib.sha256(MESSAGE).digest())


def openssl_verify(chain, data: bytes, folder: Path, now: datetime) -> None:
    root, rest = chain.write(folder)
    (folder / "reply").write_bytes(data)
    (folder / "message").write_bytes(MESSAGE)
    command = ["openssl", "ts", "-verify", "-in", "reply", "-data", "message", "-CAfile", root, "-untrusted", rest]
    command += ["-attime", str(int(now.timestamp()))]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "message").write_bytes(MESSAGE + b"!")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0


# --- signers that cannot be made ----------------------------------------------------------------------
def test_a_signer_needs_its_own_certificate_and_a_key_that_clients_know(chain):
    with pytest.raises(Refused, match="does not belong"):
        TimestampSigner.of(ec.generate_private_key(ec.SECP256R1()), chain.leaf)
    with pytest.raises(Refused, match="Ed25519"):
        TimestampSigner.of(ed25519.Ed25519PrivateKey.generate(), chain.leaf)


# --- verification refuses -------------------------------------------------------------------------------
def granted(chain, now, *, certificates: bool = False) -> timestamp.TimestampResponse:
    signer = TimestampSigner.of(chain.key, chain.leaf, chain.certificates[1:-1])
    return timestamp.parse_response(signer.encode_granted(info_at(now), certificates=certificates))


def test_a_chain_without_its_leaf_needs_the_embedded_one(chain, now):
    without_leaf = chain.certificates[1:]
    assert timestamp.verify_response(granted(chain, now, certificates=True), MESSAGE, chain=without_leaf)
    root_alone = timestamp.verify_response(granted(chain, now, certificates=True), MESSAGE, chain=without_leaf[-1:])
    assert root_alone == now.replace(microsecond=0)
    with pytest.raises(Refused, match="embeds 0 certificates of its signer"):
        timestamp.verify_response(granted(chain, now), MESSAGE, chain=without_leaf)


def test_another_root_of_the_same_name_is_refused(chain, build_chain, now):
    other = build_chain()
    mixed = (*chain.certificates[:2], other.certificates[2])
    with pytest.raises(Refused):
        timestamp.verify_response(granted(chain, now), MESSAGE, chain=mixed)
    with pytest.raises(Refused):
        timestamp.verify_response(granted(chain, now, certificates=True), MESSAGE, chain=other.certificates[1:])


@pytest.mark.parametrize("days", [-31, 3001])
def test_a_time_outside_the_certificates_is_refused(chain, now, days):
    with pytest.raises(Refused):
        timestamp.verify_response(granted(chain, now + timedelta(days=days)), MESSAGE, chain=chain.certificates)


USAGE = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
TIME, CODE = x509.oid.ExtendedKeyUsageOID.TIME_STAMPING, x509.oid.ExtendedKeyUsageOID.CODE_SIGNING


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ([(USAGE, True)], "critical and timeStamping alone"),
        ([(USAGE, True), (x509.ExtendedKeyUsage([TIME]), False)], "critical and timeStamping alone"),
        ([(USAGE, True), (x509.ExtendedKeyUsage([TIME, CODE]), True)], "critical and timeStamping alone"),
        ([(USAGE, True), (x509.ExtendedKeyUsage([CODE]), True)], "critical and timeStamping alone"),
    ],
)
def test_s07_a_signer_for_another_purpose_is_refused(build_chain, now, extensions, message):
    chain = build_chain(leaf=extensions)
    with pytest.raises(Refused, match=message):
        timestamp.verify_response(granted(chain, now), MESSAGE, chain=chain.certificates)


def test_a_certificate_authority_is_no_signer(build_chain, now):
    ca = [(x509.BasicConstraints(True, None), True), (USAGE, True), (x509.ExtendedKeyUsage([TIME]), True)]
    chain = build_chain(leaf=ca)
    with pytest.raises(Refused, match="by a certificate authority"):
        timestamp.verify_response(granted(chain, now, certificates=True), MESSAGE, chain=chain.certificates[1:])


# --- CMS defects, one at a time, each signed properly ----------------------------------------------------
def token_with(
    chain, *, drop: str = "", change: dict[str, bytes] | None = None, reverse: bool = False
) -> cms.SignedData:
    """A token over a TSTInfo whose signed attributes were tampered with before they were signed."""
    signer = TimestampSigner.of(chain.key, chain.leaf)
    token = timestamp.parse_response(signer.encode_granted(info_at(chain.leaf.not_before), certificates=False)).token
    attributes = {oid: value for oid, value in token.signer.attributes if oid != drop} | (change or {})
    encoded = [der.sequence(der.oid(oid), der.tlv(der.SET, value)) for oid, value in attributes.items()]
    encoded.sort(reverse=reverse)
    signature = chain.key.sign(der.set_of(*encoded), ec.ECDSA(hashes.SHA256()))
    algorithm = der.sequence(der.oid(HashAlgorithm.SHA2_256.oid))
    info = der.sequence(
        der.integer(1),
        der.sequence(chain.leaf.issuer, der.integer(chain.leaf.serial)),
        algorithm,
        der.tlv(0xA0, *encoded),
        der.sequence(der.oid("1.2.840.10045.4.3.2")),
        der.octet_string(signature),
    )
    content = der.sequence(der.oid(timestamp.TST_INFO), der.tlv(0xA0, der.octet_string(token.content)))
    data = der.sequence(der.integer(3), der.tlv(der.SET, algorithm), content, der.tlv(der.SET, info))
    return cms.parse_signed_data(
        der.sequence(der.oid(cms.SIGNED_DATA), der.tlv(0xA0, data)), what="the timestamp token"
    )


def test_attributes_in_another_order_are_put_in_order_before_they_are_verified(chain):
    cms.verify_signer(token_with(chain, reverse=True), chain.leaf, what="the timestamp token")


def essid(digest: bytes, *rest: bytes) -> bytes:
    return der.sequence(der.sequence(der.sequence(*rest[:-1], der.octet_string(digest), *rest[-1:])))


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (cms.CONTENT_TYPE, "no signed contentType"),
        (cms.MESSAGE_DIGEST, "no signed messageDigest"),
        (cms.SIGNING_CERTIFICATE_V2, "no signed attribute that names its signing certificate"),
    ],
)
def test_each_signed_attribute_is_mandatory(chain, drop, message):
    with pytest.raises(Refused, match=message):
        cms.verify_signer(token_with(chain, drop=drop), chain.leaf, what="the timestamp token")


def test_signed_attributes_must_say_the_truth(chain):
    sha1 = hashlib.sha1(chain.leaf.der, usedforsecurity=False).digest()
    sha512 = der.sequence(der.oid(HashAlgorithm.SHA2_512.oid))
    other_serial = der.sequence(der.sequence(der.tlv(0xA4, chain.leaf.issuer)), der.integer(1))
    good = {
        cms.SIGNING_CERTIFICATE: essid(sha1, b""),
        cms.SIGNING_CERTIFICATE_V2: essid(hashlib.sha512(chain.leaf.der).digest(), sha512, b""),
    }
    cms.verify_signer(token_with(chain, change=good), chain.leaf, what="the timestamp token")
    for oid, value, message in (
        (cms.CONTENT_TYPE, der.oid("1.2.840.113549.1.7.1"), "no signed contentType"),
        (cms.MESSAGE_DIGEST, der.octet_string(bytes(32)), "no signed messageDigest"),
        (cms.SIGNING_CERTIFICATE, essid(bytes(20), b""), "another signing certificate"),
        (cms.SIGNING_CERTIFICATE_V2, essid(bytes(32), b""), "another signing certificate"),
        (cms.SIGNING_CERTIFICATE_V2, essid(hashlib.sha256(chain.leaf.der).digest(), other_serial), "another issuer"),
    ):
        with pytest.raises(Refused, match=message):
            cms.verify_signer(token_with(chain, change={oid: value}), chain.leaf, what="the timestamp token")


def test_a_v1_signing_certificate_alone_is_enough(chain):
    sha1 = hashlib.sha1(chain.leaf.der, usedforsecurity=False).digest()
    token = token_with(chain, drop=cms.SIGNING_CERTIFICATE_V2, change={cms.SIGNING_CERTIFICATE: essid(sha1, b"")})
    cms.verify_signer(token, chain.leaf, what="the timestamp token")
