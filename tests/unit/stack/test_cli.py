# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from stack.cli import main, runner
from stack.cli.table import COMMANDS, Command, ExitCode


def test_every_command_has_help_with_a_summary(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"usage: sigbox {name}" in capsys.readouterr().out


def test_the_overview_lists_every_command_and_exit_code(capsys):
    assert main(["--help"]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert "4 unreachable" in text


def test_no_command_and_unknown_commands_are_usage_errors(capsys):
    assert main([]) == ExitCode.USAGE
    assert main(["sing-blob"]) == ExitCode.USAGE
    assert "there is no command 'sing-blob'" in capsys.readouterr().err


VERIFYING, ASKING = Command("m", "", ExitCode.REFUSED), Command("m", "")


@pytest.mark.parametrize(
    ("command", "error", "code"),
    [
        (VERIFYING, Refused("x"), 1),
        (VERIFYING, Malformed("x"), 1),
        (VERIFYING, NotFound("x"), 2),
        (VERIFYING, Unavailable("x"), 4),
        (ASKING, Refused("x"), 3),
        (ASKING, Malformed("x"), 2),
        (ASKING, Unavailable("x"), 4),
        (ASKING, FileNotFoundError(2, "No such file"), 2),
        (VERIFYING, RuntimeError("bug"), 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(command, error, code, capsys, monkeypatch):
    monkeypatch.delenv("SIGBOX_TRACEBACK", raising=False)
    module = type(
        "module", (), {"__doc__": "", "add_arguments": lambda _p: None, "run": lambda _o: (_ for _ in ()).throw(error)}
    )
    monkeypatch.setattr(runner, "import_module", lambda _name: module)
    assert runner.run("x", command, []) == code
    assert "sigbox x: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments):
    program = (
        "import sys; from stack.cli import main; main(sys.argv[1:]);"
        "heavy = {'aiohttp', 'cryptography', 'tuf', 'jwt', 'asyncio', 'sqlite_utils'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
