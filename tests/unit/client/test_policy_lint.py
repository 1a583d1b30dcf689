# SPDX-License-Identifier: Apache-2.0
"""What the lint says of a policy that can be read and is not what its author meant."""

from __future__ import annotations

from datetime import timedelta

import pytest

from client.policy.lint import find_doubts
from tests.unit.client.minilog import NOW
from tests.unit.client.policies import CI, ISSUER, policy

SOON = timedelta(days=30)
ALICE = {"issuer": ISSUER, "email": "a@b.example"}
KEY = {"publicKey": f"sha256:{'0' * 64}"}


def found(**changes):
    """All but the one doubt that the policy of the tests has on purpose."""
    return [
        (one.grave, one.where, one.what)
        for one in find_doubts(policy(**changes), NOW, SOON)
        if changes == {} or "anyName" not in one.what or "artifacts" in changes
    ]


def of(identity: dict, **rule):
    base = {"match": {"file": "a"}, "allow": ["x"]} | rule
    return found(identities={"x": identity}, groups=None, artifacts=[base])


def test_a_policy_with_one_loose_name_has_one_finding():
    ((grave, where, what),) = found()
    assert (grave, where) == (False, "the policy.artifacts[1]")
    assert what == "anyName with a wildcard: who renames a file chooses this rule"


@pytest.mark.parametrize(
    ("changes", "grave", "message"),
    [
        ({"expires": "2026-03-10"}, False, "ends in 9 days"),
        ({"expires": "2026-02-01"}, True, "ended at 2026-02-02T00:00:00Z"),
        ({"defaults": {"onNoMatch": "warn"}}, False, "renamed"),
        ({"defaults": {"require": ["log"]}}, False, "verifier's clock"),
    ],
)
def test_ends_and_defaults(changes, grave, message):
    ((is_grave, _, what),) = found(**changes)
    assert is_grave is grave
    assert message in what


@pytest.mark.parametrize(
    ("identity", "grave", "message"),
    [
        ({"issuer": CI, "san": "**"}, True, "leaves the host open"),
        ({"issuer": CI, "san": "https://*"}, True, "leaves the host open"),
        ({"issuer": CI, "san": "https://*.example/x"}, True, "leaves the host open"),
        ({"issuer": CI, "san": "https://ci.example/**"}, False, "crosses every /"),
        ({"issuer": "http://ci.example", "email": "a@b"}, False, "no https URL"),
        (KEY | {"until": "2026-03-20"}, False, "ends in"),
    ],
)
def test_wide_and_ending_identities(identity, grave, message):
    ((is_grave, where, what),) = of(identity)
    assert (is_grave, where) == (grave, "x")
    assert message in what


@pytest.mark.parametrize(
    "match",
    [{"file": "/etc/*"}, {"file": "a//b"}, {"file": "dist/"}, {"purl": "generic/x@*"}, {"oci": "oci:r.example/*"}],
)
def test_a_pattern_that_no_name_can_have_is_unreachable(match):
    ((grave, _, what),) = of(ALICE, match=match)
    assert grave
    assert what.startswith("unreachable: no ")


def test_a_rule_that_nobody_can_meet_any_more():
    findings = of(KEY | {"until": "2026-02-01"})
    assert (True, "the policy.artifacts[0]", "unreachable: 0 of 1 identities can still sign") in findings


def test_a_threshold_that_one_signer_under_two_names_cannot_meet():
    job = {"issuer": CI, "san": "https://ci.example/*"}

    def unreachable(one: dict, two: dict) -> list[str]:
        rule = {"match": {"file": "a"}, "allow": ["x", "y"], "threshold": 2}
        made = found(identities={"x": one, "y": two}, groups=None, artifacts=[rule])
        return [what for grave, _, what in made if grave]

    for same in (ALICE, KEY, {"issuer": CI, "san": "https://ci.example/job"}):
        assert unreachable(same, same) == ["unreachable: 1 of 2 signers, as some are named twice"]
    for other in (ALICE | {"email": "b@b.example"}, ALICE | {"issuer": CI}, KEY, job):
        assert unreachable(ALICE, other) == []
    assert unreachable(job, job) == []


def test_unused_identities_loose_names_and_overlaps():
    ((_, where, what),) = found(identities={"x": ALICE, "y": ALICE}, groups=None, artifacts=[{"match": {"file": "a"}, "allow": ["x"]}])  # fmt: skip
    assert (where, what) == ("y", "no rule names this identity")
    ((grave, _, what),) = of(ALICE, match={"file": "*.txt"}, anyName=True)
    assert (grave, what[:7]) == (False, "anyName")

    def overlaps(*patterns):
        rules = [{"match": {"file": pattern}, "allow": ["x"]} for pattern in patterns]
        return found(identities={"x": ALICE}, groups=None, artifacts=rules)

    ((grave, where, what),) = overlaps("installer-*", "*.msi")
    assert not grave
    assert where == "the policy.artifacts[0], the policy.artifacts[1]"
    assert "the policy.artifacts[0] decides for both" in what
    assert overlaps("dist/**", "dist/prod/*") == []
    assert overlaps("*.msi", "*.exe") == []
