# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from datetime import timedelta

import jwt
import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.authority import Authority
from ca.lint import Unsound
from ca.possession import SignedSubject, SigningRequest
from ca.profile import Draft, Profile
from sigcore import certify, der, extensions, general_name, keys, precertificate, sct, signatures, x509
from sigcore.chain import verify_chain
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from tests.unit.ca import fakes
from tests.unit.ca.tokens import ISSUER, MACHINES, NOW, claims, signed

NAME = "alice@example.com"
KEY = keys.generate_p256()
SCT_LIST = oracle.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


@pytest.fixture(scope="module")
def chain():
    return fakes.make_chain()


def make_authority(chain, issuers, log):
    return Authority(key=chain.key, chain=chain.certificates, issuers=issuers, log=log, log_key=log.key.public_key())


@pytest.fixture
def log():
    return fakes.FakeLog()


@pytest.fixture
def authority(chain, issuers, log):
    return make_authority(chain, issuers, log)


@pytest.fixture
def token(issuer_key):
    return signed(issuer_key, claims())


def proof(key=KEY, name=NAME):
    return SignedSubject(key.public_key(), keys.sign(key, name.encode()))


def key_usage(**bits):
    others = (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return oracle.KeyUsage(**dict.fromkeys(others, False) | {"digital_signature": True} | bits)


def key_identifier(key):
    """RFC 7093 section 2, method 1."""
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return oracle.SubjectKeyIdentifier(hashlib.sha256(point).digest()[:20])


# --- what is issued -----------------------------------------------------------------------------------
async def test_the_certificate_is_byte_for_byte_what_the_library_builds(authority, chain, token):
    issued = await authority.issue(token, proof(), now=NOW)
    found = oracle.load_der_x509_certificate(issued.chain[0])
    issuer = oracle.load_der_x509_certificate(chain.certificates[0])
    ski = issuer.extensions.get_extension_for_class(oracle.SubjectKeyIdentifier).value
    start = NOW.replace(microsecond=0)
    builder = (
        oracle.CertificateBuilder()
        .serial_number(found.serial_number)
        .issuer_name(issuer.subject)
        .subject_name(oracle.Name([]))
        .not_valid_before(start)
        .not_valid_after(start + timedelta(minutes=10))
        .public_key(KEY.public_key())
        .add_extension(key_usage(), critical=True)
        .add_extension(oracle.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(key_identifier(KEY), critical=False)
        .add_extension(oracle.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
        .add_extension(oracle.SubjectAlternativeName([oracle.RFC822Name(NAME)]), critical=True)
    )
    values = {"1": ISSUER.encode(), "8": der.utf8_string(ISSUER), "24": der.utf8_string(NAME)}
    for arc, value in values.items():
        oid = oracle.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{arc}")
        builder = builder.add_extension(oracle.UnrecognizedExtension(oid, value), critical=False)
    expected = builder.add_extension(found.extensions.get_extension_for_oid(SCT_LIST).value, critical=False).sign(
        chain.key, hashes.SHA256()
    )
    assert found.tbs_certificate_bytes == expected.tbs_certificate_bytes
    found.verify_directly_issued_by(issuer)


async def test_the_answer_is_the_chain_from_leaf_to_root(authority, chain, token):
    issued = await authority.issue(token, proof(), now=NOW)
    assert issued.chain[1:] == chain.certificates
    certificates = tuple(x509.parse_certificate(der) for der in issued.chain)
    verify_chain(certificates[0], certificates[1:2], certificates[2:], at=NOW, eku=x509.EKU_CODE_SIGNING)


async def test_the_embedded_sct_is_of_the_logged_precertificate(authority, chain, log, token):
    issued = await authority.issue(token, proof(), now=NOW)
    ((precert, *rest),) = log.chains
    assert tuple(rest) == chain.certificates
    final = oracle.load_der_x509_certificate(issued.chain[0])
    (stamp,) = final.extensions.get_extension_for_oid(SCT_LIST).value
    logged = oracle.load_der_x509_certificate(precert)
    assert stamp.log_id == keys.key_id(keys.encode_public_key(log.key.public_key()))
    assert logged.extensions[-1].value == oracle.PrecertPoison()
    assert logged.extensions[-1].critical
    assert logged.serial_number == final.serial_number
    precertificate.correspond(x509.parse_certificate(precert), x509.parse_certificate(issued.chain[0]))
    entry = precertificate.precert_entry(x509.parse_certificate(issued.chain[0]), chain.issuer.spki)
    (own,) = sct.parse_sct_list(
        der.Reader(x509.parse_certificate(issued.chain[0]).extension(sct.SCT_LIST_OID).value, "list").octet_string()
    )
    sct.verify_sct(own, entry, log.key.public_key())


async def test_a_workload_gets_a_uri(authority, machine_key):
    name = f"{MACHINES}/org/repo"
    token = jwt.encode(claims(iss=MACHINES, sub=name), machine_key, "ES256", {"kid": "es"})
    issued = await authority.issue(token, proof(name=name), now=NOW)
    found = oracle.load_der_x509_certificate(issued.chain[0])
    san = found.extensions.get_extension_for_class(oracle.SubjectAlternativeName)
    assert san.critical
    assert list(san.value) == [oracle.UniformResourceIdentifier(name)]


@pytest.mark.parametrize(
    "email", ["a@b", "Alice@Example.COM", "!#$%&'*+-/=?^_`{|}~@example.com", "l" * 64 + "@x.example"]
)
async def test_openssl_reads_exactly_one_name_with_exactly_these_bytes(authority, issuer_key, tmp_path, email):
    issued = await authority.issue(signed(issuer_key, claims(email=email)), proof(name=email), now=NOW)
    files = [tmp_path / name for name in ("leaf.pem", "intermediate.pem", "root.pem")]
    for path, der_bytes in zip(files, issued.chain, strict=True):
        path.write_text(x509.encode_certificate_pem(der_bytes))
    text = _openssl("x509", "-in", files[0], "-noout", "-ext", "subjectAltName", "-nameopt", "utf8")
    assert text.splitlines() == ["X509v3 Subject Alternative Name: critical", f"    email:{email}"]
    at = str(int(NOW.timestamp()))
    # "any" purpose: openssl 3.0 knows no code-signing purpose; the EKU is compared byte for byte above.
    verified = _openssl("verify", "-x509_strict", "-attime", at, "-CAfile", files[2], "-untrusted", files[1], files[0])
    assert verified.endswith(": OK\n")


def _openssl(*arguments):
    return subprocess.run(("openssl", *map(str, arguments)), capture_output=True, text=True, check=True).stdout


async def test_serials_never_repeat(authority, token):
    issued = [await authority.issue(token, proof(), now=NOW) for _ in range(50)]
    serials = {x509.parse_certificate(one.chain[0]).serial for one in issued}
    assert len(serials) == 50
    assert all(0 < serial < 2**159 for serial in serials)


def test_serials_have_enough_bits_and_never_repeat():
    """A11."""
    serials = {certify.random_serial() for _ in range(20_000)}
    assert len(serials) == 20_000
    assert all(64 < serial.bit_length() < 160 for serial in serials)


# --- A06: nothing of a request but its key ---------------------------------------------------------------
async def test_hostile_extensions_of_a_signing_request_are_absent(authority, token):
    fulcio = [
        oracle.UnrecognizedExtension(oracle.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{arc}"), b"evil")
        for arc in (1, 8, 9, 24)
    ]
    hostile = [
        oracle.BasicConstraints(ca=True, path_length=None),
        key_usage(key_cert_sign=True, crl_sign=True),
        oracle.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.TIME_STAMPING]),
        oracle.SubjectAlternativeName([oracle.RFC822Name("evil@example.com")]),
        oracle.SubjectKeyIdentifier(b"evil"),
        oracle.UnrecognizedExtension(SCT_LIST, b"\x04\x00"),
        oracle.PrecertPoison(),
        oracle.OCSPNoCheck(),
        *fulcio,
    ]
    assert len(hostile) == 12
    builder = oracle.CertificateSigningRequestBuilder().subject_name(
        oracle.Name([oracle.NameAttribute(oracle.NameOID.COMMON_NAME, "evil")])
    )
    for extension in hostile:
        builder = builder.add_extension(extension, critical=True)
    request = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    issued = await authority.issue(token, SigningRequest(request), now=NOW)
    plain = await authority.issue(token, proof(), now=NOW)
    found, expected = (oracle.load_der_x509_certificate(one.chain[0]) for one in (issued, plain))
    assert b"evil" not in issued.chain[0]
    assert [e for e in found.extensions if e.oid != SCT_LIST] == [e for e in expected.extensions if e.oid != SCT_LIST]
    assert found.subject == oracle.Name([])


# --- A01: no proof, no certificate, and nothing in the log -------------------------------------------------
@pytest.mark.parametrize(
    "bad",
    [
        SignedSubject(KEY.public_key(), b""),
        SignedSubject(KEY.public_key(), keys.sign(KEY, b"bob@example.com")),
        SignedSubject(keys.generate_p256().public_key(), keys.sign(KEY, NAME.encode())),
        SigningRequest(b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
    ],
)
async def test_without_proof_the_log_sees_nothing(authority, log, token, bad):
    with pytest.raises((Refused, Malformed)):
        await authority.issue(token, bad, now=NOW)
    assert log.chains == []


async def test_a_proof_over_the_subject_claim_is_none_for_an_email_issuer(authority, issuer_key):
    token = signed(issuer_key, claims(sub="u-17"))
    with pytest.raises(Refused, match="proof of possession"):
        await authority.issue(token, proof(name="u-17"), now=NOW)


async def test_without_a_token_the_log_sees_nothing(authority, log, other_key):
    with pytest.raises(SigError):
        await authority.issue(signed(other_key, claims()), proof(), now=NOW)
    assert log.chains == []


# --- A10: no SCT, no certificate ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (fakes.WrongKey, Unsound, "SCT is not good"),
        (fakes.WrongEntry, Unsound, "SCT is not good"),
        (fakes.ChangedTime, Unsound, "SCT is not good"),
        (fakes.OtherLogId, Unsound, "SCT is not good"),
        (fakes.Down, Unavailable, r"\Athe log is being restarted\Z"),
        (fakes.Unwilling, Unavailable, "did not take the precertificate"),
        (fakes.Broken, RuntimeError, "secret detail"),
    ],
)
async def test_a_log_that_fails_gives_no_certificate(chain, issuers, token, kind, error, message):
    with pytest.raises(error, match=message):
        await make_authority(chain, issuers, kind()).issue(token, proof(), now=NOW)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("head", lambda head: head.replace(NOW.strftime("%y%m%d%H%M%SZ").encode(), b"260101000000Z", 1)),
        ("extensions", lambda found: found.replace(NAME.encode(), b"elice" + NAME.encode()[5:], 1)),
        ("extensions", lambda found: found + certify.encode_extension(extensions.poison())),
        ("extensions", lambda found: certify.encode_extension(extensions.sct_list(b"")) + found),
    ],
)
async def test_precertificate_and_certificate_that_differ_are_not_handed_out(
    authority, token, monkeypatch, part, change
):
    genuine = Draft.encode

    def drifting(self, last):
        if der.oid(sct.SCT_LIST_OID) not in last:
            return genuine(self, last)
        return genuine(replace(self, **{part: change(getattr(self, part))}), last)

    monkeypatch.setattr(Draft, "encode", drifting)
    with pytest.raises(Unsound, match="not what was logged"):
        await authority.issue(token, proof(), now=NOW)


