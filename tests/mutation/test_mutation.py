# SPDX-License-Identifier: Apache-2.0
"""A sample of ``make mutation``, which counts them all; and what the mutations are, and that the count can be low."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.mutation.mutants import mutants
from tests.stack_process import environment

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 20
TESTS = [f"tests/unit/client/test_{name}.py" for name in ("identity_policy", "verify", "verify_v1", "verify_spellings")]
"""Those that take seconds."""


def changes(source: str) -> list[str]:
    return [str(mutant).partition(": ")[2] for mutant in mutants(textwrap.dedent(source), "m.py")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a == b", ["Eq  ->  NotEq"]),
        ("x = a < b", ["Lt  ->  LtE", "Lt  ->  GtE"]),
        ("x = a and not b", ["And  ->  Or", "not b  ->  b"]),
        ("x = 7", ["7  ->  8", "7  ->  6"]),
        ("x = True", ["True  ->  False"]),
        ("x = a[1:]", ["1:  ->  :", "1  ->  2", "1  ->  0"]),
        ("f(x)", ["f(x)  ->  pass"]),
        ("def f():\n  '''text'''\n  return x", ["return x  ->  return None"]),
        ("raise Refused('a message')", ["raise Refused('a message')  ->  pass"]),
        ("x: Final = 'a'", ["'a'  ->  'ax'"]),
        ("f(what='the title')\n", ["f(what='the title')  ->  pass"]),
        ("if TYPE_CHECKING: x = 1\nelse: y = 2", []),
        ("f = lru_cache(maxsize=64)(g)", []),
    ],
)
def test_each_small_mistake(source, expected):
    assert changes(source) == expected


def test_a_condition_is_made_true_and_false():
    assert changes("if a: b = c") == ["if a: b = c  ->  if True: b = c", "if a: b = c  ->  if False: b = c"]


def hunt(tmp_path: Path, *arguments: str) -> tuple[int, int, str]:
    """(killed, of, output) of a run of its own: the mutants of this process would stay."""
    command = [sys.executable, "-m", "tests.mutation", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    found = re.search(r"(\d+) of (\d+) mutants killed", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found[1]), int(found[2]), done.stdout


@pytest.mark.slow
def test_a_sample_of_mistakes_in_the_entry_and_its_promise_is_noticed(tmp_path):
    targets = ("client.verify.entry", "client.verify.promise")
    killed, count, output = hunt(tmp_path, *targets, "--sample", str(SAMPLE), "--tests", *TESTS)
    assert count == SAMPLE
    assert killed >= 0.95 * count, output


@pytest.mark.slow
def test_control_mistakes_that_no_test_looks_for_survive(tmp_path):
    """The Merkle trees with nothing but the tests of identities: every mutant lives."""
    only = ("--tests", "tests/unit/client/test_identity_policy.py")
    killed, count, _ = hunt(tmp_path, "sigcore.merkle", "--sample", "10", *only)
    assert (killed, count) == (0, 10)
