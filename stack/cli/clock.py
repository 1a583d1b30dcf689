# SPDX-License-Identifier: Apache-2.0
"""The clock of a stack for tests: show it, turn it, stop it. Every role reads this one, and signs with it.

The stack was started with --ephemeral --control. What it has signed with stays behind it: a clock is not turned back over that.
"""

from __future__ import annotations

import argparse
import json
from typing import Final

from sigcore.strict import JSON, Fields
from stack.cli.asking import ask_for
from stack.config import DEFAULT_LISTEN

EXAMPLES = """\
examples:
  sigbox clock show --url http://localhost:7780
  sigbox clock advance PT1H                            also 3600, 60m, 1h, 90d
  sigbox clock set 2031-05-01T00:00:00Z --stop         and it stays there
  sigbox clock stop                                    where it is
  sigbox clock run                                     from where it stands"""
_URL: Final = f"http://localhost:{DEFAULT_LISTEN.rpartition(':')[2]}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox clock``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="what time it is for the stack", allow_abbrev=False)
    set_ = actions.add_parser("set", help="turn it to a time", allow_abbrev=False)
    set_.add_argument("time", metavar="TIME", help="such as 2031-05-01T00:00:00Z")
    advance = actions.add_parser("advance", help="turn it forward", allow_abbrev=False)
    advance.add_argument("duration", metavar="DURATION", help="seconds, or such as PT1H, P30D, 3h, 90d")
    for action in (set_, advance):
        action.add_argument("--stop", action="store_true", help="and let it stand there")
    stop = actions.add_parser("stop", help="let it stand where it is", allow_abbrev=False)
    run_ = actions.add_parser("run", help="let it go on from where it stands", allow_abbrev=False)
    for action in (show, set_, advance, stop, run_):
        action.add_argument("--url", metavar="URL", default=_URL, help="of the stack (default: %(default)s)")
        action.add_argument("--json", action="store_true", help="what time it is, as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    """Exit code 0: it shows what is printed."""
    if options.action == "show":
        clock = ask_for(options.url, "clock", b"", "GET").object("clock")
    else:
        clock = ask_for(options.url, "clock", json.dumps(_order(options)).encode()).object("clock")
    print(json.dumps(dict(clock.raw()), indent=2) if options.json else _line(clock))
    return 0


def _order(options: argparse.Namespace) -> dict[str, JSON]:
    if options.action in ("stop", "run"):
        return {options.action: True}
    stop: dict[str, JSON] = {"stop": True} if options.stop else {}
    if options.action == "set":
        return {"set": options.time, **stop}
    seconds = options.duration.isascii() and options.duration.isdigit() and len(options.duration) < 10
    return {"advance": int(options.duration) if seconds else options.duration, **stop}


def _line(clock: Fields) -> str:
    how = "it stands" if clock.boolean("stopped") else "it runs"
    whose = "turned" if clock.boolean("turned") else "the time of day"
    return f"{clock.text('now')} ({whose}; {how}); last signed with {clock.text('signed')}"
