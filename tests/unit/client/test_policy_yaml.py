# SPDX-License-Identifier: Apache-2.0
"""Policies in YAML: the same as in JSON, and nothing that two readers could take for different things."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from client.policy.document import parse_policy
from client.policy.yaml_form import parse_yaml
from sigcore.errors import Malformed
from tests.unit.client.policies import DOCUMENT, policy

PROPOSAL = """
apiVersion: policy/v1
expires: 2027-03-31            # after this, verify fails with its own exit code
defaults: {require: [log, time], onNoMatch: deny}
identities:
  web-release:
    issuer: https://gitlab.corp.example
    san: https://gitlab.corp.example/web/*//.gitlab-ci.yml@refs/tags/*
    claims: {source-repository-owner-uri: https://gitlab.corp.example/web}
  alice: {issuer: https://idp.corp.example, email: alice@corp.example}
  bob: {issuer: https://idp.corp.example, email: bob@corp.example}
groups:
  release-managers: [alice, bob]
artifacts:
  - match: {oci: "registry.corp.example/web/**"}
    allow: [web-release]
    attestations:
      - predicateType: https://slsa.dev/provenance/v1
        by: [web-release]
        where: {buildDefinition.buildType: "https://gitlab.com/..."}
  - match: {file: "installer-*.msi", purl: "pkg:generic/installer@*"}
    allow: [release-managers]
    threshold: 2
"""


def test_a_policy_as_a_person_writes_it():
    made = parse_policy(PROPOSAL.encode())
    assert made.expires.isoformat() == "2027-04-01T00:00:00+00:00"
    assert made.rules[1].allow == ("alice", "bob")
    assert made.rules[1].threshold == 2


@pytest.mark.parametrize("style", [None, True, False])
def test_yaml_that_another_writer_made_of_the_json_is_the_same_policy(style):
    text = yaml.safe_dump(DOCUMENT, default_flow_style=style, sort_keys=False)
    assert parse_yaml(text.encode(), what="it") == json.loads(json.dumps(DOCUMENT))
    assert parse_policy(f"# a comment\n{text}".encode()) == policy()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: true", {"a": True}),
        ("a: null", {"a": None}),
        ("a: -12", {"a": -12}),
        ("a: 'no'", {"a": "no"}),
        ("a: 2027-03-31", {"a": "2027-03-31"}),
        ("a: 2027-03-31T00:00:00Z", {"a": "2027-03-31T00:00:00Z"}),
        ("a: x:y", {"a": "x:y"}),
        ("- 1\n- [b, {c: d}]", [1, ["b", {"c": "d"}]]),
        ("a: |\n  b\n", {"a": "b\n"}),
    ],
)
def test_values(text, value):
    assert parse_yaml(text.encode(), what="it") == value


@pytest.mark.parametrize(
    "text",
    [
        *(f"a: {word}" for word in ("yes", "No", "on", "OFF", "y", "N", "True", "FALSE", "Null", "~", "")),
        *(f"a: {word}" for word in ("1.5", "1e3", ".inf", "0x10", "0o17", "017", "1_000", "12:30", "+1", "-0x1", "=")),
        *(f"a: {'9' * digits}" for digits in (19, 20, 400)),
        "a: &x 1\nb: *x",
        "a: &x 1",
        "a: !!str 1",
        "a: !!python/object/apply:os.system [id]",
        "x: &x {a: 1}\ny:\n  <<: *x",
        "<<: {a: 1}",
        "a: 1\na: 2",
        "a: 1\n'a': 2",
        "1: a",
        "on: a",
        "? [a]\n: b",
        "a: 1\n---\nb: 2",
        "",
        "---",
        "# nothing",
        "a: [",
        "a: \x07",
        "\ta: 1",
        "[" * 100 + "]" * 100,
        "[" * 5000,
        "a: '" + "x" * 200_000 + "'",
    ],
)
def test_what_two_readers_could_take_for_different_things_is_refused(text):
    with pytest.raises(Malformed):
        parse_yaml(text.encode(), what="it")


@pytest.mark.parametrize("character", [*"\r\x85\u2028\u2029\u202e\u2066\u200f\u061c"])
def test_no_comment_hides_what_is_read_and_no_text_runs_backwards(character):
    """PyYAML ends the comment there; YAML 1.2 and editors do not, so a reviewer sees a comment and no rule."""
    with pytest.raises(Malformed, match=f"U\\+{ord(character):04X} in line 2: what a person sees"):
        parse_yaml(f"a: 1\n# only alice{character}b: 2\n".encode(), what="it")
    assert parse_yaml(b"\xef\xbb\xbfa: 1\r\n# only alice\r\nb: 2\r\n", what="it") == {"a": 1, "b": 2}


def test_bytes_that_are_no_utf_8():
    for data in (b"a: \xff", "a: b".encode("utf-16")):
        with pytest.raises(Malformed):
            parse_yaml(data, what="it")


def test_the_largest_policy_takes_no_minute():
    start = time.monotonic()
    parse_yaml(b"a: [" + b"1, " * 40_000 + b"1]", what="it")
    assert time.monotonic() - start < 60
