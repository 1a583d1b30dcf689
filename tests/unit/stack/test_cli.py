# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
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


def failing(error: Exception, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    def run(_options: object) -> int:
        raise error

    given = {"__doc__": "", "add_arguments": lambda p: p.add_argument(option, action="store_true"), "run": run}
    monkeypatch.setattr(runner, "import_module", lambda _name: type("module", (), given))


@pytest.mark.parametrize("option", ["--json", "--explain=json"])
def test_who_asks_for_json_gets_one_document_also_when_it_fails(option, capsys, monkeypatch):
    failing(Unavailable("found", "do"), monkeypatch, option)
    assert runner.run("x", VERIFYING, [option]) == 4
    assert json.loads(capsys.readouterr().out) == {"error": "found", "hint": "do", "exitCode": 4}
    assert runner.run("x", VERIFYING, [option, "--nonsense"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "unrecognized arguments: --nonsense"


def test_what_a_report_has_told_is_not_told_twice(capsys, monkeypatch):
    error = Unavailable("found", "do")
    error.reported = True
    failing(error, monkeypatch, "--json")
    assert runner.run("x", VERIFYING, ["--json"]) == 4
    assert not capsys.readouterr().out


def test_a_wrong_command_line_is_one_line_and_where_to_read_on(capsys):
    assert main(["verify", "--output", "xml"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "invalid choice: 'xml'" in said[0]
    assert said[1] == "  hint: sigbox verify --help shows what it takes"
    assert main(["trust", "rehearse"]) == 2
    assert "hint: sigbox trust rehearse --help shows what it takes" in capsys.readouterr().err


def test_a_misspelt_command_is_told_the_nearest_and_help_takes_a_command(capsys):
    assert main(["sing-blob"]) == 2
    assert "did you mean sign-blob" in capsys.readouterr().err
    assert main(["xyzzy"]) == 2
    assert "sigbox --help lists the commands" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["help", "sign-blob"])
    assert ended.value.code == 0
    assert "usage: sigbox sign-blob" in capsys.readouterr().out


def test_help_fits_a_terminal_of_80_columns_but_for_examples(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    wide = [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        told = capsys.readouterr().out.partition("\nexamples:\n")[0]
        wide += [line for line in told.splitlines() if len(line) > 80]
    assert not wide


def test_a_directory_that_is_missing_is_named_and_not_a_temporary_file_in_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "none" / ".kit.tar.x7"
    failing(FileNotFoundError(2, "No such file or directory", str(missing)), monkeypatch, "--json")
    assert runner.run("x", ASKING, ["--json"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == f"sigbox x: there is no directory {tmp_path / 'none'}"
    assert "hint: make it first" in told.err
    assert json.loads(told.out)["error"] == f"there is no directory {tmp_path / 'none'}"
