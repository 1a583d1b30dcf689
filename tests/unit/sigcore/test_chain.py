# SPDX-License-Identifier: Apache-2.0
"""Certification paths: what is accepted, and each reason for a refusal."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import certify, chain, der, extensions, general_name, keys, limits, signatures, x509
from sigcore.errors import Malformed, Refused, SigError

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
EKU = x509.EKU_CODE_SIGNING
NEAR_MISS = "1.2.3.4.5"


@functools.cache
def key(label: str):
    """One private key per label; the label's first word picks the kind."""
    kind = label.split(maxsplit=1)[0]
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {"p384": ec.SECP384R1, "p521": ec.SECP521R1, "k1": ec.SECP256K1}
    return ec.generate_private_key(curves.get(kind, ec.SECP256R1)())


def spki(label: str) -> bytes:
    return keys.encode_public_key(key(label).public_key())


CA = (extensions.basic_constraints(ca=True), extensions.key_usage("keyCertSign", "cRLSign"))
LEAF = (extensions.key_usage("digitalSignature"), extensions.extended_key_usage(EKU))


def make(
    label: str,
    issuer: str,
    *items: x509.Extension,
    issuer_key: str | None = None,
    own_key: str | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
    algorithm: bytes | None = None,
    subject: bytes | None = None,
) -> x509.Certificate:
    """``label`` certified by ``issuer``; unless told otherwise each name has the key of that name."""
    signer = key(issuer_key or issuer)
    tbs = certify.encode_tbs(
        serial=certify.random_serial(),
        issuer=certify.name(issuer, "org"),
        not_before=start,
        not_after=end,
        subject=certify.name(label, "org") if subject is None else subject,
        spki=spki(own_key or label),
        extensions=items,
        algorithm=algorithm or signatures.algorithm_for(signer.public_key()),
    )
    return x509.parse_certificate(certify.sign_tbs(tbs, signer))


def leaf(issuer: str = "inter", *items: x509.Extension, **options) -> x509.Certificate:
    return make("leaf", issuer, *(items or LEAF), **options)


def inter(*items: x509.Extension, **options) -> x509.Certificate:
    return make("inter", "root", *(items or CA), **options)


def root(*items: x509.Extension, **options) -> x509.Certificate:
    return make("root", "root", *(items or CA), **options)


def verify(own, intermediates, roots, *, at=NOW, eku=EKU):
    return chain.verify_chain(own, intermediates, roots, at=at, eku=eku)


# --- accepted ------------------------------------------------------------------------------------------
def test_leaf_intermediate_root():
    path = (leaf(), inter(), root())
    assert verify(path[0], path[1:2], path[2:]) == path


def test_a_root_may_issue_leaves_itself():
    own, anchor = leaf("root"), root()
    assert verify(own, [], [anchor]) == (own, anchor)


def test_an_intermediate_may_be_the_anchor_and_its_signature_is_not_looked_at():
    own, anchor = leaf(), inter(issuer_key="somebody else")
    assert verify(own, [], [anchor]) == (own, anchor)


def test_a_ca_without_key_usage_or_key_identifiers_is_enough():
    anchor = root(extensions.basic_constraints(ca=True))
    assert verify(leaf("root"), [], [anchor])[-1] == anchor


@pytest.mark.parametrize("at", [NOW - DAY, NOW + DAY])
def test_both_ends_of_the_validity_belong_to_it(at):
    assert len(verify(leaf(), [inter()], [root()], at=at)) == 3


@pytest.mark.parametrize(
    ("issuer", "algorithm"),
    [
        ("p256 root", signatures.ECDSA_WITH_SHA256),
        ("p256 root", signatures.ECDSA_WITH_SHA384),
        ("p384 root", signatures.ECDSA_WITH_SHA256),
        ("p384 root", signatures.ECDSA_WITH_SHA384),
        ("p521 root", signatures.ECDSA_WITH_SHA512),
        ("rsa root", signatures.RSA_WITH_SHA256),
        ("rsa root", signatures.RSA_WITH_SHA512),
        ("ed25519 root", signatures.ED25519),
    ],
)
def test_each_signature_algorithm(issuer, algorithm):
    own, anchor = leaf(issuer, algorithm=algorithm), make(issuer, issuer, *CA)
    assert verify(own, [], [anchor]) == (own, anchor)