async def test_a_draft_that_is_not_what_was_logged_fails_at_the_sct(authority, token, monkeypatch):
    genuine = Draft.encode

    def drifting(self, last):
        return genuine(self, last) if last else genuine(replace(self, extensions=self.extensions[:-1] + b"X"), b"")

    monkeypatch.setattr(Draft, "encode", drifting)
    with pytest.raises(Unsound, match="SCT is not good"):
        await authority.issue(token, proof(), now=NOW)


async def test_a_certificate_that_the_ca_key_did_not_sign_is_not_handed_out(authority, log, token, monkeypatch):
    genuine, other = signatures.sign, keys.generate_p256()
    swap = lambda algorithm, key, tbs: genuine(algorithm, other if log.chains else key, tbs)  # noqa: E731 - one line
    monkeypatch.setattr(signatures, "sign", swap)
    with pytest.raises(Unsound, match="not what was logged"):
        await authority.issue(token, proof(), now=NOW)


async def test_what_leaves_the_profile_never_meets_the_ca_key(authority, log, token, monkeypatch):
    genuine = Profile.draft

    def drifting(self, principal, spki, now):
        return genuine(self, replace(principal, san=general_name.Email("evil@example.com")), spki, now)

    monkeypatch.setattr(Profile, "draft", drifting)
    monkeypatch.setattr(signatures, "sign", lambda *_: pytest.fail("the CA key was used"))
    with pytest.raises(Unsound, match="exactly the principal's one name"):
        await authority.issue(token, proof(), now=NOW)
    assert log.chains == []


