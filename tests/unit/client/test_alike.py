# SPDX-License-Identifier: Apache-2.0
"""A certificate that is like one met before is cut at the same places: it has the value and the verdicts of one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from client.verify.certificate import verify_certificate
from client.verify.identity import read_signer
from client.verify.scts import verify_scts
from sigcore import alike, der, extensions, fulcio, keys, signatures, x509
from sigcore.errors import SigError
from sigcore.general_name import Email
from sigcore.x509 import Certificate
from tests.unit.client.minisig import EMAIL, ISSUER, NOW, OPEN, MiniSigstore

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def own() -> MiniSigstore:
    return MiniSigstore()


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    alike._memory.cache_clear()
    yield
    alike._memory.cache_clear()


def said(certificate: Certificate) -> list[object]:
    return [getattr(certificate, name) for name in Certificate.__slots__ if name != "like"]


def found(work):
    """What ``work`` gives, or why not."""
    try:
        return work()
    except SigError as error:
        return type(error), error.message, error.hint


def verdicts(leaf: Certificate, own: MiniSigstore, at=NOW) -> list[object]:
    """All that a verification asks of a certificate."""
    issuer = own.ca.intermediate
    return [
        found(lambda: [said(one) for one in verify_certificate(leaf, [at], own.root.certificate_authorities)]),
        found(lambda: verify_scts(leaf, issuer, own.root.ct_logs)),
        found(lambda: read_signer(leaf)),
    ]


def issue(own: MiniSigstore, **given) -> bytes:
    return own.certify(keys.generate_p256().public_key(), **given)


def learn(own: MiniSigstore, **given) -> None:
    """Certificates of the sizes that signatures lead to, so that patterns of them are known."""
    for _ in range(32):
        alike.parse_leaf(issue(own, **given))


def known(own: MiniSigstore, **given) -> bytes:
    """A new certificate that is like an earlier one: few signatures are so short that theirs is of another size."""
    learn(own)
    return next(data for data in (issue(own, **given) for _ in range(1000)) if alike.parse_leaf(data).like is not None)


def signed_again(own: MiniSigstore, leaf: Certificate, tbs: bytes) -> bytes:
    """A certificate that the authority has signed, whatever it says."""
    signature = signatures.sign(leaf.signature_algorithm, own.ca.key, tbs)
    return der.sequence(tbs, leaf.signature_algorithm, der.bit_string(signature))


def changed(data: bytes) -> Iterator[bytes]:
    """``data`` with each byte changed in several ways."""
    for place, byte in enumerate(data):
        for other in {byte ^ 1, byte ^ 0x80, (byte + 1) & 0xFF, 0} - {byte}:
            yield data[:place] + bytes((other,)) + data[place + 1 :]


def compare(data: bytes, own: MiniSigstore) -> bool:
    """That both readers agree on ``data``, and all that asks them; whether it was found to be like another one."""
    plain, quick = (
        found(lambda read=read: read(data, what="it")) for read in (x509.parse_certificate, alike.parse_leaf)
    )
    if not isinstance(plain, Certificate):
        assert quick == plain
        return False
    assert said(quick) == said(plain)
    assert verdicts(quick, own) == verdicts(plain, own)
    return quick.like is not None


def test_certificates_of_one_signer_are_like_each_other(own):
    for _ in range(20):
        data = known(own)
        leaf = alike.parse_leaf(data)
        assert leaf.like is not None
        assert leaf.like.der != data
        assert said(leaf) == said(x509.parse_certificate(data))
        assert verdicts(leaf, own) == verdicts(x509.parse_certificate(data), own)
        assert leaf == x509.parse_certificate(data)


def test_the_good_verdicts_are_good(own):
    leaf = alike.parse_leaf(known(own))
    path, scts, signer = verdicts(leaf, own)
    assert [one[0] for one in path] == [leaf.der, own.ca.intermediate.der, own.ca.root.der]
    assert len(scts) == 1
    assert (signer.identity, signer.issuer) == (EMAIL, ISSUER)


def test_whatever_byte_is_changed_both_readers_agree(own):
    taken = [compare(data, own) for data in changed(known(own))]
    assert sum(taken) > len(taken) / 20, "a changed key or signature is like the others"
    assert not all(taken)


def test_whatever_byte_the_authority_signs_both_readers_agree(own):
    """Here the signature holds, so that every later check has its turn."""
    leaf = alike.parse_leaf(known(own))
    taken = [compare(signed_again(own, leaf, tbs), own) for tbs in changed(leaf.tbs)]
    assert sum(taken) > len(taken) / 20
    assert not all(taken)


def issued_by(issuer: str) -> tuple[x509.Extension, ...]:
    return fulcio.encode_extensions(fulcio.FulcioExtensions(issuer))


@pytest.mark.parametrize("size", [1, 127, 128, 65_536, 70_000])
def test_what_is_cut_short_or_goes_on_is_refused_alike(own, size):
    data = known(own)
    for other in (data[:-size], data + bytes(size), data[: min(size, len(data) - 1)]):
        assert not compare(other, own)


USAGE = (extensions.key_usage("digitalSignature"), extensions.extended_key_usage(x509.EKU_CODE_SIGNING))
OTHERS = {
    "another identity of the same length": {"san": Email(EMAIL[::-1].replace("moc.", ".moc"))},
    "another issuer of the same length": {"issuer": ISSUER.replace("auth", "AUTH")},
    "two issuers": {"issuer": (issued_by(ISSUER)[0], issued_by(ISSUER.replace("auth", "AUTH"))[1])},
    "no issuer": {"issuer": ()},
    "no SCT": {"scts": 0},
    "two SCTs": {"scts": 2},
    "a CA": {"usage": (*USAGE, extensions.basic_constraints(ca=True))},
    "another purpose": {"usage": (USAGE[0], extensions.extended_key_usage(x509.EKU_TIME_STAMPING))},
    "another key usage": {"usage": (extensions.key_usage("keyAgreement"), USAGE[1])},
    "key usage that is not critical": {"usage": (replace(USAGE[0], critical=False), USAGE[1])},
    "a critical extension that nobody knows": {
        "usage": (*USAGE, x509.Extension("1.2.3", critical=True, value=b"\x05\x00"))
    },
    "poison": {"usage": (*USAGE, extensions.poison()), "scts": 0},
    "expired": {"not_before": NOW - 10 * MINUTE, "not_after": NOW - MINUTE},
    "not valid yet": {"not_before": NOW + MINUTE, "not_after": NOW + 10 * MINUTE},
    "valid for a moment": {"not_before": NOW, "not_after": NOW},
}


@pytest.mark.parametrize("given", OTHERS.values(), ids=OTHERS)
def test_a_certificate_of_another_kind_keeps_its_verdicts(own, given):
    learn(own)  # the good ones first: nobody may profit from them
    both = [issue(own, **given) for _ in range(24)]
    for data in both:
        compare(data, own)
    assert [alike.parse_leaf(data).like is not None for data in both][-6:].count(True) > 0


@pytest.mark.parametrize("minutes", [-6, -5, 0, 5, 6])
def test_its_times_are_its_own(own, minutes):
    data = known(own, not_before=NOW - 5 * MINUTE, not_after=NOW + 5 * MINUTE)
    leaf, at = alike.parse_leaf(data), NOW + minutes * MINUTE
    assert leaf.like is not None
    assert verdicts(leaf, own, at) == verdicts(x509.parse_certificate(data), own, at)


def test_an_authority_that_is_no_longer_trusted_vouches_for_none(own):
    leaf = alike.parse_leaf(known(own))
    assert leaf.like is not None
    chain = own.root.certificate_authorities[0]
    assert verify_certificate(leaf, [NOW], [chain])
    with pytest.raises(SigError, match="is trusted from"):
        verify_certificate(leaf, [NOW], [replace(chain, validity=replace(OPEN, end=NOW - MINUTE))])
    with pytest.raises(SigError, match="vouches"):
        verify_certificate(leaf, [NOW], MiniSigstore().root.certificate_authorities)


def test_another_authority_of_the_same_name_is_another_one(own):
    """The same bytes around, by another key: like the others, and refused."""
    other = MiniSigstore()
    learn(own)
    verdict = [verdicts(leaf, own)[0] for leaf in map(alike.parse_leaf, (issue(other) for _ in range(8)))]
    assert all(type(one) is tuple for one in verdict)


def test_what_is_kept_has_a_bound(own):
    for number in range(200):
        alike.parse_leaf(issue(own, san=Email(f"{number:03d}@example.com")))
        alike.parse_leaf(issue(own, san=Email(f"{number:03d}@example.com")))
    sizes = {issue(own, san=Email("000@example.com"))[4:8] for _ in range(32)}
    for head in sizes:
        memory = alike._memory(head)
        patterns, waiting = memory.patterns, memory.waiting
        assert len(patterns) <= alike._KEPT
        assert len(waiting) <= alike._KEPT
    assert any(len(alike._memory(head).patterns) == alike._KEPT for head in sizes)