def test_every_candidate_with_the_right_name_is_tried():
    wrong = [inter(own_key="wrong"), inter(start=NOW + SECOND), inter(extensions.basic_constraints(ca=False))]
    wrong_roots = [root(own_key="other root"), root(end=NOW - SECOND)]
    own, right, anchor = leaf(), inter(), root()
    assert verify(own, [*wrong, right], [*wrong_roots, anchor]) == (own, right, anchor)


def test_a_dead_end_is_left_again():
    lost = make("inter", "lost root", *CA)
    own, right, anchor = leaf(), inter(), root()
    assert verify(own, [lost, right], [anchor]) == (own, right, anchor)


def test_cross_signed_intermediates_that_sign_each_other_do_not_loop():
    a = make("a", "b", *CA)
    b = make("b", "a", *CA)
    with pytest.raises(Refused, match="neither at hand nor trusted"):
        verify(leaf("a"), [a, b], [root()])


def test_superfluous_intermediates_and_the_root_among_them_do_no_harm():
    own, right, anchor = leaf(), inter(), root()
    stranger = make("stranger", "nobody", *CA, end=NOW - SECOND)
    assert verify(own, [anchor, stranger, right], [anchor]) == (own, right, anchor)


def test_any_extended_key_usage_on_an_intermediate_allows_the_purpose():
    wide = inter(*CA, extensions.extended_key_usage("2.5.29.37.0"))
    assert len(verify(leaf(), [wide], [root()])) == 3


# --- the leaf ------------------------------------------------------------------------------------------
SIGN, PURPOSE = LEAF
LEAF_DEFECTS = {
    "expired": (
        dict(end=NOW - SECOND),
        (),
        r"'leaf' expired at 2026-01-31T11:59:59Z, it is used at 2026-01-31T12:00:00Z",
    ),
    "not yet valid": (dict(start=NOW + SECOND), (), "'leaf' is valid from 2026-01-31T12:00:01Z, it is used at"),
    "a CA": ({}, (*LEAF, extensions.basic_constraints(ca=True)), "'leaf' is a CA, expected a leaf"),
    "may sign certificates": (
        {},
        (extensions.key_usage("digitalSignature", "keyCertSign"), PURPOSE),
        r"'leaf' may sign certificates \(keyUsage\) but is no CA",
    ),
    "no keyUsage": ({}, (PURPOSE,), "'leaf' is not for digital signatures"),
    "another keyUsage": ({}, (extensions.key_usage("keyAgreement"), PURPOSE), "'leaf' is not for digital signatures"),
    "no purpose": ({}, (SIGN,), "'leaf' is not for the purpose"),
    "another purpose": ({}, (SIGN, extensions.extended_key_usage(x509.EKU_TIME_STAMPING)), "is not for the purpose"),
    "any purpose": ({}, (SIGN, extensions.extended_key_usage("2.5.29.37.0")), "is not for the purpose"),
    "weak key": (dict(own_key="k1 leaf"), (), "the public key of the certificate 'leaf' is on curve secp256k1"),
    "unreadable purpose": (
        {},
        (SIGN, x509.Extension(extensions.EXTENDED_KEY_USAGE, critical=False, value=b"")),
        "extendedKeyUsage has the end",
    ),
}


@pytest.mark.parametrize(("options", "items", "message"), LEAF_DEFECTS.values(), ids=list(LEAF_DEFECTS))
def test_leaf_defects(options, items, message):
    with pytest.raises(SigError, match=message):
        verify(leaf("inter", *items, **options), [inter()], [root()])


# --- the issuers -----------------------------------------------------------------------------------------
BASIC, USAGE = CA
ISSUER_DEFECTS = {
    "expired": (dict(end=NOW - SECOND), (), "expired at 2026-01-31T11:59:59Z"),
    "not yet valid": (dict(start=NOW + SECOND), (), "is valid from 2026-01-31T12:00:01Z"),
    "no basicConstraints": ({}, (USAGE,), r"is no CA \(basicConstraints\)"),
    "no CA": ({}, (extensions.basic_constraints(ca=False), USAGE), r"is no CA \(basicConstraints\)"),
    "basicConstraints not critical": (
        {},
        (replace(BASIC, critical=False), USAGE),
        "basicConstraints that are not critical",
    ),
    "no keyCertSign": ({}, (BASIC, extensions.key_usage("digitalSignature", "cRLSign")), "may not sign certificates"),
    "another purpose": (
        {},
        (*CA, extensions.extended_key_usage(x509.EKU_TIME_STAMPING)),
        "may not issue for the purpose",
    ),
    "another key identifier": ({}, (*CA, extensions.subject_key_id(spki("other"))), "names another issuer key"),
    "another key": (
        dict(own_key="other"),
        (),
        "the certificate '.*' is not signed by the certificate '.*': its signature does not verify",
    ),
    "weak key": (dict(own_key="k1 ca"), (), "is on curve secp256k1"),
    "key of another kind": (dict(own_key="rsa ca"), (), "does not fit the signer's key"),
    "unreadable keyUsage": (
        {},
        (BASIC, x509.Extension(extensions.KEY_USAGE, critical=True, value=b"\x03\x01\x00")),
        "keyUsage is empty",
    ),
}