# --- the CA's own validity -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("minutes", "good"), [(10, True), (9, False), (-1, False)])
async def test_a_certificate_never_outlives_its_issuer(issuers, log, token, minutes, good):
    chain = fakes.make_chain(not_after=NOW + timedelta(minutes=minutes))
    authority = make_authority(chain, issuers, log)
    if good:
        await authority.issue(token, proof(), now=NOW)
        return
    with pytest.raises(Unavailable, match="rotate the CA"):
        await authority.issue(token, proof(), now=NOW)
    assert log.chains == []


async def test_a_certificate_never_precedes_its_issuer(authority, issuer_key):
    past = NOW - timedelta(days=2)
    seconds = int(past.timestamp())
    token = signed(issuer_key, claims(iat=seconds, nbf=seconds, exp=seconds + 600))
    with pytest.raises(Unavailable, match="check the clock"):
        await authority.issue(token, proof(), now=past)


async def test_a_log_that_does_not_answer_in_time_gives_no_certificate(chain, issuers, token):
    log = fakes.Late()
    late = Authority(
        key=chain.key,
        chain=chain.certificates,
        issuers=issuers,
        log=log,
        log_key=log.key.public_key(),
        patience_s=0.5,
    )
    with pytest.raises(Unavailable, match=r"did not answer within 0\.5 seconds"):
        await late.issue(token, proof(), now=NOW)
    log.told.set()
    await late.issue(token, proof(), now=NOW)


