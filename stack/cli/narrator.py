# SPDX-License-Identifier: Apache-2.0
"""Tells a story on standard output: titles, wrapped sentences, commands that can be pasted, what they printed.

Colours only on a terminal, and not with NO_COLOR. Nothing but a path or a digest is wider than the terminal.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from enum import Enum
from typing import Final

INDENT: Final = "   "
WIDEST: Final = 110
"""Longer lines are hard to read, however wide the terminal is."""


class Style(Enum):
    """What a line is; the value is its ANSI attribute."""

    TITLE = "1"
    COMMAND = "36"
    GOOD = "32"
    BAD = "31"
    FAINT = "2"


class Narrator:
    """Prints to standard output, line by line, as the story goes on."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._width = min(shutil.get_terminal_size((100, 24)).columns, WIDEST)

    def title(self, text: str) -> None:
        """A step begins."""
        self._print(text, Style.TITLE, before="\n")

    def say(self, text: str) -> None:
        """A few sentences."""
        self._print(self._filled(text, INDENT, INDENT))

    def trusted(self, text: str) -> None:
        """Who must be believed at this step, and what for."""
        self._print(self._filled(text, f"{INDENT}Trusted: ", INDENT), Style.FAINT)

    def command(self, words: Sequence[str], prompt: str = "$") -> None:
        """A command, broken before its options where it is too wide; it can be pasted as it stands."""
        groups: list[str] = []
        for word in map(_quoted, words):
            if not groups or word.startswith("--"):
                groups.append(word)
            else:
                groups[-1] += f" {word}"
        lines = [f"{INDENT}{prompt} {groups[0]}"]
        for group in groups[1:]:
            if len(lines[-1]) + len(group) + 3 > self._width:
                lines[-1] += " \\"
                lines.append(f"{INDENT}{' ' * len(prompt)}   {group}")
            else:
                lines[-1] += f" {group}"
        self._print("\n".join(lines), Style.COMMAND)

    def output(self, text: str, style: Style | None = None) -> None:
        """What a command printed."""
        for line in text.strip().splitlines():
            self._print(self._filled(line, f"{INDENT}| ", f"{INDENT}|   "), style)

    def repeat(self, line: str) -> None:
        """A line with which everybody can look for himself."""
        self._print(f"{INDENT}try: {line}", Style.COMMAND)

    def table(self, rows: Sequence[tuple[str, int, str]]) -> None:
        """Name, size in bytes, what it says."""
        widest = max(len(name) for name, _, _ in rows)
        for name, size, text in rows:
            head = f"{INDENT}{name:<{widest}} {size:>6,} bytes  "
            self._print(self._filled(text, head, " " * len(head)))

    def _filled(self, text: str, first: str, rest: str) -> str:
        """``text`` in lines of the terminal's width. Digests, URLs and options stay whole, so that they can be copied."""
        return textwrap.fill(
            text,
            self._width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _print(self, text: str, style: Style | None = None, *, before: str = "") -> None:
        if self._colours and style:
            text = f"\x1b[{style.value}m{text}\x1b[0m"
        print(f"{before}{text}", flush=True)


def _quoted(word: str) -> str:
    return word if word.startswith("@") else shlex.quote(word)
