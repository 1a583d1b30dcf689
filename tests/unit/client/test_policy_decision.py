# SPDX-License-Identifier: Apache-2.0
"""What a policy decides, from signatures that are verified: each rule of meaning, and each way around it that is closed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from client.policy.conditions import failing, parse_conditions
from client.policy.decision import decide, decide_attestations, find_rule, pick_name
from client.policy.names import asserted_name, local_name
from client.verify import verify_own
from sigcore import general_name
from sigcore.errors import Refused
from sigcore.strict import Fields
from tests.unit.client.minilog import NOW
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, digest_of, statement_about
from tests.unit.client.policies import EXPIRES, JOB, OTHER, PREDICATE, by_job, by_key, policy, signed

BOB = general_name.Email("bob@example.com")


def refusal(name: str, *bundles, **changes) -> str:
    return decide(policy(**changes), asserted_name(name), bundles, NOW).refusal


def attestation(sigstore, **members):
    bundle = sigstore.attest("hashedrekord 0.0.2", statement_about(ARTIFACT, **members))
    return verify_own(bundle, digest_of(ARTIFACT), root=sigstore.root)


# --- which rule --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("installer-1.msi", 0),
        ("pkg:generic/installer@1", 0),
        ("file:notes.txt", 1),
        ("dist/a/b.txt", 2),
        ("oci:r.example/web/shop", 3),
        ("oci:installer-1.msi", None),
        ("Installer-1.msi", None),
        ("installer-1.msi.exe", None),
        ("sub/notes.txt", None),
        ("oci:R.example/web/shop", None),
        ("pkg:generic/installer@1/2", None),
        ("r.example/web/shop", None),
    ],
)
def test_the_most_specific_rule_of_the_name_s_own_kind(name, number):
    made = policy()
    assert find_rule(made, asserted_name(name)) == (None if number is None else made.rules[number])


@pytest.mark.parametrize(
    "name",
    ["", "dist/", "/etc/x.txt", "a//b", "dist/../x.txt", "./x.txt", "a\\b.txt", "x\u202etxt", "e\u0301.txt", "x\n.txt", "oci:"],
)  # fmt: skip
def test_a_name_has_one_spelling(name):
    with pytest.raises(Refused, match="the name"):
        asserted_name(name)


def test_a_local_name_is_the_last_part_of_the_path():
    assert local_name("/srv/../x/notes.txt").text == "notes.txt"
    for path in ("x/", "..", "x/.."):
        with pytest.raises(Refused):
            local_name(path)


def test_a_more_specific_rule_takes_the_place_of_a_wider_one(sigstore):
    """It may be stricter: what the wider one allows is not added."""
    wide = {"match": {"file": "dist/**"}, "allow": ["alice"]}
    narrow = {"match": {"file": "dist/prod/*"}, "allow": ["bob"]}
    for rules in ([wide, narrow], [narrow, wide]):
        assert not refusal("dist/x", signed(sigstore), artifacts=rules)
        assert "expected the address 'bob@example.com'" in refusal("dist/prod/x", signed(sigstore), artifacts=rules)


@pytest.mark.parametrize(("verdict", "refused", "warned"), [("deny", True, False), ("warn", False, True), ("allow", False, False)])  # fmt: skip
def test_a_name_without_a_rule(sigstore, verdict, refused, warned):
    decision = decide(policy(defaults={"onNoMatch": verdict}), asserted_name("none"), (signed(sigstore),), NOW)
    assert (bool(decision.refusal), bool(decision.warning)) == (refused, warned)


# --- an image has two names --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (("r.example/web/**", "r.example/web/shop"), 1),
        (("r.example/web/shop", "r.example/web/shop:*"), 1),
        (("r.example/web/shop", "r.example/web/shop**"), 0),
        (("r.example/web/shop", "r.example/web/shop:v1"), 1),
        (("r.example/web/*p", "r.example/web/**"), 0),
        (("r.example/web/shop*", "r.example/web/*"), 0),
        (("other/**", "r.example/web/shop"), 1),
        (("r.example/web/shop:v2", "r.example/web/**"), 1),
        (("other/**", "r.example/web/shop:v2"), None),
    ],
)
def test_a_rule_about_a_repository_is_about_its_tags_unless_a_closer_one_is(patterns, chosen):
    """A weaker rule for all of a registry must not decide because it alone matches the tag."""
    rules = [{"match": {"oci": pattern}, "allow": ["alice"]} for pattern in patterns]
    for order in (rules, rules[::-1]):
        made = policy(artifacts=order)
        tagged, plain = asserted_name("oci:r.example/web/shop:v1"), asserted_name("oci:r.example/web/shop")
        rule = find_rule(made, pick_name(made, tagged, plain))
        found = None if rule is None else next(glob.text for _, glob in rule.match)
        assert found == (None if chosen is None else patterns[chosen])


# --- who ---------------------------------------------------------------------------------------------
def test_an_identity_is_issuer_and_name(sigstore):
    assert not refusal("notes.txt", signed(sigstore))
    assert "the issuer is" in refusal("notes.txt", signed(sigstore, issuer=OTHER))
    assert "the issuer is" in refusal("notes.txt", signed(sigstore, issuer=f"{ISSUER}/"))
    for other in ("signer@example.com.evil", "Signer@example.com", "xsigner@example.com", "bob@example.com"):
        assert "expected the address" in refusal("notes.txt", signed(sigstore, general_name.Email(other)))
    assert "expected the address" in refusal("notes.txt", signed(sigstore, general_name.Uri(EMAIL)))


@pytest.mark.parametrize(
    "uri",
    [
        JOB.replace("shop", "shop/sub"),
        JOB.replace("shop", ".."),
        JOB.replace("/web/", "/web2/"),
        JOB.replace("tags", "heads"),
        JOB.replace("ci.example", "CI.example"),
        f"{JOB}/x",
        f"x{JOB}",
        JOB.replace("//.ci", "/.ci"),
    ],
)
def test_v17_a_pattern_for_a_machine_takes_no_other_machine(sigstore, uri):
    assert not refusal("dist/x", by_job(sigstore), artifacts=[{"match": {"file": "dist/**"}, "allow": ["web"]}])
    assert "expected 'https://ci.example/web/*" in refusal("dist/x", by_job(sigstore, uri))


def test_claims_are_compared_and_a_missing_one_fails(sigstore):
    assert "claim source-repository-owner-uri is 'https://ci.example/evil'" in refusal(
        "dist/x", by_job(sigstore, owner="https://ci.example/evil")
    )
    assert "claim source-repository-owner-uri is ''" in refusal("dist/x", by_job(sigstore, owner=""))


def test_v14_a_key_is_no_person_and_a_person_no_key(sigstore):
    key = by_key(sigstore)
    assert not refusal("dist/x", key)
    assert "a bare key signed" in refusal("notes.txt", key)
    keys_only = [{"match": {"file": "*"}, "allow": ["old-key"]}]
    assert "a certificate signed" in refusal("x", signed(sigstore), artifacts=keys_only)


def test_a_key_past_its_end_is_refused_by_the_time_that_is_signed(sigstore):
    key = by_key(sigstore)
    kept = policy().identity("old-key")
    for until, good in ((NOW + timedelta(seconds=1), True), (NOW, False), (NOW - timedelta(days=1), False)):
        identities = {"k": {"publicKey": f"sha256:{kept.sha256}", "until": until.strftime("%Y-%m-%dT%H:%M:%SZ")}}
        made = policy(identities=identities, groups=None, artifacts=[{"match": {"file": "*"}, "allow": ["k"]}])
        later = NOW + timedelta(days=300)
        decision = decide(made, asserted_name("x"), (key,), later)
        assert (decision.refusal == "") is good, decision.refusal
        assert good or "the key was good until" in decision.refusal


def test_of_several_signed_times_a_key_must_have_been_good_at_the_last(sigstore):
    key = by_key(sigstore)
    (time,) = key.times
    later = replace(key, times=(replace(time, time=NOW + timedelta(days=400)), time))
    assert "the key was good until" in refusal("dist/x", later)


def test_an_address_is_matched_by_no_pattern_for_uris(sigstore):
    everybody = {"identities": {"x": {"issuer": ISSUER, "san": "**"}}, "groups": None}
    rule = [{"match": {"file": "*"}, "allow": ["x"]}]
    assert "expected a URI" in refusal("a", signed(sigstore), **everybody, artifacts=rule)


def test_a_claim_that_is_absent_is_matched_by_no_pattern(sigstore):
    anything = {"x": {"issuer": OTHER, "email": EMAIL, "claims": {"build-config-uri": "*"}}}
    made = {"identities": anything, "groups": None, "artifacts": [{"match": {"file": "*"}, "allow": ["x"]}]}
    assert "the claim build-config-uri is ''" in refusal("a", signed(sigstore, issuer=OTHER), **made)
    assert not refusal("a", signed(sigstore, issuer=OTHER, build_config_uri="x"), **made)


def test_a_signature_without_a_time_needs_a_policy_that_does_not_require_one(sigstore):
    timeless = by_key(sigstore)
    untimed = replace(timeless, times=())
    assert "requires a time" in refusal("dist/x", untimed)
    assert not refusal("dist/x", untimed, defaults={"require": ["log"]})
    late = policy(defaults={"require": ["log"]})
    assert (
        "nothing says when it signed"
        in decide(late, asserted_name("dist/x"), (untimed,), EXPIRES - timedelta(1)).refusal
    )


# --- how many ----------------------------------------------------------------------------------------
def test_v09_a_threshold_counts_distinct_identities(sigstore):
    alice, again, bob = signed(sigstore), signed(sigstore), signed(sigstore, BOB)
    assert not refusal("installer-1.msi", alice, bob)
    for bundles in ((alice,), (alice, again), (alice, alice), ()):
        assert "asks for 2 of alice, bob" in refusal("installer-1.msi", *bundles)


def test_one_signer_under_two_names_is_one_and_two_signers_under_one_name_are_one(sigstore):
    wide = {"issuer": "https://ci.example", "san": "https://ci.example/**"}
    pair = {"match": {"file": "*"}, "allow": ["a", "b"], "threshold": 2}
    made = {"identities": {"a": wide, "b": wide}, "groups": None, "artifacts": [pair]}
    assert "found 1 that are distinct" in refusal("x", by_job(sigstore), by_job(sigstore), **made)
    assert not refusal("x", by_job(sigstore), by_job(sigstore, f"{JOB}2"), **made)
    narrow = {"issuer": OTHER, "san": "https://ci.example/**"}
    made = {"identities": {"a": wide, "b": narrow}, "groups": None, "artifacts": [pair]}
    assert "found 1 that are distinct" in refusal("x", by_job(sigstore), by_job(sigstore, f"{JOB}2"), **made)


# --- the name is the attacker's --------------------------------------------------------------------
def test_a_local_name_counts_for_nothing_unless_something_signed_carries_it(sigstore):
    made = policy()
    renamed = decide(made, local_name("dist/installer-1.msi"), (signed(sigstore), signed(sigstore, BOB)), NOW)
    assert "whoever made the file chose it" in renamed.refusal
    assert "--as NAME" in renamed.hint
    assert "statement" not in renamed.hint, "with or without one, the rule asks for signatures of the file"
    assert not decide(made, local_name("dist/notes.txt"), (signed(sigstore),), NOW).refusal


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (["it"], True),
        (["x", "it"], True),
        (["x"], False),
        (["It"], False),
        (["sub/it"], False),
        (["pkg:generic/it@1"], True),
        (["pkg:generic/other@1"], False),
        ([""], False),
    ],
)
def test_a_statement_carries_the_name_of_the_artifact_s_own_subject(sigstore, names, good):
    own = digest_of(ARTIFACT).hex()
    subjects = [{"name": name, "digest": {"sha256": own}} for name in names]
    subjects.append({"name": "it", "digest": {"sha256": "00" * 32}})  # the right name on another artifact
    rule = {
        "match": {"file": "it", "purl": "pkg:generic/it@*"},
        "attestations": [{"predicateType": PREDICATE, "by": ["alice"]}],
    }
    for judge in (decide, decide_attestations):
        found = judge(policy(artifacts=[rule]), local_name("it"), (attestation(sigstore, subject=subjects),), NOW)
        assert (found.refusal == "") is good, found.refusal
        assert good or "sign a statement with that subject" in found.hint


# --- attestations ----------------------------------------------------------------------------------
BUILD = {"build": {"type": "https://b/1"}}


def test_an_attestation_is_of_the_type_by_the_right_one_with_every_condition(sigstore):
    good = attestation(sigstore, predicate=BUILD)
    assert not refusal("it", good)
    assert "demands an attestation" in refusal("it")
    assert "it is the signature of a file" in refusal("it", signed(sigstore))
    assert "is of the type 'https://other/'" in refusal("it", attestation(sigstore, predicateType="https://other/"))
    assert "'build.type' is missing" in refusal("it", attestation(sigstore))
    wrong = attestation(sigstore, predicate={"build": {"type": "https://b/1/2"}})
    assert "'build.type' is 'https://b/1/2'" in refusal("it", wrong)
    by_bob = [{"match": {"file": "it"}, "attestations": [{"predicateType": PREDICATE, "by": ["bob"]}]}]
    assert "it is by none of bob" in refusal("it", good, artifacts=by_bob)
    by_bob[0]["attestations"][0]["by"] = ["bob", "alice"]
    assert not refusal("it", good, artifacts=by_bob)


def test_v03_an_attestation_is_no_signature_of_the_file(sigstore):
    assert "no further signature of the file was given" in refusal("notes.txt", attestation(sigstore, predicate=BUILD))


def test_attestations_alone_are_each_asked_for(sigstore):
    def alone(name, *bundles):
        return decide_attestations(policy(), asserted_name(name), bundles, NOW).refusal

    good, other = attestation(sigstore, predicate=BUILD), attestation(sigstore, predicateType="https://other/")
    assert not alone("it", good)
    assert "asks for no attestation of the type 'https://other/'" in alone("it", good, other)
    assert "asks for no attestation" in alone("notes.txt", good)
    assert "'build.type' is missing" in alone("it", attestation(sigstore))
    assert "asks for no attestation of the type" in alone("it", signed(sigstore))
    assert "no rule" in alone("none", good)


@pytest.mark.parametrize(
    ("where", "predicate", "good"),
    [
        ({"a.b": "x"}, {"a": {"b": "x"}}, True),
        ({"a.b": "x"}, {"a": {"b": "X"}}, False),
        ({"a.b": "x"}, {"a.b": "x"}, False),
        ({"a.b": "x"}, {"a": "x"}, False),
        ({"a": "x"}, {"a": ["x"]}, False),
        ({"a": "x*"}, {"a": "xy"}, True),
        ({"a": "x*"}, {"a": "x/y"}, False),
        ({"a": {"equals": "x*"}}, {"a": "xy"}, False),
        ({"a": {"equals": "x*"}}, {"a": "x*"}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {}, False),
        ({"a": ["x", "y*"]}, {"a": "yz"}, True),
        ({"a": ["x", "y*"]}, {"a": "z"}, False),
        ({"a": {"contains": "x"}}, {"a": ["y", "x"]}, True),
        ({"a": {"contains": "x"}}, {"a": "x"}, False),
        ({"a": {"contains": "x"}}, {"a": []}, False),
        ({"t": {"after": "2026-01-01"}}, {"t": "2026-01-01T23:59:59Z"}, False),
        ({"t": {"after": "2026-01-01"}}, {"t": "2026-01-02T00:00:01Z"}, True),
        ({"t": {"after": "2026-01-01T00:00:00Z"}}, {"t": "2026-01-01T00:00:00Z"}, False),
        ({"t": {"before": "2026-01-01T00:00:00Z"}}, {"t": "2026-01-01T00:00:00Z"}, False),
        ({"t": {"before": "2026-01-01T00:00:00Z"}}, {"t": "2026-01-01T00:30:00+01:00"}, True),
        ({"t": {"after": "2026-01-01", "before": "2026-02-01"}}, {"t": "2026-03-01T00:00:00Z"}, False),
        ({"t": {"before": "2026-01-01"}}, {"t": "yesterday"}, False),
        ({"t": {"before": "2026-01-01"}}, {"t": 0}, False),
    ],
)
def test_conditions(where, predicate, good):
    (condition,) = parse_conditions(Fields.of(where, "where"))
    assert (failing(condition, json.loads(json.dumps(predicate))) == "") is good


# --- expiry, report ----------------------------------------------------------------------------------
def test_an_expired_policy_decides_nothing(sigstore):
    made = policy()
    bundle = signed(sigstore)
    assert not decide(made, asserted_name("notes.txt"), (bundle,), made.expires - timedelta(seconds=1)).refusal
    for judge in (decide, decide_attestations):
        with pytest.raises(Refused, match="the policy expired at"):
            judge(made, asserted_name("notes.txt"), (bundle,), made.expires)


def test_the_decision_names_the_rule_every_candidate_and_the_first_check_that_failed(sigstore):
    made = policy()
    decision = decide(made, asserted_name("installer-1.msi"), (signed(sigstore), by_job(sigstore)), NOW)
    assert decision.rule == made.rules[0]
    found = {(one.identity, one.signature): one.failing for one in decision.candidates}
    assert found[("alice", 0)] == ""
    assert "expected the address 'bob@example.com'" in found[("bob", 0)]
    assert "the issuer is 'https://ci.example'" in found[("alice", 1)]
    assert len(found) == 4
