# SPDX-License-Identifier: Apache-2.0
"""Our verdicts beside those of sigstore-python, sigstore-js and cosign; where they differ, docs/differences.md says why.

This is a fixed part of what ``make differential`` asks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.differential.cases import accepted, load_cases, mutants, other_questions
from tests.differential.explained import Difference, Row, differences, load_rows, outvoted
from tests.differential.judges import judge
from tests.interop.conftest import require
from tests.interop.tools import JS, V3

pytestmark = [pytest.mark.interop, pytest.mark.slow]
COUNT = 300


@pytest.fixture(scope="module")
def suite(vectors: Path):
    require(V3, JS)
    return load_cases(vectors / "sigstore-conformance")


def test_every_client_gives_our_verdict_or_the_difference_is_explained(suite, tmp_path):
    cases = [*suite, *other_questions(suite), *mutants(suite, COUNT, 1)]
    verdicts = judge(cases, tmp_path)
    rows = load_rows()
    unexplained = [str(one) for one in differences(cases, verdicts) if not any(map(one.explained_by, rows))]
    assert not unexplained, "\n".join(unexplained)
    assert not list(outvoted(cases, verdicts))
    ours = [case.name for case, verdict in zip(cases, verdicts, strict=True) if not verdict["sigbox"]]
    assert [name for name in ours if " / " not in name] == [case.name for case in accepted(suite)]
    assert not [name for name in ours if " / another " in name]


def test_every_client_can_accept_and_refuse(suite, tmp_path):
    """A judge that is called wrongly refuses all, and would agree with every refusal of ours."""
    good = next(case for case in suite if case.name == "rekor2-happy-path")
    refused, taken = judge([replace(good, identity="somebody else"), good], tmp_path)
    assert all(refused.values()), refused
    assert not any(taken.values()), taken


def test_changes_are_the_same_in_every_run_and_no_two_are_equal(suite):
    made = mutants(suite, COUNT, 1)
    assert made == mutants(suite, COUNT, 1) != mutants(suite, COUNT, 2)
    assert len({case.bundle for case in made} | {case.bundle for case in suite}) == COUNT + len(
        {case.bundle for case in suite}
    )


def test_a_difference_is_explained_by_a_row_for_its_client_and_its_words_only():
    row = Row("refuses", "not base64", ("cosign",), "why")
    case = FakeCase()
    assert Difference(case, "cosign", "refuses", "it is not base64").explained_by(row)
    for other in (
        Difference(case, "sigstore-js", "refuses", "it is not base64"),
        Difference(case, "cosign", "accepts", "it is not base64"),
        Difference(case, "cosign", "refuses", "it is not hex"),
    ):
        assert not other.explained_by(row)


def test_who_is_alone_in_accepting_is_found():
    verdict = {"sigbox": "", "sigstore-python": "no", "sigstore-js": None, "cosign": "no"}
    assert list(outvoted([FakeCase()], [verdict])) == ["a name"]
    for voice in ({"cosign": ""}, {"sigbox": "no"}):
        assert not list(outvoted([FakeCase()], [verdict | voice]))


def test_who_refuses_a_bundle_as_it_is_has_no_voice_about_changes_to_it():
    changed = FakeCase()
    changed.name, changed.change = "a name / another spelling", "another spelling"
    taken = {"sigbox": "", "sigstore-python": "no", "sigstore-js": "", "cosign": ""}
    spelled = taken | {"sigstore-js": "no"}
    assert not list(outvoted([FakeCase(), changed], [taken, spelled]))
    assert list(outvoted([FakeCase(), changed], [taken, spelled | {"cosign": "no"}])) == [changed.name]
    assert list(outvoted([FakeCase(), changed], [taken | {"sigstore-python": ""}, spelled])) == [changed.name]
    assert list(outvoted([FakeCase()], [spelled])) == ["a name"]


class FakeCase:
    """Its name, and whether it is changed, is all that is looked at."""

    name = "a name"
    change = ""
