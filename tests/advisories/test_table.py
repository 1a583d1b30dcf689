# SPDX-License-Identifier: Apache-2.0
"""docs/advisories.md: each of its rows has a test that is there, or says that it is open, and why. Run with -rP to see them all."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DOCUMENT = TESTS.parent / "docs" / "advisories.md"
COUNT = 118
OPEN = re.compile(r"(open, issue [0-9]+|not applicable( until [a-z ]+)?): .{20,}")
ROW = re.compile(r"^\| ([0-9]+) \| ([A-Z0-9, ]+) \| (.+) \| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    number: int
    codes: tuple[str, ...]
    what: str
    tests: tuple[str, ...]
    reason: str


def parse_rows(text: str) -> list[Row]:
    rows = []
    for number, codes, what, last in ROW.findall(text):
        tests = tuple(re.findall(r"`([a-z0-9_/]+\.py::test_[a-z0-9_]+)`", last))
        rows.append(Row(int(number), tuple(codes.split(", ")), what, tests, "" if tests else last))
    return rows


def defects(rows: list[Row]) -> list[str]:
    """What is wrong with the table; empty when it is true."""
    found = [] if [row.number for row in rows] == list(range(1, COUNT + 1)) else ["the numbers are not 1 to 118"]
    for row in rows:
        if not row.tests and not OPEN.fullmatch(row.reason):
            found.append(f"{row.number} has neither a test nor a reason: {row.reason}")
        for test in row.tests:
            file, _, name = test.partition("::")
            if name not in names_in(file):
                found.append(f"{row.number} names {test}, which is not there")
            elif file.startswith("advisories/") and not any(f"_{code.lower()}_" in f"{name}_" for code in row.codes):
                found.append(f"{row.number} is {row.codes}, its test is {name}")
    return found


@cache
def names_in(file: str) -> frozenset[str]:
    path = TESTS / file
    tree = ast.parse(path.read_text("utf-8") if path.exists() else "")
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_advisory_has_its_test_or_a_reason():
    rows = parse_rows(DOCUMENT.read_text("utf-8"))
    tested = [row for row in rows if row.tests]
    for row in rows:
        print(f"{row.number:3} {'/'.join(row.codes):9} {', '.join(row.tests) or row.reason}")
    waiting = [row.number for row in rows if row.reason.startswith("open")]
    print(
        f"{len(rows)} advisories: {len(tested)} tested by {len({t for row in rows for t in row.tests})} tests, ", end=""
    )
    print(f"{len(waiting)} open, {len(rows) - len(tested) - len(waiting)} not applicable")
    assert not defects(rows), "\n".join(defects(rows))
    assert len(tested) >= 94


def test_the_tests_of_this_folder_are_all_in_the_table():
    named = {test for row in parse_rows(DOCUMENT.read_text("utf-8")) for test in row.tests}
    for path in Path(__file__).parent.glob("test_*.py"):
        if path != Path(__file__):
            ours = {
                f"advisories/{path.name}::{name}" for name in names_in(f"advisories/{path.name}") if name[:5] == "test_"
            }
            assert not {test for test in ours - named if "::test_control_" not in test}


GOOD = "| 1 | V01 | what | `advisories/test_table.py::test_every_advisory_has_its_test_or_a_reason` |"


@pytest.mark.parametrize(
    ("row", "defect"),
    [
        (GOOD.replace("V01", "V99"), "its test is"),
        (GOOD.replace("has_its", "lost_its"), "which is not there"),
        (GOOD.replace("test_table", "test_none"), "which is not there"),
        ("| 1 | V01 | what | open |", "neither a test nor a reason"),
        ("| 1 | V01 | what | open, issue 6: x |", "neither a test nor a reason"),
    ],
)
def test_control_a_row_that_is_not_true_is_found(row, defect):
    assert any(defect in found for found in defects(parse_rows(row)))
