# SPDX-License-Identifier: Apache-2.0
"""Reading a policy: what is meant, and what cannot be meant and is refused when the file is loaded."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from client.policy.document import parse_policy
from client.policy.rules import BareKey, Kind, NoMatch
from sigcore.errors import Malformed
from tests.unit.client.policies import DOCUMENT, ISSUER, KEY_HASH, document, policy

ALICE = {"alice": {"issuer": ISSUER, "email": "a@b.example"}}


def rules(*artifacts: dict) -> dict:
    return document(artifacts=list(artifacts))


def identity(**members) -> dict:
    return document(identities={"x": members}, groups=None, artifacts=[])


def rule(**members) -> dict:
    return rules({"match": {"file": "a"}, "allow": ["alice"]} | members)


def attested(**members) -> dict:
    base = {"predicateType": "https://p/1", "by": ["alice"]}
    return rule(attestations=[base | members])


def test_a_policy_is_read_as_it_is_meant():
    made = policy()
    assert made.expires > datetime(2026, 6, 1, tzinfo=UTC)
    assert (made.need_time, made.on_no_match) == (True, NoMatch.DENY)
    assert made.rules[0].allow == ("alice", "bob")
    assert [kind for kind, _ in made.rules[0].match] == [Kind.FILE, Kind.PURL]
    assert made.rules[3].trust_root == "public"
    assert made.identity("old-key") == BareKey(KEY_HASH, datetime(2027, 1, 1, tzinfo=UTC))
    relaxed = policy(defaults={"require": ["log"], "onNoMatch": "warn"})
    assert (relaxed.need_time, relaxed.on_no_match) == (False, NoMatch.WARN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(bogus=1), "unknown member 'bogus'"),
        (document(apiVersion="policy/v2"), "expected policy/v1"),
        (document(expires=None), "expires is missing"),
        (document(expires="2027-02-30"), "no moment"),
        (document(expires="soon"), "expected a time"),
        (document(defaults={"require": ["time"]}), "expected log"),
        (document(defaults={"require": ["log", "luck"]}), "expected log"),
        (document(defaults={"onNoMatch": "shrug"}), "expected deny, warn, allow"),
        (document(groups={"alice": ["bob"]}), "a group and an identity"),
        (document(groups={"g": ["nobody"]}), "names 'nobody'"),
        (document(groups={"g": ["alice", "alice"]}), "names one twice"),
        (document(groups={"g": []}), "names nobody"),
        (document(identities={"a b": ALICE["alice"]}), "expected letters"),
        (identity(san="https://x/*"), "issuer is missing"),
        (identity(email="a@b"), "issuer is missing"),
        (identity(issuer=ISSUER), "neither of san and email"),
        (identity(issuer=ISSUER, san="https://x", email="a@b"), "both of san and email"),
        (identity(issuer="https://*.example", email="a@b"), "no wildcards"),
        (identity(issuer="issuer.example", email="a@b"), "expected a URL"),
        (identity(issuer=ISSUER, email="*@b"), "no wildcards"),
        (identity(issuer=ISSUER, email="a@b@c"), "one address"),
        (identity(issuer=ISSUER, email="\u0430@b"), "one address"),
        (identity(issuer=ISSUER, san="a@b.example"), "an address stands in email|expected a URI"),
        (identity(issuer=ISSUER, san="https://x/.*|y"), "has no meaning here"),
        (identity(issuer=ISSUER, san="https://x\u0430/*"), "not ASCII"),
        (identity(issuer=ISSUER, sanRegExp="x"), "unknown member"),
        (identity(issuer=ISSUER, email="a@b", claims={"bogus": "x"}), "unknown member 'bogus'"),
        (identity(issuer=ISSUER, email="a@b", claims={"issuer": "x"}), "unknown member 'issuer'"),
        (identity(publicKey="sha256:00"), "1 bytes, expected 32"),
        (identity(publicKey=f"sha256:{KEY_HASH.upper()}"), "lower-case"),
        (identity(publicKey=f"md5:{KEY_HASH}"), "not sha256"),
        (identity(publicKey=f"sha256:{KEY_HASH}", issuer=ISSUER), "unknown member 'issuer'"),
        (rule(allow=["nobody"]), "names 'nobody'"),
        (rule(allow=[]), "names nobody"),
        (rules({"match": {"file": "a"}}), "allows nobody"),
        (rule(threshold=2), "threshold is 2"),
        (rule(threshold=0), "threshold is 0"),
        (rule(threshold=True), "expected an integer"),
        (rule(anyName="yes"), "expected true or false"),
        (rule(match={}), "matches nothing"),
        (rule(match={"image": "x"}), "unknown member 'image'"),
        (rule(match={"file": []}), "matches nothing"),
        (rule(trustRoot=""), "name of a trusted root"),
        (attested(predicateType="slsa"), "expected a URI"),
        (attested(predicateType="https://*"), "exact"),
        (attested(by=[]), "names nobody"),
        (attested(where={}), "0 conditions"),
        (attested(where={"a..b": 1}), "joined by dots"),
        (attested(where={"a": {"matches": "x"}}), "unknown member 'matches'"),
        (attested(where={"a": {"after": "2026-01-01", "equals": "x"}}), "expected exactly one"),
        (attested(where={"a": {}}), "expected exactly one"),
        (attested(where={"a": []}), "0 values"),
        (attested(where={"a": [[1]]}), "expected a text"),
        (attested(where={"a": {"before": "noon"}}), "expected a time"),
        (rules({"match": {"file": "a*"}, "allow": ["alice"]}, {"match": {"file": "a*"}, "allow": ["bob"]}), "equally"),
        (rules(*({"match": {"file": [f"{n}-{m}*" for m in range(33)]}, "allow": ["alice"]} for n in range(16))), "528"),
        (rules({"match": {"file": "*a"}, "allow": ["alice"]}, {"match": {"file": "*b"}, "allow": ["bob"]}), ""),
        (rules({"match": {"file": ["*ab*c", "*a*bc"]}, "allow": ["alice"]}), "equally specific"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_loaded(text, message):
    if not message:
        parse_policy(json.dumps(text).encode())
        return
    with pytest.raises(Malformed) as caught:
        parse_policy(json.dumps(text).encode())
    assert any(part in str(caught.value) for part in message.split("|"))


def test_the_example_of_the_documentation_is_a_policy():
    text = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text("utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    made = parse_policy(example.encode())
    assert [len(rule.allow) for rule in made.rules] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"apiVersion: policy/v1\n",
        b"just text",
        b'{"apiVersion": "policy/v1", "apiVersion": "policy/v1"}',
        json.dumps(DOCUMENT).encode() + b"x",
        json.dumps(DOCUMENT).encode() + b" " * (1024 * 1024),
        json.dumps(DOCUMENT).replace('"bob": {', '"alice": {').encode(),
    ],
)
def test_text_that_is_no_policy_is_refused(data):
    """A name that stands twice is refused too: two readers could take different ones."""
    with pytest.raises(Malformed):
        parse_policy(data)


@pytest.mark.parametrize("value", [None, True, 1, "x", [], {}, "\x00", -1])
def test_v11_every_member_with_another_value_is_a_policy_or_a_typed_refusal(value):
    def mutants(node, path=()):
        for name in list(node) if isinstance(node, dict) else range(len(node)):
            yield (*path, name)
            if isinstance(node[name], dict | list):
                yield from mutants(node[name], (*path, name))

    refused = 0
    paths = list(mutants(DOCUMENT))
    for path in paths:
        mutant = document()
        holder = mutant
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = value
        try:
            parse_policy(json.dumps(mutant).encode())
        except Malformed:
            refused += 1
    assert refused >= len(paths) * 3 // 5


def many(pattern: str, count: int) -> list[dict]:
    texts = [pattern.format(number) for number in range(count)]
    return [{"match": {"file": texts[at : at + 64]}, "allow": ["alice"]} for at in range(0, count, 64)]


def test_patterns_that_are_compared_for_minutes_are_refused_and_many_usual_ones_are_not():
    assert len(policy(artifacts=many("r.example/*/app-{:03}:*", 128)).rules) == 2
    assert len(policy(artifacts=many("installer-{:03}-*.msi", 512)).rules) == 8
    with pytest.raises(Malformed, match="too much like others"):
        policy(artifacts=many(f"a/{'**q' * 60}/{{:03}}/z*y", 64))
