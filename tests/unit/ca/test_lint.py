# SPDX-License-Identifier: Apache-2.0
"""A08: each rule of the linter can fail, and the profile keeps them all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca.lint import Unsound, lint
from ca.principal import Principal
from ca.profile import Profile, subject_key_identifier
from sigcore import certify, der, extensions, general_name, keys, signatures, x509
from sigcore.errors import Refused
from sigcore.fulcio import FulcioExtensions
from tests.unit.ca import fakes
from tests.unit.ca.tokens import ISSUER, NOW

NAME = "alice@example.com"
SPKI = keys.encode_public_key(keys.generate_p256().public_key())
OTHER_SPKI = keys.encode_public_key(keys.generate_p256().public_key())
PERSON = Principal(general_name.Email(NAME), NAME, FulcioExtensions(issuer=ISSUER, token_subject=NAME))
CHAIN = fakes.make_chain()


def parts_of(tbs):
    """What the general builder makes the same TBS from."""
    made = x509.parse_certificate(der.sequence(tbs, signatures.ECDSA_WITH_SHA256, der.bit_string(b"")))
    names = ("serial", "issuer", "not_before", "not_after", "subject", "spki", "extensions")
    return {name: getattr(made, name) for name in names}


PARTS = parts_of(Profile(CHAIN.issuer).draft(PERSON, SPKI, NOW).encode(certify.encode_extension(extensions.poison())))


def check(principal=PERSON, spki=SPKI, now=NOW, ca=CHAIN.issuer, **parts):
    lint(certify.encode_tbs(**PARTS | parts), issuer=ca, principal=principal, spki=spki, now=now)


def replaced(oid, *instead):
    """The extensions with that of ``oid`` replaced."""
    return tuple(new for old in PARTS["extensions"] for new in (instead if old.oid == oid else (old,)))


def changed(oid, **parts):
    return replaced(oid, *(replace(e, **parts) for e in PARTS["extensions"] if e.oid == oid))


def test_the_profile_keeps_every_rule():
    check()


@pytest.mark.parametrize(
    "key",
    [
        *(ec.generate_private_key(curve) for curve in (ec.SECP384R1(), ec.SECP521R1())),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
@pytest.mark.parametrize("san", [general_name.Email("a@b"), general_name.Uri("https://ci.example.com/org/repo?run=7")])
def test_the_profile_keeps_every_rule_for_any_key_and_name(key, san):
    spki = keys.encode_public_key(key.public_key())
    principal = Principal(
        san, san.value, FulcioExtensions(issuer="https://\u00e9.example", token_subject="\u00fc" * 300)
    )
    profile = Profile(CHAIN.issuer)
    for second in range(100):
        now = NOW + timedelta(seconds=second * 1_001, microseconds=second)
        tbs = profile.draft(principal, spki, now).encode(certify.encode_extension(extensions.poison()))
        assert tbs == certify.encode_tbs(**parts_of(tbs))
        lint(tbs, issuer=CHAIN.issuer, principal=principal, spki=spki, now=now)


KU, EKU, SKI, AKI, SAN = "2.5.29.15", "2.5.29.37", "2.5.29.14", "2.5.29.35", "2.5.29.17"
V1, V2, SUBJECT = (f"1.3.6.1.4.1.57264.1.{arc}" for arc in (1, 8, 24))
POISON, SCT_LIST = "1.3.6.1.4.1.11129.2.4.3", "1.3.6.1.4.1.11129.2.4.2"
ALL = PARTS["extensions"]
BASIC = x509.Extension("2.5.29.19", critical=True, value=der.sequence(der.boolean(True)))

BROKEN = [
    ({"serial": 1}, "serial number"),
    ({"serial": 2**160}, "serial number"),
    ({"issuer": certify.name("evil", "tests")}, "issuer: the CA's subject"),
    ({"subject": certify.name("alice", "tests")}, "subject: empty"),
    ({"not_before": PARTS["not_before"] - timedelta(seconds=1)}, "notBefore: now"),
    ({"not_after": PARTS["not_after"] + timedelta(seconds=1)}, "notAfter: 600 seconds"),
    ({"not_after": PARTS["not_after"] - timedelta(seconds=1)}, "notAfter: 600 seconds"),
    ({"spki": OTHER_SPKI}, "key: the one"),
    ({"extensions": changed(KU, critical=False)}, "KU, SAN and poison critical"),
    ({"extensions": changed(KU, value=bytes.fromhex("03020284"))}, "extension 2.5.29.15"),
    ({"extensions": changed(EKU, critical=True)}, "KU, SAN and poison critical"),
    ({"extensions": changed(EKU, value=der.sequence(der.oid("1.3.6.1.5.5.7.3.1")))}, "extension 2.5.29.37"),
    ({"extensions": replaced(EKU)}, "extensions: KU, EKU"),
    ({"extensions": replaced(SKI)}, "extensions: KU, EKU"),
    ({"extensions": changed(SKI, value=der.octet_string(b"\x00" * 20))}, "subjectKeyIdentifier"),
    ({"extensions": changed(AKI, value=der.sequence(der.tlv(0x80, b"\x00" * 20)))}, "authorityKeyIdentifier"),
    ({"extensions": changed(SAN, critical=False)}, "KU, SAN and poison critical"),
    (
        {"extensions": replaced(SAN, extensions.subject_alternative_name(general_name.Email("bob@example.com")))},
        "subjectAltName",
    ),
    ({"extensions": replaced(SAN, extensions.subject_alternative_name(general_name.Uri(NAME)))}, "subjectAltName"),
    ({"extensions": changed(SAN, value=der.sequence())}, "cannot be read"),
    ({"extensions": changed(SAN, value=der.sequence(*[der.tlv(0x81, NAME.encode())] * 2))}, "cannot be read"),
    ({"extensions": changed(V1, value=b"https://evil.example")}, "issuer"),
    ({"extensions": replaced(V1)}, "issuer"),
    ({"extensions": changed(V2, value=ISSUER.encode())}, "precertificate"),
    ({"extensions": replaced(V2)}, "issuer"),
    ({"extensions": changed(SUBJECT, value=der.utf8_string("bob"))}, "Fulcio extensions"),
    ({"extensions": replaced(SUBJECT)}, "Fulcio extensions"),
    ({"extensions": changed(V1, critical=True)}, "critical"),
    ({"extensions": ALL[:-1]}, "extensions"),
    ({"extensions": changed(POISON, critical=False)}, "critical"),
    ({"extensions": changed(POISON, value=b"\x04\x00")}, "extension " + POISON),
    ({"extensions": (*ALL, BASIC)}, "extensions"),
    ({"extensions": replaced(V2, BASIC)}, "only Fulcio's own"),
    ({"extensions": (BASIC, *ALL)}, "extensions"),
    ({"extensions": replaced(POISON, x509.Extension(SCT_LIST, critical=False, value=b"\x04\x00"))}, "extensions"),
    ({"extensions": (*ALL[:-1], ALL[-1], ALL[-1])}, "cannot be read"),
    ({"extensions": ()}, "precertificate"),
]


@pytest.mark.parametrize(("parts", "rule"), BROKEN, ids=range(len(BROKEN)))
def test_what_leaves_the_profile_is_not_signed(parts, rule):
    with pytest.raises(Unsound, match=rule.replace(".", r"\.")):
        check(**parts)


def test_the_validity_must_lie_inside_that_of_the_ca():
    short = replace(CHAIN.issuer, not_after=PARTS["not_after"] - timedelta(seconds=1))
    with pytest.raises(Unsound, match="inside that of the CA"):
        check(ca=short)


def test_bytes_that_are_no_tbs_are_not_signed():
    for tbs in (b"", b"\x30\x00", certify.encode_tbs(**PARTS)[:-1], certify.encode_tbs(**PARTS) + b"\x00"):
        with pytest.raises(Unsound, match="cannot be read"):
            lint(tbs, issuer=CHAIN.issuer, principal=PERSON, spki=SPKI, now=NOW)


def test_a_ca_without_a_key_identifier_is_refused():
    bare = replace(CHAIN.issuer, extensions=tuple(e for e in CHAIN.issuer.extensions if e.oid != SKI))
    with pytest.raises(Refused, match="no subject key identifier"):
        subject_key_identifier(bare)


@pytest.mark.parametrize("minutes", [1, 30])
def test_the_lifetime_is_the_one_that_was_asked_for_and_no_other(minutes):
    lifetime = timedelta(minutes=minutes)
    tbs = Profile(CHAIN.issuer, lifetime).draft(PERSON, SPKI, NOW).encode(certify.encode_extension(extensions.poison()))
    found = lint(tbs, issuer=CHAIN.issuer, principal=PERSON, spki=SPKI, now=NOW, lifetime=lifetime)
    assert found.not_after - found.not_before == lifetime
    for other in (lifetime + timedelta(seconds=1), lifetime - timedelta(seconds=1), timedelta(minutes=10)):
        with pytest.raises(Unsound, match=f"notAfter: {other.total_seconds():.0f} seconds after notBefore"):
            lint(tbs, issuer=CHAIN.issuer, principal=PERSON, spki=SPKI, now=NOW, lifetime=other)
