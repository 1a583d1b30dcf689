# SPDX-License-Identifier: Apache-2.0
"""docs/faults.md has the rows of the table and the defaults of the parameters."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from sigcore.errors import Malformed
from stack.faults.parameters import Parameters, parse_parameters
from stack.faults.table import FAULTS

DOCUMENT = (Path(__file__).resolve().parents[4] / "docs" / "faults.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z-]+)` \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
PARAMETER = re.compile(r"^\| `([a-z_]+)` \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def test_the_document_has_the_table_of_the_code():
    rows = [
        (row.name, row.does, ", ".join(f"`{one}`" for one in row.takes) or "none", row.noticed)
        for row in FAULTS.values()
    ]
    assert ROW.findall(DOCUMENT) == rows


def test_the_document_has_every_parameter_with_its_default():
    told = {name: default.strip("`") for name, default in PARAMETER.findall(DOCUMENT)}
    assert set(told) == {one.name for one in fields(Parameters)}
    for name in ("seconds", "status", "hours", "hours_ago", "identity"):
        assert told[name] == str(getattr(Parameters(), name))


def test_every_parameter_is_taken_by_a_fault():
    assert {name for row in FAULTS.values() for name in row.takes} | {"count"} == {
        one.name for one in fields(Parameters)
    }


def test_nothing_given_is_what_the_document_says():
    assert parse_parameters(b"", ()) == parse_parameters(b"{}", ()) == Parameters()
    given = parse_parameters(b'{"seconds": 0.5, "role": "ca", "count": 2}', ("role", "seconds"))
    assert given == Parameters(seconds=0.5, role="ca", count=2)
    assert given.document(("role", "count")) == {"role": "ca", "count": 2}
    with pytest.raises(Malformed, match="known: count"):
        parse_parameters(b'{"seconds": 1}', ())
