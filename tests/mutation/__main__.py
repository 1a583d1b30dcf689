# SPDX-License-Identifier: Apache-2.0
"""``make mutation``: how many small mistakes in the verification and the Merkle trees do the tests notice?"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import pytest

from tests.mutation.plugin import Hunt

ROOT = Path(__file__).resolve().parents[2]
VERIFY = tuple(
    "client.verify" if path.stem == "__init__" else f"client.verify.{path.stem}"
    for path in sorted((ROOT / "client" / "verify").glob("*.py"))
)
MERKLE = ("sigcore.merkle",)
TESTS = (
    *(
        f"tests/unit/client/test_{name}.py"
        for name in (
            "verify_steps",
            "verify",
            "verify_v1",
            "identity",
            "conformance",
            "verify_spellings",
            "usual_forms",
            "usual_heads",
            "alike",
            "log_matching",
            "explain",
            "cli_verify",
            "swap",
            "sign",
            "identity_policy",
            "witnessed",
            "stamp",
            "named_parts",
            "log_names",
        )
    ),
    "tests/unit/sigcore/test_merkle.py",
)
ENOUGH = 0.95


def hunt(targets: tuple[str, ...], tests: tuple[str, ...], *, sample: int = 0) -> Hunt:
    """Run the hunt; the tests are collected in this process."""
    found = Hunt(targets, sample=sample, workers=len(os.sched_getaffinity(0)))
    options = ("-q", "--no-header", "-p", "no:cacheprovider", "--capture=no")
    code = pytest.main([*options, *(str(ROOT / test) for test in tests)], plugins=[found])
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), code
    assert found.total, "there is nothing to change"
    return found


def main() -> int:
    """0 when at least 95 % of the mutants are killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=(*MERKLE, *VERIFY), help="dotted names of modules")
    parser.add_argument("--sample", type=int, default=0, help="how many mutants; 0 for all")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="files with the tests that may notice")
    options = parser.parse_args()
    began = time.monotonic()
    found = hunt(tuple(options.targets), tuple(options.tests), sample=options.sample)
    killed = found.total - len(found.survivors)
    for survivor in found.survivors:
        print(f"survived {survivor}")
    share = killed / found.total
    print(
        f"{killed} of {found.total} mutants killed ({share:.1%}) in {time.monotonic() - began:.0f} s; asked: {ENOUGH:.0%}"
    )
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
