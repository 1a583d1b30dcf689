# SPDX-License-Identifier: Apache-2.0
"""A policy in the words of others: what they can say, and that everything else is refused and never left out."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from client.policy.export import TARGETS, export_policy, pattern_of, unsaid
from client.policy.glob import Glob
from sigcore.errors import Refused
from tests.unit.client.policies import CI, ISSUER, KEY_HASH, PREDICATE, policy

PEOPLE = {
    "alice": {"issuer": ISSUER, "email": "alice@example.com"},
    "bob": {"issuer": ISSUER, "email": "bob@example.com"},
    "web": {"issuer": CI, "san": "https://ci.example/web/*//.ci.yml@refs/tags/*"},
    "job": {"issuer": CI, "san": "https://ci.example/job"},
    "claimed": {"issuer": CI, "san": "https://ci.example/job", "claims": {"source-repository-uri": "https://ci/r"}},
    "workflow": {"issuer": CI, "san": "https://ci.example/job", "claims": {"github-workflow-repository": "o/r"}},
    "key": {"publicKey": f"sha256:{KEY_HASH}"},
    "again": {"issuer": ISSUER, "email": "alice@example.com"},
    "any": {"issuer": CI, "san": "https://ci.example/**"},
    "loose": {"issuer": CI, "san": "**"},
    "asked": {"issuer": CI, "san": "https://ci.example/?job=1"},
    "odd": {"issuer": ISSUER, "email": "a?ice@example.com"},
}
IMAGES = {"match": {"oci": "r.example/**"}, "allow": ["alice"]}
FILES = {"match": {"file": "*.txt"}, "allow": ["alice"]}
ATTESTED = {"match": {"file": "a"}, "attestations": [{"predicateType": PREDICATE, "by": ["web"]}]}
WHERE = {"predicateType": PREDICATE, "by": ["web"], "where": {"a": "b"}}


def export(target: str, *rules: dict, **changes) -> str:
    return export_policy(policy(identities=PEOPLE, groups=None, artifacts=list(rules), **changes), target)


def test_cosign_flags_are_one_line_for_each_identity():
    text = export("cosign-flags", FILES | {"allow": ["alice", "web", "workflow"]}, ATTESTED | {"match": {"file": "b"}})
    heading, *lines = text.splitlines()
    assert heading == "# file '*.txt': one of"
    assert shlex.split(lines[0]) == ["--certificate-identity", "alice@example.com", "--certificate-oidc-issuer", ISSUER]
    pattern = shlex.split(lines[1])[1]
    assert re.fullmatch(pattern, "https://ci.example/web/shop//.ci.yml@refs/tags/v1")
    assert not re.search(pattern, "https://ci_example/web/shop//.ci.yml@refs/tags/v1")
    assert not re.search(pattern, "https://ci.example/web/a/b//.ci.yml@refs/tags/v1")
    assert shlex.split(lines[2])[-2:] == ["--certificate-github-workflow-repository", "o/r"]
    assert shlex.split(lines[4])[-2:] == ["--type", PREDICATE]


def test_gh_flags_are_for_attestations():
    lines = export("gh-flags", ATTESTED).splitlines()
    assert shlex.split(lines[1])[0] == "--cert-identity-regex"
    assert shlex.split(lines[1])[2:] == ["--cert-oidc-issuer", CI, "--predicate-type", PREDICATE]


def test_a_cluster_image_policy():
    text = export("clusterimagepolicy", IMAGES | {"allow": ["alice", "web"], "trustRoot": "public"})
    spec = json.loads(text)["spec"]
    assert spec["images"] == [{"glob": "r.example/**"}]
    first, second = spec["authorities"]
    assert first["keyless"] == {
        "identities": [{"issuer": ISSUER, "subject": "alice@example.com"}],
        "trustRootRef": "public",
    }
    assert set(second["keyless"]["identities"][0]) == {"issuer", "subjectRegExp"}
    attested = {"match": {"oci": "r.example/**"}, "attestations": ATTESTED["attestations"]}
    (authority,) = json.loads(export("clusterimagepolicy", attested))["spec"]["authorities"]
    assert authority["attestations"] == [{"name": "web", "predicateType": PREDICATE}]


def test_a_kyverno_policy_counts_attestors():
    rule = IMAGES | {"allow": ["alice", "bob", "workflow"], "threshold": 2, "attestations": ATTESTED["attestations"]}
    made, _ = json.loads(export("kyverno", rule))["spec"]["rules"]
    (images,) = made["verifyImages"]
    assert images["imageReferences"] == ["r.example/*"]
    (attestors,) = images["attestors"]
    assert attestors["count"] == 2
    assert attestors["entries"][2]["keyless"]["additionalExtensions"] == {"githubWorkflowRepository": "o/r"}
    assert images["attestations"][0]["type"] == PREDICATE


def test_kyverno_refuses_images_that_no_rule_is_about_where_the_policy_does():
    """It verifies what its references match and lets everything else in."""
    pinned = {"match": {"oci": f"other.example/x@sha256:{'0' * 64}"}, "allow": ["bob"]}
    *_, last = json.loads(export("kyverno", IMAGES, pinned))["spec"]["rules"]
    spec = last["validate"]["pattern"]["spec"]
    assert spec["containers"] == [{"image": f"r.example/* | other.example/x@sha256:{'0' * 64}"}]
    assert set(spec) == {"containers", "=(initContainers)", "=(ephemeralContainers)"}
    rules = json.loads(export("kyverno", IMAGES, defaults={"onNoMatch": "allow"}))["spec"]["rules"]
    assert [rule["name"] for rule in rules] == ["rule-0"]


def test_what_no_export_says_is_said_beside_it():
    for target in TARGETS:
        assert "when the policy ends" in unsaid(target)
    for target, client in (("kyverno", "kyverno"), ("clusterimagepolicy", "policy-controller")):
        assert f"the public one is trusted: `sigbox env {client}`" in unsaid(target)
    assert "no-match-policy" in unsaid("clusterimagepolicy")
    assert "--owner or --repo" in unsaid("gh-flags")


def test_a_podman_policy_demands_every_entry():
    one = {"match": {"oci": ["r.example/web/**", "r.example/web:*"]}, "allow": ["alice", "bob"], "threshold": 2}
    made = json.loads(export("podman", IMAGES, one))
    assert made["default"] == [{"type": "reject"}]
    scopes = made["transports"]["docker"]
    assert set(scopes) == {"r.example", "r.example/web"}
    assert [entry["fulcio"]["subjectEmail"] for entry in scopes["r.example/web"]] == [
        "alice@example.com",
        "bob@example.com",
    ]


@pytest.mark.parametrize(
    ("target", "rules", "message"),
    [
        ("cosign-flags", [FILES | {"allow": ["alice", "bob"], "threshold": 2}], "asks for 2 identities"),
        ("cosign-flags", [FILES | {"allow": ["key"]}], "allows the key key"),
        ("cosign-flags", [FILES | {"allow": ["claimed"]}], "claim source-repository-uri"),
        ("cosign-flags", [FILES | {"attestations": ATTESTED["attestations"]}], "a signature and an attestation"),
        ("cosign-flags", [ATTESTED | {"attestations": [WHERE]}], "has conditions"),
        ("gh-flags", [FILES], "other than one attestation"),
        ("gh-flags", [ATTESTED | {"attestations": [WHERE]}], "has conditions"),
        ("gh-flags", [{"match": {"file": "a"}, "attestations": [{"predicateType": PREDICATE, "by": ["claimed"]}]}], "claims"),
        ("clusterimagepolicy", [FILES], "is about files"),
        ("clusterimagepolicy", [IMAGES | {"allow": ["alice", "bob"], "threshold": 2}], "asks for 2"),
        ("clusterimagepolicy", [IMAGES, {"match": {"oci": "r.example/x/*"}, "allow": ["bob"]}], "share names"),
        ("clusterimagepolicy", [IMAGES | {"allow": ["claimed"]}], "asks for claims"),
        ("clusterimagepolicy", [IMAGES | {"attestations": [WHERE]}], "several things|conditions"),
        ("kyverno", [IMAGES | {"match": {"oci": "r.example/*"}}], "stops at /"),
        ("kyverno", [IMAGES | {"trustRoot": "public"}], "trusted root"),
        ("kyverno", [IMAGES | {"allow": ["claimed"]}], "claim source-repository-uri"),
        ("kyverno", [IMAGES | {"allow": ["odd"]}], "with a ?"),
        ("kyverno", [IMAGES | {"allow": ["asked"]}], "with a ?"),
        ("kyverno", [IMAGES | {"allow": ["alice", "again"], "threshold": 2}], "alice and again, who may be one"),
        ("kyverno", [IMAGES | {"allow": ["bob", "any", "web"], "threshold": 2}], "any and web, who may be one"),
        ("kyverno", [IMAGES | {"match": {"oci": "r.example/x:v1"}}], "cannot express"),
        ("kyverno", [IMAGES | {"match": {"oci": "r.example/x:**"}}], "cannot express"),
        ("kyverno", [IMAGES | {"match": {"oci": f"r.example/x:1@sha256:{'0' * 64}"}}], "cannot express"),
        ("kyverno", [IMAGES | {"match": {"oci": "r.example/x"}}], "cannot express"),
        ("kyverno", [IMAGES | {"match": {"oci": "r.example/x?y/**"}}], "cannot express"),
        ("podman", [IMAGES | {"allow": ["alice", "again"], "threshold": 2}], "alice and again, who may be one"),
        ("cosign-flags", [FILES | {"allow": ["loose"]}], "addresses match"),
        ("gh-flags", [ATTESTED | {"attestations": [{"predicateType": PREDICATE, "by": ["loose"]}]}], "addresses match"),
        ("clusterimagepolicy", [IMAGES | {"allow": ["loose"]}], "addresses match"),
        ("kyverno", [IMAGES | {"allow": ["key"]}], "allows the key"),
        ("kyverno", [IMAGES | {"attestations": [WHERE]}], "has conditions"),
        ("podman", [IMAGES | {"allow": ["web"]}], "no email address"),
        ("podman", [IMAGES | {"allow": ["alice", "bob"]}], "there all count"),
        ("podman", [IMAGES | {"match": {"oci": "r.example/web/**"}}], "alike"),
        ("podman", [IMAGES | {"match": {"oci": "r.example/web"}}], "alike"),
        ("podman", [IMAGES | {"match": {"oci": "r.example/*/x"}}], "cannot express"),
        ("podman", [IMAGES | {"attestations": ATTESTED["attestations"]}], "asks for attestations"),
    ],
)  # fmt: skip
def test_what_the_target_cannot_say_is_refused(target, rules, message):
    with pytest.raises(Refused) as caught:
        export(target, *rules)
    assert any(part in str(caught.value) for part in message.split("|"))


@pytest.mark.parametrize("target", ["podman", "kyverno"])
def test_who_only_lets_in_or_not_cannot_warn(target):
    with pytest.raises(Refused, match="cannot warn"):
        export(target, IMAGES, defaults={"onNoMatch": "warn"})


@pytest.mark.parametrize("pattern", ["a.b*c", "x/**", "(1)+[".replace("[", "?"), "*//.ci@*", "a-b#c&d~e"])
def test_the_regular_expression_of_a_pattern_agrees_with_it(pattern):
    glob, compiled = Glob(pattern), re.compile(pattern_of(Glob(pattern)))
    for name in ("a.bc", "aXbc", "a.b/c", "x/y/z", "x/", "(1)+?", "11", "q//.ci@v", "q/r//.ci@v", "a-b#c&d~e", ""):
        assert bool(compiled.search(name)) == glob.matches(name), name


def test_every_target_is_tested_here():
    assert set(TARGETS) == {"clusterimagepolicy", "kyverno", "podman", "cosign-flags", "gh-flags"}
