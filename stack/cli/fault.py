# SPDX-License-Identifier: Apache-2.0
"""Let a stack for tests misbehave: list the faults that it has, switch them on and off.

The stack was started with --ephemeral --control. docs/faults.md says which check of a client must notice which fault.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final
from urllib.parse import quote

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, parse_json
from stack.cli.asking import ask_for
from stack.config import DEFAULT_LISTEN

EXAMPLES = """\
examples:
  sigbox fault list --url http://localhost:7780
  sigbox fault on wrong-proof
  sigbox fault on slow role=tsa seconds=2 count=3      three answers of the timestamp authority
  sigbox fault off wrong-proof
  sigbox fault off                                     all of them"""
_URL: Final = f"http://localhost:{DEFAULT_LISTEN.rpartition(':')[2]}"
_MOST: Final = 200
"""Rows that are read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox fault``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("list", help="every fault: what it does, who must notice it", allow_abbrev=False)
    on = actions.add_parser("on", help="switch a fault on", allow_abbrev=False)
    on.add_argument("name", metavar="NAME", help="as list shows it")
    about = "a parameter; count=N makes the next N answers wrong and no more"
    on.add_argument("parameters", metavar="KEY=VALUE", nargs="*", help=about)
    off = actions.add_parser("off", help="switch a fault off, or all", allow_abbrev=False)
    off.add_argument("name", metavar="NAME", nargs="?", help="default: all of them")
    for action in (show, on, off):
        action.add_argument("--url", metavar="URL", default=_URL, help="of the stack (default: %(default)s)")
        action.add_argument("--json", action="store_true", help="every fault, as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    """Exit code 0: done."""
    rows = _ask(options).objects("faults", limit=_MOST)
    if options.json:
        print(json.dumps([dict(row.raw()) for row in rows], indent=2))
    elif options.action == "list":
        for row in rows:
            print("\n".join(_lines(row)))
    else:
        sys.stderr.write(f"on: {', '.join(row.text('name') for row in rows if _is_on(row)) or 'none'}\n")
    return 0


def _ask(options: argparse.Namespace) -> Fields:
    if options.action == "list":
        return ask_for(options.url, "faults", b"", "GET")
    named = "faults" if options.name is None else f"faults/{quote(options.name, safe='')}"
    if options.action == "off":
        return ask_for(options.url, named, b"", "DELETE")
    return ask_for(options.url, named, json.dumps(dict(map(_parameter, options.parameters))).encode(), "PUT")


def _parameter(text: str) -> tuple[str, JSON]:
    """``KEY=VALUE``; the value is JSON, or else text. Malformed: there is no key or no ``=``."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Malformed(f"the parameter is {text!r}, expected KEY=VALUE", "for example count=3")
    try:
        return name, parse_json(value, what=name, limit=limits.TEXT, floats=True)
    except Malformed:
        return name, value


def _lines(row: Fields) -> list[str]:
    lines = [
        f"{row.text('name'):26}{row.text('does')}",
        f"{'':26}must be noticed by: {row.text('noticed')}",
        f"{'':26}takes: {', '.join(row.texts('parameters', limit=_MOST))}",
    ]
    if _is_on(row):
        active = row.object("active")
        given = ", ".join(f"{name}={json.dumps(value)}" for name, value in active.object("parameters").raw().items())
        lines.append(f"{'':26}ON{given and f' ({given})'}: {active.integer('answers')} answers so far")
    return lines


def _is_on(row: Fields) -> bool:
    return row.raw().get("active") is not None
