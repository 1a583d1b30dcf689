# SPDX-License-Identifier: Apache-2.0
"""Print a script with which your shell completes sigbox's commands, options and files.

The script is made from the commands as they are now: print it again after an update.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final

from sigcore.values import dataclass
from stack.cli.table import COMMANDS

EXAMPLES = """\
examples:
  source <(sigbox completion bash)                                    this shell
  sigbox completion bash > ~/.local/share/bash-completion/completions/sigbox
  sigbox completion zsh > "${fpath[1]}/_sigbox"
  sigbox completion fish > ~/.config/fish/completions/sigbox.fish"""


@dataclass(frozen=True, slots=True)
class Option:
    """An option: how it is written, what it does, and its values where it has a few of them."""

    names: tuple[str, ...]
    text: str
    takes_value: bool
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A command, or an action of one: ``path`` is what is written for it."""

    path: tuple[str, ...]
    text: str
    options: tuple[Option, ...]
    words: tuple[str, ...]
    """What may follow: actions, or the values of a positional argument."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=sorted(_SHELLS), help="whose script")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    print(_SHELLS[options.shell](tuple(read_words())), end="")
    return 0


# --- what can be typed -------------------------------------------------------------------------------
def read_words() -> Iterator[Word]:
    """Every command and action with its options, from the parsers themselves."""
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=name)
        import_module(command.module).add_arguments(parser)
        yield from _read((name,), command.summary, parser)


def _read(path: tuple[str, ...], text: str, parser: argparse.ArgumentParser) -> Iterator[Word]:
    words: list[str] = []
    below: list[Word] = []
    options: list[Option] = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask what it was told
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            words += action.choices
            said = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001 - the same
            for name, inner in action.choices.items():
                below += _read((*path, name), said.get(name, ""), inner)
        elif action.option_strings:
            options.append(_option(action))
        else:
            words += map(str, action.choices or ())
    yield Word(path, text, tuple(options), tuple(words))
    yield from below


def _option(action: argparse.Action) -> Option:
    text = (action.help or "").replace("%%", "%").split(" (default: %(default)s)")[0]
    choices = tuple(map(str, action.choices or ()))
    return Option(tuple(action.option_strings), text, action.nargs != 0, choices)


# --- scripts -----------------------------------------------------------------------------------------
def _bash(words: tuple[Word, ...]) -> str:
    """Cases by the words so far; where nothing is known, files."""
    names = " ".join(word.path[0] for word in words if len(word.path) == 1)
    cases = "".join(
        f"    {shlex.quote(' '.join(word.path))}) words={shlex.quote(' '.join((*word.words, *_long(word))))} ;;\n"
        for word in words
    )
    actions = "|".join(shlex.quote(" ".join(word.path)) for word in words if len(word.path) == 2)
    values = "".join(
        f"    {shlex.quote(' '.join((*word.path, name)))}) words={shlex.quote(' '.join(option.choices))} ;;\n"
        for word in words
        for option in word.options
        if option.choices
        for name in option.names
    )
    return f"""\
# bash completion of sigbox; made by `sigbox completion bash`
_sigbox() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="${{COMP_WORDS[1]}}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {shlex.quote(names + " --help")} -- "$current"))
    return
  fi
  case "$command ${{COMP_WORDS[2]}}" in
    {actions or "''"}) [ "$COMP_CWORD" -gt 2 ] && command="$command ${{COMP_WORDS[2]}}" ;;
  esac
  case "$command $previous" in
{values}  esac
  if [ -z "$words" ]; then case "$command" in
{cases}  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ ${{#COMPREPLY[@]}} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}}
complete -o filenames -F _sigbox sigbox
"""


def _long(word: Word) -> Iterator[str]:
    return (name for option in word.options for name in option.names if name.startswith("--"))


def _zsh(words: tuple[Word, ...]) -> str:
    """Zsh runs bash's own."""
    return f"#compdef sigbox\nautoload -U +X bashcompinit && bashcompinit\n{_bash(words)}"


def _fish(words: tuple[Word, ...]) -> str:
    """A line for each command, action and option."""
    lines = ["# fish completion of sigbox; made by `sigbox completion fish`"]
    for word in words:
        *before, last = word.path
        condition = f"__fish_seen_subcommand_from {before[0]}" if before else "__fish_use_subcommand"
        lines.append(f"complete -c sigbox -f -n {_fish_text(condition)} -a {last} -d {_fish_text(word.text)}")
        seen = _fish_text("; and ".join(f"__fish_seen_subcommand_from {name}" for name in word.path))
        for option in word.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = f" -x -a {_fish_text(' '.join(option.choices))}" if option.choices else " -r" * option.takes_value
            lines.append(f"complete -c sigbox -n {seen} {names}{value} -d {_fish_text(option.text)}")
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ")
    return f"'{escaped}'"


_SHELLS: Final[dict[str, Callable[[tuple[Word, ...]], str]]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