@pytest.mark.parametrize("where", ["inter", "root"])
@pytest.mark.parametrize(("options", "items", "message"), ISSUER_DEFECTS.values(), ids=list(ISSUER_DEFECTS))
def test_issuer_defects(where, options, items, message):
    named = extensions.authority_key_id(extensions.key_identifier(spki(where)))
    built = {"inter": inter(), "root": root()}
    own = leaf(where, *LEAF, named)
    built[where] = {"inter": inter, "root": root}[where](*items, **options)
    with pytest.raises(SigError, match=message):
        verify(own, [built["inter"]], [built["root"]])


def test_a_leaf_cannot_issue():
    false_ca, forged = leaf(), make("forged", "leaf", *LEAF)
    with pytest.raises(Refused, match="'leaf' is no CA"):
        verify(forged, [false_ca, inter()], [root()])


@pytest.mark.parametrize("where", ["leaf", "inter", "root"])
@pytest.mark.parametrize(
    ("extension", "message"),
    [
        (
            x509.Extension(NEAR_MISS, critical=True, value=b""),
            f"the critical extension {NEAR_MISS}, which is not understood",
        ),
        (x509.Extension("2.5.29.32", critical=True, value=b""), "the critical extension 2.5.29.32"),
        (x509.Extension("1.3.6.1.4.1.57264.1.8", critical=True, value=b"\x0c\x00"), "the critical extension 1.3.6"),
        (extensions.poison(), "is a precertificate"),
        (replace(extensions.poison(), critical=False), "is a precertificate"),
        (x509.Extension(extensions.NAME_CONSTRAINTS, critical=False, value=b"\x30\x00"), "has name constraints"),
        (x509.Extension(extensions.NAME_CONSTRAINTS, critical=True, value=b"\x30\x00"), "has name constraints"),
    ],
)
def test_extensions_that_are_not_understood(where, extension, message):
    own = leaf("inter", *LEAF, *([extension] if where == "leaf" else []))
    middle = inter(*CA, *([extension] if where == "inter" else []))
    anchor = root(*CA, *([extension] if where == "root" else []))
    with pytest.raises(Refused, match=f"'{where}' .*{message}"):
        verify(own, [middle], [anchor])


def test_an_unknown_extension_that_is_not_critical_is_ignored():
    stranger = x509.Extension(NEAR_MISS, critical=False, value=b"")
    assert len(verify(leaf("inter", *LEAF, stranger), [inter(*CA, stranger)], [root(*CA, stranger)])) == 3


# --- path length ---------------------------------------------------------------------------------------
def limited(path_length: int):
    return extensions.basic_constraints(ca=True, path_length=path_length), USAGE


def test_path_length_counts_the_cas_below():
    top, low = make("top", "root", *limited(1)), make("low", "top", *limited(0))
    anchor = root(*limited(2))
    assert len(verify(leaf("low"), [top, low], [anchor])) == 4


@pytest.mark.parametrize("where", ["root", "top"])
def test_path_length_exceeded(where):
    top = make("top", "root", *(limited(0) if where == "top" else CA))
    low = make("low", "top", *CA)
    anchor = root(*(limited(1) if where == "root" else CA))
    with pytest.raises(Refused, match=rf"'{where}' allows \d CAs below it \(pathLenConstraint\), there are"):
        verify(leaf("low"), [top, low], [anchor])


def test_a_self_issued_ca_does_not_count_for_the_path_length():
    old = inter(*limited(0), own_key="old key")
    new = make("inter", "inter", *CA, issuer_key="old key")
    assert len(verify(leaf(), [old, new], [root()])) == 4