YEAR = 365 * 86_400


@pytest.mark.parametrize("seconds", [0, 59, -59])
async def test_the_clock_of_the_log_may_be_off_by_a_minute(chain, issuers, token, seconds):
    await make_authority(chain, issuers, fakes.OfAnotherTime(seconds=seconds)).issue(token, proof(), now=NOW)


@pytest.mark.parametrize("seconds", [62, -62, YEAR, -YEAR, 10_000 * YEAR])
async def test_an_sct_of_another_time_gives_no_certificate(chain, issuers, token, seconds):
    authority = make_authority(chain, issuers, fakes.OfAnotherTime(seconds=seconds))
    with pytest.raises(Unsound, match=r"seconds from ours.*compare the clocks"):
        await authority.issue(token, proof(), now=NOW)


async def test_an_sct_of_another_certificate_of_the_same_log_gives_no_certificate(chain, issuers, token):
    authority = make_authority(chain, issuers, fakes.Crossed())
    await authority.issue(token, proof(), now=NOW)
    with pytest.raises(Unsound, match="the SCT's signature does not verify"):
        await authority.issue(token, proof(), now=NOW)


async def test_an_sct_of_another_log_with_its_own_key_gives_no_certificate(chain, issuers, log, token):
    other = Authority(
        key=chain.key,
        chain=chain.certificates,
        issuers=issuers,
        log=log,
        log_key=keys.generate_p256().public_key(),
    )
    with pytest.raises(Unsound, match="the SCT is of the log"):
        await other.issue(token, proof(), now=NOW)


async def test_an_authority_changes_over_to_another_log_and_its_key(authority, log, token):
    await authority.issue(token, proof(), now=NOW)
    new = fakes.FakeLog()
    authority.log_to(new, new.key.public_key())
    await authority.issue(token, proof(), now=NOW)
    assert (len(log.chains), len(new.chains)) == (1, 1)
    authority.log_to(log, new.key.public_key())
    with pytest.raises(Unsound, match="the SCT is of the log"):
        await authority.issue(token, proof(), now=NOW)


# --- construction ---------------------------------------------------------------------------------------------
def test_the_key_must_belong_to_the_chain(chain, issuers, log):
    for key, certificates in (
        (keys.generate_p256(), chain.certificates),
        (chain.key, chain.certificates[1:]),
        (chain.key, ()),
    ):
        with pytest.raises(Malformed, match="does not belong"):
            Authority(key=key, chain=certificates, issuers=issuers, log=log, log_key=log.key.public_key())


def test_the_chain_must_be_one(chain, issuers, log):
    other = fakes.make_chain()
    with pytest.raises(SigError):
        Authority(
            key=chain.key,
            chain=(chain.certificates[0], other.certificates[1]),
            issuers=issuers,
            log=log,
            log_key=log.key.public_key(),
        )


async def test_the_lifetime_that_the_operator_set_holds_for_the_next_key_too(chain, issuers, log, token):
    lifetime = timedelta(minutes=3)
    authority = Authority(
        key=chain.key,
        chain=chain.certificates,
        issuers=issuers,
        log=log,
        log_key=log.key.public_key(),
        lifetime=lifetime,
    )
    for _ in range(2):
        issued = await authority.issue(token, proof(), now=NOW)
        leaf = oracle.load_der_x509_certificate(issued.chain[0])
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == lifetime
        authority.succeed(chain.key, chain.certificates)
