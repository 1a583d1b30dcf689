# SPDX-License-Identifier: Apache-2.0
"""Who signed what a log holds: counted when the trusted root vouches for it, and drafted as narrow as a policy can be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from client.policy import logged_signers
from client.policy.document import parse_policy
from client.policy.log_draft import draft_policy, encode_draft
from client.policy.logged_signers import LoggedSigner, Tally
from client.policy.rules import BareKey, Keyless
from sigcore import fulcio, general_name, limits
from sigcore.bundle import Bundle
from sigcore.errors import NotFound, Refused
from tests.unit.client.minisig import EMAIL, ISSUER, MiniSigstore
from tests.unit.client.policies import JOB, KEY, KEY_HASH

CLAIMS = fulcio.encode_extensions(fulcio.FulcioExtensions(ISSUER, source_repository_uri="https://ci.example/web"))


def counted(root: MiniSigstore, *bundles: Bundle, **options: object) -> Tally:
    tally = Tally(root.root, **options)
    for bundle in bundles:
        tally.add(bundle.log_entries[0])
    return tally


def drafted(tally: Tally) -> str:
    return encode_draft(draft_policy(tally.signers(), "2099-12-31"), ["a log"], tally.left_out.most_common())


def test_identities_are_counted_by_name_issuer_and_claims(sigstore: MiniSigstore):
    job = sigstore.sign(san=general_name.Uri(JOB), issuer=CLAIMS)
    plain = sigstore.sign(san=general_name.Uri(JOB))
    tally = counted(sigstore, sigstore.sign(), job, sigstore.sign(), sigstore.sign_v1(), plain)
    found = {str(one.identity): one for one in tally.signers()}
    alice = found[str({"issuer": ISSUER, "email": EMAIL})]
    assert (alice.signatures, alice.attestations) == (3, 0)
    claims = {"source-repository-uri": "https://ci.example/web"}
    assert found[str({"issuer": ISSUER, "san": JOB, "claims": claims})].count == 1
    assert found[str({"issuer": ISSUER, "san": JOB})].count == 1
    assert not tally.left_out
    assert next(iter(tally.signers())) == alice, "the busiest comes first"


def test_times_are_the_logs_or_the_certificates(sigstore: MiniSigstore):
    (one,) = counted(sigstore, sigstore.sign()).signers()
    assert one.first == one.last == sigstore.now - timedelta(minutes=1)
    (one,) = counted(sigstore, sigstore.sign(), sigstore.sign_v1()).signers()
    assert (one.first, one.last) == (sigstore.now - timedelta(minutes=1), sigstore.now)


@pytest.mark.parametrize("bad", ["stranger", "no SCT", "expired", "changed", "unknown"])
def test_what_the_root_does_not_vouch_for_names_nobody(sigstore: MiniSigstore, bad: str):
    good = sigstore.sign()
    entry = good.log_entries[0]
    late = sigstore.sign_v1().log_entries[0]
    lies = {
        "stranger": (MiniSigstore().sign().log_entries[0], logged_signers.UNTRUSTED),
        "no SCT": (sigstore.sign(scts=0).log_entries[0], logged_signers.UNTRUSTED),
        "expired": (replace(late, integrated_time=late.integrated_time + 3600), logged_signers.UNTRUSTED),
        "changed": (replace(entry, body=_other_digest(entry.body)), logged_signers.BROKEN),
        "unknown": (replace(entry, body=b'{"kind":"x","apiVersion":"1","spec":{}}'), logged_signers.UNREADABLE),
    }
    lie, reason = lies[bad]
    tally = counted(sigstore, good)
    tally.add(lie)
    assert dict(tally.left_out) == {reason: 1}
    assert [one.count for one in tally.signers()] == [1]


def _other_digest(body: bytes) -> bytes:
    begin = body.index(b'"digest":"') + len(b'"digest":"')
    return body[:begin] + (b"A" if body[begin : begin + 1] != b"A" else b"B") + body[begin + 1 :]


def test_a_name_that_would_be_a_pattern_is_left_out(sigstore: MiniSigstore):
    """A policy would take the star for any characters, and let others in."""
    star = sigstore.sign(san=general_name.Uri("https://ci.example/*"))
    tally = counted(sigstore, sigstore.sign(), star)
    assert dict(tally.left_out) == {logged_signers.UNSAYABLE: 1}
    assert len(tally.signers()) == 1


def test_bare_keys_count_where_they_are_asked_for(sigstore: MiniSigstore):
    keyed = sigstore.sign_v1(key=KEY)
    assert dict(counted(sigstore, keyed).left_out) == {logged_signers.KEY: 1}
    tally = counted(sigstore, keyed, bare_keys=True)
    ((_, identity),) = parse_policy(drafted(tally).encode()).identities
    assert identity == BareKey(KEY_HASH)
    (one,) = tally.signers()
    assert one.first == sigstore.now


def test_what_is_old_or_seldom_is_left_out(sigstore: MiniSigstore):
    bundles = [sigstore.sign(), sigstore.sign_v1(), sigstore.sign(san=general_name.Uri(JOB))]
    tally = counted(sigstore, *bundles, since=sigstore.now)
    assert [one.count for one in tally.signers()] == [1]
    assert dict(tally.left_out) == {logged_signers.EARLIER: 2}
    tally = counted(sigstore, *bundles)
    assert [one.identity["email"] for one in tally.signers(2)] == [EMAIL]
    assert dict(tally.left_out) == {logged_signers.SELDOM: 1}
    undated = counted(sigstore, sigstore.sign_v1(key=KEY), since=sigstore.now, bare_keys=True)
    assert [one.count for one in undated.signers()] == [1]


def test_who_only_attested_is_named_and_not_allowed(sigstore: MiniSigstore):
    attested = [sigstore.attest(kind) for kind in ("dsse 0.0.1", "intoto 0.0.2")]
    tally = counted(sigstore, *attested, sigstore.sign(san=general_name.Uri(JOB)))
    policy = parse_policy(drafted(tally).encode())
    names = {one.email or one.san.text: name for name, one in policy.identities if isinstance(one, Keyless)}
    assert policy.rules[0].allow == (names[JOB],)
    assert set(names) == {JOB, EMAIL}
    alone = counted(sigstore, *attested)
    assert parse_policy(drafted(alone).encode()).rules == ()
    assert "2 attestations" in drafted(alone)


def test_a_draft_has_bounds(sigstore: MiniSigstore):
    with pytest.raises(NotFound, match="nobody signed"):
        draft_policy(counted(sigstore).signers(), "2099-12-31")
    many = [
        LoggedSigner({"issuer": ISSUER, "email": f"{number}@example.com"}, 1, 0, sigstore.now, sigstore.now)
        for number in range(limits.POLICY_IDENTITIES + 1)
    ]
    with pytest.raises(Refused, match="1025 identities signed"):
        draft_policy(many, "2099-12-31")
    full = draft_policy(many[1:], "2099-12-31")
    with pytest.raises(Refused, match="bytes long, and a policy in YAML"):
        encode_draft(full, [], [])
    assert len(parse_policy(encode_draft(draft_policy(many[:500], "2099-12-31"), [], []).encode()).identities) == 500


def test_nothing_that_was_read_ends_a_comment(sigstore: MiniSigstore):
    draft = draft_policy(counted(sigstore, sigstore.sign()).signers(), "2099-12-31")
    text = encode_draft(draft, ['x\nidentities: {"evil": {}}\u2028\x85y: 1'], [])
    assert text.count("\n# Read: ") == 1
    assert parse_policy(text.encode()).identities == parse_policy(encode_draft(draft, [], []).encode()).identities
