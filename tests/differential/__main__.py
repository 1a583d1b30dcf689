# SPDX-License-Identifier: Apache-2.0
"""``make differential``: every client's verdict on the conformance suite's bundles and on many changes to them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.differential.cases import Case, load_cases, mutants, other_questions
from tests.differential.explained import Difference, Row, differences, load_rows, outvoted
from tests.differential.judges import OFFICIAL, Verdicts, judge

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
MUTANTS = 1500


def main() -> int:
    """0 when every difference is explained, and every explanation needed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    suite = load_cases(Path(os.environ.get("SIGBOX_VECTORS", VECTORS)) / "sigstore-conformance")
    cases = [*suite, *other_questions(suite), *mutants(suite, options.mutants, options.seed)]
    with tempfile.TemporaryDirectory() as folder:
        verdicts = judge(cases, Path(folder))
    rows = load_rows()
    found = list(differences(cases, verdicts))
    unexplained = [one for one in found if not any(map(one.explained_by, rows))]
    unused = [row for row in rows if not any(one.explained_by(row) for one in found)]
    report(cases, verdicts, found, rows)
    for one in unexplained:
        print(f"UNEXPLAINED {one}")
    for row in unused:
        print(f"NOT NEEDED {row}")
    alone = list(outvoted(cases, verdicts))
    for name in alone:
        print(f"ACCEPTED BY US, REFUSED BY TWO {name}")
    print(
        f"{len(unexplained)} unexplained, {len(alone)} accepted by us and refused by two; {time.monotonic() - began:.0f} s"
    )
    return 1 if unexplained or unused or alone else 0


def report(cases: list[Case], verdicts: list[Verdicts], found: list[Difference], rows: list[Row]) -> None:
    """Who accepts how many, and how often each known difference shows."""
    accepted = {client: sum(verdict[client] == "" for verdict in verdicts) for client in ("sigbox", *OFFICIAL)}
    changed = sum(bool(case.change) for case in cases)
    print(f"{len(cases)} cases ({changed} of them changed); accepted: {accepted}; {len(found)} differences")
    counts = Counter((one.sigbox, row.reason, one.client) for one in found for row in rows if one.explained_by(row))
    for (sigbox, reason, client), count in sorted(counts.items()):
        print(f"{count:5} sigbox {sigbox}, {client} does not: {reason}")


if __name__ == "__main__":
    sys.exit(main())
