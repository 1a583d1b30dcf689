# SPDX-License-Identifier: Apache-2.0
"""The help of a command and of its actions: made only where somebody asks for it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from textwrap import fill, wrap
from types import ModuleType
from typing import Any

from sigcore.patterns import pattern

_EXAMPLES = "examples:"
_WORD = pattern(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_REMARK = pattern(r" {3,}")
_INDENT = " " * 8


def describe(parser: argparse.ArgumentParser, module: ModuleType, columns: int) -> None:
    """Give a command its description and examples, and each action of it its own: the lines that begin with it."""
    examples = getattr(module, "EXAMPLES", "")
    formatter: Callable[..., argparse.HelpFormatter] = partial(_Formatter, width=columns - 2)
    parser.description, parser.formatter_class = _wrapped(module.__doc__ or "", columns - 2), formatter
    parser.epilog = _folded(examples, columns)
    _describe_actions(parser, formatter, examples, columns)


def _describe_actions(
    parser: argparse.ArgumentParser, formatter: Callable[..., argparse.HelpFormatter], examples: str, columns: int
) -> None:
    """Those of an action in turn, such as the steps of ``trust root``."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask what it was told
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            about = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001 - the same
            for name, own in action.choices.items():
                own.formatter_class = formatter
                own.description = own.description or f"{about[name][:1].upper()}{about[name][1:]}."
                own.epilog = own.epilog or _folded(examples_of(own.prog, examples), columns)
                _describe_actions(own, formatter, examples, columns)


def examples_of(call: str, examples: str) -> str:
    """Of the ``examples`` of a command those of one action, with the lines that go on; and what follows the examples."""
    rows, _, rest = examples.partition("\n\n")
    kept = [row for row in _rows(rows) if row.lstrip() == call or row.lstrip().startswith(f"{call} ")]
    return "\n\n".join(filter(None, ("\n".join((_EXAMPLES, *kept)) if kept else "", rest)))


def _rows(examples: str) -> Iterator[str]:
    """Each example with its continuation lines."""
    row = ""
    for line in examples.splitlines():
        if row.endswith("\\"):
            row += f"\n{line}"
        else:
            yield row
            row = line
    yield row


def _folded(examples: str, columns: int) -> str:
    """Those of the ``examples`` that are wider than the terminal in several lines, which can be pasted as one was."""
    rows, blank, rest = examples.partition("\n\n")
    return "\n".join(line for row in _rows(rows) for line in _folded_row(row, columns)) + blank + rest


def _folded_row(row: str, columns: int) -> Iterator[str]:
    """A remark that leaves no room goes before its command; a command goes on in lines that a backslash announces."""
    if all(len(line) <= columns for line in row.splitlines()):
        yield row
        return
    command, *remark = _REMARK.split(row.strip(), maxsplit=1) if "\n" not in row else [row]
    yield from (f"  # {one}" for one in remark)
    line = " "
    for words in _groups(command.replace("\\\n", " ")):
        if line.strip() and len(line) + len(words) + len(" " + " \\") > columns:
            yield f"{line} \\"
            line = " " * 5
        line += f" {words}"
    yield line


def _groups(command: str) -> list[str]:
    """Its words, an option together with its value."""
    groups: list[str] = []
    for word in _WORD.findall(command):
        if groups and groups[-1].startswith("--") and " " not in groups[-1] and not word.startswith("-"):
            groups[-1] += f" {word}"
        else:
            groups.append(word)
    return groups


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Words with a dash, such as options and paths, stay whole; a usage with longer options than fit begins them farther left."""

    def _format_usage(self, *given: Any, **named: Any) -> str:
        first, *rest = super()._format_usage(*given, **named).split("\n")
        if any(len(line) > self._width + 2 for line in rest):
            rest = [f"{_INDENT}{line.lstrip()}" if line else line for line in rest]
        return "\n".join((first, *rest))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)


def _wrapped(text: str, width: int) -> str:
    """The paragraphs of a docstring, in lines that fit the terminal; what is indented stays as it is."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(one if "\n " in one else fill(one, width) for one in paragraphs)
