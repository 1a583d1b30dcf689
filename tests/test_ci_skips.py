# SPDX-License-Identifier: Apache-2.0
"""The skip guard itself: in a pytest session of its own, a skip fails it exactly where it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ci_skips import parse_expected

ROOT = Path(__file__).resolve().parent.parent
SKIPPING = "import pytest\ndef test_runs(): pass\n@pytest.mark.skip(reason='no disk')\ndef test_skips(): pass\n"
XFAILING = "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_fails(): assert False\n"
COLLECTING = "import pytest\npytest.importorskip('no_such_module')\n"


def session(folder, text: str, ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "xdist",
        "-p",
        "tests.ci_skips",
        "--rootdir",
        folder,
        "-c",
        os.devnull,
        *options,
        folder,
    ]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
@pytest.mark.parametrize("text", [SKIPPING, XFAILING, COLLECTING], ids=["skipped", "expected to fail", "not collected"])
def test_in_ci_a_test_that_does_not_run_fails_the_session(tmp_path, text, options):
    done = session(tmp_path, text, "true", *options)
    assert done.returncode == 1, done.stdout
    assert "1 tests did not run and expected_skips.txt does not say why" in done.stdout


def test_elsewhere_it_is_only_reported(tmp_path):
    done = session(tmp_path, SKIPPING, ci="")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_a_session_without_skips_passes_in_ci(tmp_path):
    assert session(tmp_path, "def test_runs(): pass\n", ci="true").returncode == 0


def test_the_list_needs_reasons():
    assert parse_expected("# comment\n\ntests/a.py::test_b # needs ptrace\n") == {"tests/a.py::test_b": "needs ptrace"}
    with pytest.raises(pytest.UsageError, match=r"names tests/a\.py::test_b without a reason"):
        parse_expected("tests/a.py::test_b\n")
