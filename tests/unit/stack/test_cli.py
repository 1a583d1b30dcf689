# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

import pytest

from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from stack.cli import main, runner
from stack.cli.completion import read_words
from stack.cli.helping import examples_of
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


@pytest.mark.parametrize("arguments", [["--help", "typing"], ["version"], ["--version", "typing"]])
def test_help_and_version_import_nothing_heavy(arguments):
    program = (
        "import sys; from stack.cli import main; main(sys.argv[1:2]);"
        "heavy = {'aiohttp', 'cryptography', 'tuf', 'jwt', 'asyncio', 'sqlite_utils', *sys.argv[2:]} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nobody_looks_for_translations_of_the_words_of_argparse(monkeypatch, capsys):
    monkeypatch.setattr("gettext.dgettext", lambda _domain, message: f"translated: {message}")
    assert main(["version", "--json=1"]) == ExitCode.USAGE
    words = capsys.readouterr().err
    assert "ignored explicit argument" in words
    assert "translated" not in words


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


def help_of(path: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*path, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


WORDS = tuple(word.path for word in read_words())
"""Each command, and each action of one."""


@pytest.mark.parametrize("path", WORDS, ids=" ".join)
def test_help_says_what_it_does_explains_each_argument_and_has_an_example(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = help_of(path, capsys)
    usage, _, rest = told.partition("\n\n")
    assert usage.startswith(f"usage: sigbox {' '.join(path)} ")
    assert re.match(r"[A-Z`][^\n]+\w", rest), "what it does comes first"
    plain, _, examples = told.partition("\nexamples:\n")
    shown, _, after = examples.partition("\n\n")
    assert f"sigbox {' '.join(path)}" in shown
    assert [line for line in (*plain.splitlines(), *after.splitlines()) if len(line) > 80] == []
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert [line for line in wide if len(line.removesuffix(" \\").split()) > 2] == [], (
        "an option and its value stay one"
    )
    assert [line for line in plain.splitlines() if re.search(r"\w-$", line)] == [], "a path is not broken"


def arguments_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from arguments_of(inner)
        else:
            yield parser.prog, action


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained(name):
    parser = argparse.ArgumentParser(prog=name)
    import_module(COMMANDS[name].module).add_arguments(parser)
    assert [(prog, one.dest) for prog, one in arguments_of(parser) if not one.help] == []


def test_wide_examples_are_folded_into_lines_that_mean_the_same(capsys, monkeypatch):
    told: dict[str, str] = {}
    for columns in ("80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        told[columns] = help_of(("log", "watch"), capsys).partition("examples:\n")[2]
    assert told["80"] != told["300"]
    assert "  # the certificate log: what was issued for these names\n  sigbox log watch --ct --once" in told["80"]
    joined = told["80"].replace(" \\\n     ", "")
    assert [line for line in told["300"].splitlines() if "   " not in line.strip() and line not in joined] == []


def test_an_action_has_the_examples_that_are_its_own_and_the_exit_codes():
    examples = "examples:\n  sigbox x list\n  sigbox x add --a \\\n      --b\n  sigbox x adder\n\nexit codes:\n  0 done"
    assert (
        examples_of("sigbox x add", examples) == "examples:\n  sigbox x add --a \\\n      --b\n\nexit codes:\n  0 done"
    )
    assert examples_of("sigbox x none", examples) == "exit codes:\n  0 done"


def test_the_overview_fits_a_terminal_of_80_columns(capsys):
    assert main(["--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_a_directory_that_is_missing_is_named_and_not_a_temporary_file_in_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "none" / ".kit.tar.x7"
    failing(FileNotFoundError(2, "No such file or directory", str(missing)), monkeypatch, "--json")
    assert runner.run("x", ASKING, ["--json"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == f"sigbox x: there is no directory {tmp_path / 'none'}"
    assert "hint: make it first" in told.err
    assert json.loads(told.out)["error"] == f"there is no directory {tmp_path / 'none'}"


def told_to(output: IO[bytes] | int, *arguments: str, unbuffered: str) -> subprocess.CompletedProcess[bytes]:
    given = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-P", "-m", "stack.cli", *arguments]
    return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, env=given, timeout=60, check=False)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["completion", "bash"], ["help", "env"]], ids=" ".join
)
def test_a_reader_that_has_gone_is_told_nothing(arguments, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = told_to(pipe, *arguments, unbuffered=unbuffered)
    assert done.stderr == b""
    # argparse writes a help text itself, and lets nobody know that it could not.
    assert done.returncode == (0 if arguments[0] == "help" and unbuffered else 141)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_a_full_disk_behind_standard_output_is_one_line(arguments):
    with Path("/dev/full").open("wb") as full:
        done = told_to(full, *arguments, unbuffered="")
    assert done.returncode == 2
    assert done.stderr == b"sigbox: standard output cannot be written to: No space left on device\n"


def test_without_standard_output_a_command_still_ends_as_it_must():
    program = f"exec {sys.executable} -P -m stack.cli --version >&-"
    done = subprocess.run(["/bin/sh", "-c", program], stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupt_is_one_line_wherever_it_comes(capsys, monkeypatch):
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "import_module", interrupt)
    assert main(["trust", "show"]) == 130
    assert capsys.readouterr().err == "sigbox trust: interrupted\n"
    monkeypatch.setattr(runner, "run", interrupt)
    assert main(["trust", "show"]) == 130
    assert capsys.readouterr().err == "sigbox trust: interrupted\n"


def test_help_takes_an_action_too(capsys):
    with pytest.raises(SystemExit):
        main(["help", "trust", "rotate"])
    assert capsys.readouterr().out.startswith("usage: sigbox trust rotate ")
