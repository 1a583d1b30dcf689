# SPDX-License-Identifier: Apache-2.0
"""The units in deploy/systemd: their command lines are those that the program takes, and what they forbid, a stack does not need."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from stack.cli import serve, up
from stack.config import ROLES
from stack.passphrase import CREDENTIAL
from stack.running import DRAIN_S
from tests.missing import needs
from tests.stack_process import ROOT, SIGBOX, environment, running_stack

UNIT = ROOT / "deploy" / "systemd" / "sigbox.service"
ROLE_UNIT = UNIT.with_name("sigbox@.service")
UNITS = pytest.mark.parametrize("unit", [UNIT, ROLE_UNIT], ids=lambda unit: unit.name)
NEEDS_SYSTEMD = needs("systemd-analyze", "systemd")


def directives(section: str, unit: Path = UNIT) -> dict[str, list[str]]:
    """Of one section; systemd.syntax(7): a directive may stand more than once."""
    found: dict[str, list[str]] = defaultdict(list)
    now = ""
    for line in unit.read_text("utf-8").splitlines():
        if line.startswith("["):
            now = line.strip("[]")
        elif now == section and line and line[0] not in "#;":
            name, equals, value = line.partition("=")
            assert equals, line
            found[name].append(value)
    return found


def command(unit: Path = UNIT) -> list[str]:
    (line,) = directives("Service", unit)["ExecStart"]
    return shlex.split(line)


def test_its_command_line_is_one_that_the_program_takes():
    program, name, *arguments = command()
    assert (Path(program).name, name) == ("sigbox", "up")
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    up.add_arguments(parser)
    options, unknown = parser.parse_known_args(arguments)
    assert unknown == []
    assert options.listen.startswith("127.0.0.1:"), "it believes X-Forwarded-For of whoever connects"
    assert (options.behind_proxy, options.ephemeral, options.control) == (True, None, None)


@pytest.mark.parametrize("role", ROLES)
def test_the_command_line_of_a_role_is_one_that_the_program_takes(role):
    program, name, *arguments = command(ROLE_UNIT)
    assert (Path(program).name, name) == ("sigbox", "serve")
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    serve.add_arguments(parser)
    options, unknown = parser.parse_known_args([one.replace("%i", role) for one in arguments])
    assert (options.role, unknown) == (role, [])


def test_a_role_is_confined_as_the_whole_is():
    own = ("ExecStart", "EnvironmentFile")
    whole, role = (directives("Service", unit) for unit in (UNIT, ROLE_UNIT))
    for found in (whole, role):
        for name in own:
            found.pop(name, None)
    assert {name: [one.replace("sigbox-%i", "sigbox") for one in values] for name, values in role.items()} == whole


@UNITS
def test_it_waits_for_the_end_of_what_is_under_way(unit):
    (limit,) = directives("Service", unit)["TimeoutStopSec"]
    assert int(limit) > DRAIN_S + 5


@UNITS
def test_f14_a_crash_leaves_no_memory_behind(unit):
    assert directives("Service", unit)["LimitCORE"] == ["0"]


@pytest.mark.slow
def test_the_command_line_makes_a_stack_whose_keys_are_under_the_credential(tmp_path, monkeypatch):
    """As systemd calls it: the state directory in its variable, the passphrase in the credentials directory."""
    ((name, _),) = [value.split(":") for value in directives("Service")["LoadCredential"]]
    assert name == CREDENTIAL
    credentials, state, config = tmp_path / "credentials", tmp_path / "state", tmp_path / "sigbox.toml"
    for folder in (credentials, state):
        folder.mkdir(mode=0o700)
    (credentials / name).write_text("correct horse battery staple\n")
    (credentials / name).chmod(0o400)
    config.write_text('url = "https://sigstore.corp.example"\n')
    changed = {"${STATE_DIRECTORY}": state, "127.0.0.1:7780": "127.0.0.1:0", "/etc/sigbox/sigbox.toml": config}
    arguments = command()[2:]
    assert set(changed) <= set(arguments)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    with running_stack(tmp_path, *(changed.get(one, one) for one in arguments)) as stack:
        assert stack.url == "https://sigstore.corp.example"
        keys = list(state.glob("*/*.key"))
        assert len(keys) > 5
        assert [key for key in keys if b"BEGIN ENCRYPTED PRIVATE KEY" not in key.read_bytes()] == []
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    without = subprocess.run(
        [*SIGBOX, "up", "--data", state, "--listen", "127.0.0.1:0"],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert without.returncode != 0
    assert "passphrase" in without.stderr


CONFINED = """
import ctypes, errno, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0                                       # PR_SET_NO_NEW_PRIVS
known = prctl(65, 1, 0, 0, 0) == 0                                      # PR_SET_MDWE, Linux 6.3
assert known or ctypes.get_errno() == errno.EINVAL
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
def test_stack_and_client_need_no_new_privileges_and_no_memory_that_is_written_and_run():
    service = directives("Service")
    assert service["MemoryDenyWriteExecute"] == service["NoNewPrivileges"] == ["yes"]
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, *SIGBOX, "demo"],
        env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_SYSTEMD
@UNITS
def test_systemd_understands_every_directive(tmp_path, unit):
    """With a program that is there: whether /opt/sigbox is installed is another question."""
    copy = tmp_path / unit.name.replace("@", "@ca")
    copy.write_text(unit.read_text("utf-8").replace(command()[0], sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@NEEDS_SYSTEMD
@UNITS
def test_systemd_finds_little_that_is_exposed(unit):
    """Its scale goes from 0 to 10; below 2 is what it calls OK and better."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
