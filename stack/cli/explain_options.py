# SPDX-License-Identifier: Apache-2.0
"""``--explain``, the same for every command that signs or verifies. What explains is imported when it is asked for."""

from __future__ import annotations

import argparse

from stack.cli.usage import Usage


def add_explain_options(parser: argparse.ArgumentParser) -> None:
    """``--explain``, ``--explain=json``, ``--explain-dir``.

    The forms with ``=`` are options of their own for argparse: one with an optional value would swallow the next FILE.
    """
    group = parser.add_argument_group("explanation")
    text = "show each step: its bytes, what is checked, who could lie, the openssl line that repeats it"
    for option, value, about in (
        ("--explain", "text", text),
        ("--explain=text", "text", argparse.SUPPRESS),
        ("--explain=json", "json", "the same steps in one JSON document"),
    ):
        group.add_argument(option, dest="explain", action="store_const", const=value, help=about)
    text = "where the files go that those lines read: an empty or new folder (default: a temporary one)"
    group.add_argument("--explain-dir", metavar="DIR", help=text)


def wants_explanation(options: argparse.Namespace) -> bool:
    """Whether one is asked for.

    Raises:
        Usage: a folder for it, and none.
    """
    if options.explain is None and options.explain_dir is not None:
        raise Usage("--explain-dir is given without --explain", "add --explain")
    return options.explain is not None