# --- names ---------------------------------------------------------------------------------------------
def test_names_chain_byte_for_byte():
    printable = der.sequence(
        *(
            der.set_of(der.sequence(der.oid(oid), der.tlv(der.PRINTABLE_STRING, text)))
            for oid, text in (("2.5.4.10", b"org"), ("2.5.4.3", b"inter"))
        )
    )
    same_to_the_eye = inter(subject=printable)
    with pytest.raises(Refused, match="the issuer of the certificate 'leaf' is neither at hand nor trusted"):
        verify(leaf(), [same_to_the_eye], [root()])
    with pytest.raises(Refused, match="'leaf' names another issuer than the certificate 'inter'"):
        chain.verify_signed_by(leaf(), same_to_the_eye)


def test_what_is_kept_of_a_path_holds_for_no_other_time_purpose_or_key():
    signer, between, top = leaf(), inter(), root()
    for _ in range(2):
        assert verify(signer, [between], [top]) == (signer, between, top)
    short = inter(end=NOW - SECOND)
    with pytest.raises(Refused, match="'inter' expired"):
        verify(signer, [short], [top])
    with pytest.raises(Refused, match="may not issue for the purpose"):
        verify(signer, [inter(*CA, extensions.extended_key_usage(NEAR_MISS))], [top])
    with pytest.raises(Refused, match="'inter' is not signed by"):
        verify(signer, [replace(between, signature=short.signature)], [top])
    with pytest.raises(Refused, match="'inter' is not signed by"):
        verify(signer, [between], [make("root", "root", *CA, own_key="other")])
    assert verify(signer, [between], [top]) == (signer, between, top)


def test_a_missing_intermediate_and_an_unknown_root():
    with pytest.raises(Refused, match="the issuer of the certificate 'leaf' is neither"):
        verify(leaf(), [], [root()])
    with pytest.raises(Refused, match="the issuer of the certificate 'inter' is neither"):
        verify(leaf(), [inter()], [])


def test_the_leaf_being_a_root_does_not_make_it_trusted():
    own = leaf()
    with pytest.raises(Refused, match="neither at hand nor trusted"):
        verify(own, [], [own])


def test_a_certificate_without_a_readable_common_name_is_called_by_its_serial_number():
    for subject in (der.sequence(), der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.tlv(0x1E, b"\0a"))))):
        own = leaf("inter", PURPOSE, subject=subject)
        with pytest.raises(Refused, match=f"the certificate with serial number {own.serial:x} is not for"):
            verify(own, [inter()], [root()])


# --- bounds ----------------------------------------------------------------------------------------------
def test_a_path_may_have_so_many_certificates_and_no_more():
    names = [f"ca {number}" for number in range(limits.CHAIN_CERTIFICATES - 1)]
    cas = [make(own, issuer, *CA) for own, issuer in zip(names, ["root", *names], strict=False)]
    assert len(verify(leaf(names[-2]), cas, [root()])) == limits.CHAIN_CERTIFICATES
    with pytest.raises(Refused, match="the path is longer than 8 certificates"):
        verify(leaf(names[-1]), cas, [root()])


def test_a_maze_of_equal_names_is_left_after_a_bounded_number_of_candidates():
    maze = [make("maze", "maze", *CA, own_key="maze") for _ in range(40)]
    begin = time.perf_counter()
    with pytest.raises(Refused, match="more than 64 issuer candidates") as caught:
        verify(leaf("maze"), maze, [root()])
    assert time.perf_counter() - begin < 2
    assert "give only the intermediates" in caught.value.hint


def test_the_refusal_is_that_of_the_candidate_which_came_farthest():
    near = inter(own_key="wrong")
    far = inter()
    with pytest.raises(Refused, match="'root' expired"):
        verify(leaf(), [near, far], [root(end=NOW - SECOND)])


# --- one step ----------------------------------------------------------------------------------------------
def test_verify_signed_by():
    chain.verify_signed_by(inter(), root())
    chain.verify_signed_by(root(), root())
    with pytest.raises(Refused, match="does not verify"):
        chain.verify_signed_by(inter(issuer_key="somebody"), root())
    with pytest.raises(Refused, match="is no CA"):
        chain.verify_signed_by(make("x", "leaf", *LEAF), leaf())


def test_no_flipped_bit_of_a_leaf_goes_unnoticed():
    good, middle = (
        leaf("inter", *LEAF, extensions.subject_alternative_name(general_name.Email("a@example.com"))),
        inter(),
    )
    chain.verify_signed_by(good, middle)
    for position in range(8 * len(good.der)):
        data = bytearray(good.der)
        data[position // 8] ^= 1 << position % 8
        with pytest.raises((Malformed, Refused)):
            chain.verify_signed_by(x509.parse_certificate(bytes(data)), middle)
