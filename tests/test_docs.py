# SPDX-License-Identifier: Apache-2.0
"""What the documents point at is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NOT_MADE_YET = ("sigbox-data/", "public/")
"""What a running stack writes."""


def pointers(document: Path) -> Iterator[tuple[str, Path]]:
    """Relative links, and paths in backticks that begin with a folder of the checkout."""
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            yield target, document.parent / target
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
    for target in re.findall(rf"`((?:{folders})/[\w./-]*)`", text):
        if not target.startswith(NOT_MADE_YET):
            yield target, ROOT / target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_pointer_leads_somewhere(document: Path):
    missing = [name for name, path in pointers(document) if not path.exists()]
    assert not missing


def test_decisions_are_numbered_without_gaps_and_have_four_parts():
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text("utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert all(f"\n## {part}\n" in text for part in ("Context", "Options", "Decision", "Consequences")), path.name
