# SPDX-License-Identifier: Apache-2.0
"""What the single executable is made of. That it works where there is no Python is tried by `make binary`: it takes minutes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from stack.cli.version import VERSION
from tests import architecture_rules as rules
from tests.stack_process import ROOT, environment
from tests.test_requirements import DRIVERS

ENTRY = ROOT / "deploy" / "binary" / "entry.py"


def entry(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ENTRY, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("before", [(), ("-m", "stack.cli"), ("-P", "-m", "stack.cli")])
def test_it_is_the_command_and_the_interpreter_of_its_own_programs(before):
    done = entry(*before, "version")
    assert (done.returncode, done.stdout) == (0, f"sigbox {VERSION}\n")
    refused = entry(*before, "no-such-command")
    assert refused.returncode == 2, "the exit code is that of the program"


@pytest.mark.parametrize("foreign", [("-m", "json.tool"), ("-P", "-m", "http.server"), ("-c", "print(1)"), ("-m",)])
def test_it_is_no_interpreter_for_anything_else(foreign):
    done = entry(*foreign)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no command" in done.stderr


def test_every_program_that_the_stack_starts_with_its_own_interpreter_is_known():
    sources = "\n".join(source.text for source in rules.load_sources(ROOT, *rules.PACKAGES))
    started = re.findall(r"sys\.executable,[^\n]*?\"-m\", \"([\w.]+)\"", sources)
    named = re.findall(r"sys\.executable(?!\)\.parent)", sources)  # its folder is where programs are looked for
    assert len(started) == len(named), "another way to start Python: see entry.py"
    (known,) = re.findall(r"^PROGRAMS = \((.*)\)$", ENTRY.read_text("utf-8"), re.MULTILINE)
    assert set(started) == set(re.findall(r'"([\w.]+)"', known))


def test_the_make_target_collects_every_package_and_ends_with_the_trial():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.findall(r"^binary:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[0]
    assert "$$(printf -- '--collect-all %s ' $(PACKAGES))" in recipe
    (packages,) = re.findall(r"^PACKAGES = (.*)$", makefile, re.MULTILINE)
    assert tuple(packages.split()) == rules.PACKAGES
    pins = " ".join(f"-r requirements/{name}.txt" for name in ("run", *DRIVERS, "binary"))
    assert f"--require-hashes {pins}\n" in recipe.replace("\\\n\t\t", "")
    assert recipe.splitlines()[-1].strip() == "@$(BIN)/python -m tests.deploy.empty_root $(DIST)/sigbox"
