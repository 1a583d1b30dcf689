# SPDX-License-Identifier: Apache-2.0
"""What the documents and the help texts tell a user to type is what the program takes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from stack.cli.table import COMMANDS
from stack.cli.up import EXAMPLES as UP_EXAMPLES
from stack.cli.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
CALL = re.compile(r"(?<![\w./-])sigbox ([a-z][a-z-]*)(?=([^\n]*))")
"""The command, and the rest of its line; a call inside another one is found too."""
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    import_module(COMMANDS[command].module).add_arguments(parser)
    return parser


def options_of(parser: argparse.ArgumentParser, words: list[str]) -> set[str]:
    """The options of a command, or of the action of it that comes first in ``words``."""
    actions = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    if actions is None:
        return set(parser._option_string_actions)
    return options_of(actions.choices[words[0]], words[1:]) if words and words[0] in actions.choices else set()


def problems(text: str) -> Iterator[str]:
    """Each call of ``sigbox`` in ``text`` whose command or option does not exist."""
    for name, rest in CALL.findall(text.replace("\\\n", " ")):
        if name not in COMMANDS:
            yield f"sigbox {name}"
            continue
        own = re.split(r"[`)#|]|\$\(", rest)[0]
        known = options_of(parser_of(name), own.split())
        yield from (f"sigbox {name} {option}" for option in OPTION.findall(own) if option not in known)


def code_of(document: Path) -> str:
    """What a reader is told to type: in code blocks, the lines after a prompt and those that continue them."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", document.read_text("utf-8"), re.DOTALL))
    return "\n".join(re.findall(r"^\$ (.*)$", blocks.replace("\\\n", " "), re.MULTILINE))


DOCUMENTS = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_commands_exist(document):
    text = (ROOT / document).read_text("utf-8")
    inline = "\n".join(re.findall(r"`(sigbox [^`]+)`", text))
    assert not list(problems(f"{code_of(ROOT / document)}\n{inline}"))


def test_the_readme_shows_every_command():
    shown = {name for name, _ in CALL.findall((ROOT / "README.md").read_text("utf-8"))}
    assert shown >= set(COMMANDS) - {"version", "demo"}


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_the_help_can_be_typed(command):
    assert not list(problems(getattr(import_module(COMMANDS[command].module), "EXAMPLES", "")))


def test_the_check_finds_what_does_not_exist():
    assert list(problems("sigbox up --bogus 1")) == ["sigbox up --bogus"]
    assert list(problems("sigbox trust show --bogus")) == ["sigbox trust --bogus"]
    assert list(problems("sigbox trust --json")) == ["sigbox trust --json"]
    assert not list(problems("sigbox trust show --json"))
    assert list(problems("$ sigbox frobnicate x")) == ["sigbox frobnicate"]
    assert list(problems('sigbox sign-blob F --identity-token "$(sigbox token --bogus x)"')) == ["sigbox token --bogus"]
    assert not list(problems(UP_EXAMPLES))


def test_the_version_is_that_of_the_package():
    assert version("sigbox") == VERSION
