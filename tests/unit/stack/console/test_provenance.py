# SPDX-License-Identifier: Apache-2.0
"""The panel of a build: what the certificate says beside what the statement says, from ours and from a public bundle."""

from __future__ import annotations

import json

import pytest

from sigcore.intoto import Statement, Subject
from stack.web.console.provenance import NAMES, V02, V1, Row, describe_provenance
from tests.unit.stack.console.test_console import text_of
from tests.unit.stack.console.test_inspect import looked_into, post
from tests.unit.tlog.catalog.conftest import certificate, signed

BUILT = {
    "source_repository_uri": "https://git.example/a",
    "source_repository_digest": "c0ffee",
    "build_signer_uri": "https://git.example/a/build.yml@main",
    "build_config_uri": "https://git.example/a/build.yml@main",
    "run_invocation_uri": "https://git.example/a/runs/1",
}
WORKFLOW = {"repository": "https://git.example/a", "path": "build.yml", "ref": "main"}
PREDICATE_V1 = {
    "buildDefinition": {
        "externalParameters": {"workflow": WORKFLOW},
        "resolvedDependencies": [{"uri": "git+https://git.example/a", "digest": {"gitCommit": "beef"}}],
    },
    "runDetails": {"builder": {"id": "https://runner.example"}, "metadata": {"invocationId": "run 1"}},
}
PREDICATE_V02 = {
    "builder": {"id": "https://runner.example"},
    "invocation": {
        "configSource": {"uri": "https://git.example/a", "digest": {"sha1": "beef"}, "entryPoint": "build.yml"}
    },
    "metadata": {"buildInvocationId": "run 1"},
}
STATED = ("https://runner.example", "https://git.example/a", "beef", "build.yml", "run 1")


def stated(predicate_type: str, predicate) -> Statement:
    return Statement((Subject("a", (("sha256", "00" * 32),)),), predicate_type, predicate)


@pytest.mark.parametrize(("kind", "predicate"), [(V1, PREDICATE_V1), (V02, PREDICATE_V02)])
def test_certificate_and_statement_stand_beside_each_other(kind, predicate):
    rows = describe_provenance(certificate("https://git.example/a/build.yml@main", **BUILT), stated(kind, predicate))
    assert tuple(row.name for row in rows) == NAMES
    assert tuple(row.stated for row in rows) == STATED
    assert [row.certified for row in rows][1:3] == ["https://git.example/a", "c0ffee"]


def test_a_person_builds_nothing():
    assert describe_provenance(certificate("alice@example.com"), None) == ()
    assert describe_provenance(None, None) == ()
    assert describe_provenance(None, stated("https://example.com/other", PREDICATE_V1)) == ()


def test_what_a_person_states_is_stated_only():
    rows = describe_provenance(certificate("alice@example.com"), stated(V1, PREDICATE_V1))
    assert {row.certified for row in rows} == {""}
    assert tuple(row.stated for row in rows) == STATED


@pytest.mark.parametrize(
    "predicate",
    [
        {},
        "text",
        None,
        [],
        {"buildDefinition": []},
        {"buildDefinition": {"resolvedDependencies": []}, "runDetails": {"builder": "x"}},
        {"buildDefinition": {"resolvedDependencies": {"0": {}}, "externalParameters": {"workflow": "x"}}},
        {"runDetails": {"builder": {"id": 7}}},
    ],
)
@pytest.mark.parametrize("kind", [V1, V02])
def test_a_predicate_of_another_shape_says_nothing(kind, predicate):
    assert describe_provenance(None, stated(kind, predicate)) == ()


async def test_the_page_of_an_entry_shows_where_its_signer_builds(console):
    await console.log.submit(signed("https://git.example/a/build.yml@main", 1, **BUILT))
    await console.log.submit(signed("alice@example.com", 2))
    assert "<h2>Provenance</h2>" in await text_of(console, "/entries/rekor/0")
    assert "Provenance" not in await text_of(console, "/entries/rekor/1")


@pytest.mark.parametrize(
    ("name", "certified", "stated_", "disagree"),
    [
        ("source", "https://git.example/a", "https://git.example/a", False),
        ("source", "https://git.example/a", "git+https://git.example/a@refs/heads/main", False),
        ("source", "https://git.example/a", "https://git.example/ab", True),
        ("commit", "c0ffee", "beef", True),
        ("commit", "c0ffee", "", False),
        ("source", "", "https://git.example/a", False),
        ("built by", "a", "b", False),
    ],
)
def test_another_source_or_commit_is_noticed(name, certified, stated_, disagree):
    assert Row(name, certified, stated_).disagree is disagree


def test_a_public_build_is_described_and_its_foreign_statement_noticed(cases):
    """This vector is genuine, and its statement is not about the repository whose workflow signed it."""
    found = looked_into(cases / "happy-path-intoto-in-dsse-v3")
    assert found.error is None
    rows = {row.name: row for row in found.provenance}
    assert set(rows) == set(NAMES)
    assert rows["source"].certified.startswith("https://github.com/sigstore-conformance/")
    assert [name for name, row in rows.items() if row.disagree] == ["source", "commit"]


async def test_a_refused_build_is_shown_with_a_warning(console, cases):
    bundle = (cases / "dsse-mismatch-sig_fail" / "bundle.sigstore.json").read_bytes()
    root = (cases.parent / "production_trusted_root.json").read_bytes()
    page = await post(console, file=bundle, root=root)
    assert "believe nothing of this" in page
    good = await post(
        console, file=(cases / "happy-path-intoto-in-dsse-v3" / "bundle.sigstore.json").read_bytes(), root=root
    )
    assert "Provenance" in good
    assert "another source than the certificate" in good
    assert "believe nothing" not in good
    entry = json.loads(bundle)["verificationMaterial"]["tlogEntries"][0]
    assert entry["logIndex"] in page
