# SPDX-License-Identifier: Apache-2.0
"""What the documents point at is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LICENCE = "SPDX-License-Identifier: Apache-2.0"
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
        assert text.startswith(f"<!-- {LICENCE} -->\n# {int(path.name[:4])}. "), path.name
        assert all(f"\n## {part}\n" in text for part in ("Context", "Options", "Decision", "Consequences")), path.name


CANNOT_SAY = re.compile(
    r"LICENSE$|.*(\.json|\.tar\.xz|/go\.sum|/py\.typed)$|requirements/(run|test|binary|postgres|pkcs11)\.txt$"
)
"""The licence itself, formats without comments, and what tools write."""


def test_every_file_names_its_licence():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split("\0") if name and not CANNOT_SAY.match(name)]
    assert files
    silent = [name for name in files if LICENCE not in "".join((ROOT / name).read_text("utf-8").splitlines()[:3])]
    assert silent == []
