# SPDX-License-Identifier: Apache-2.0
"""Who did what to your stack: the record of the commands that changed it, a log with a key of its own.

`show` prints it, after verifying it. `verify` hashes all of it and compares with its signed head, with the anchor, and with heads
that you kept elsewhere. `head` prints the signed head, to be kept elsewhere: on paper, in a ticket, at the auditor's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sigcore import limits
from sigcore.errors import Malformed
from stack.audit_trail import load_trail, verify_trail
from stack.cli.placing import add_data_option
from stack.config import home_at, load_settings
from stack.files import load_file

EXAMPLES = """\
examples:
  sigbox audit show
  sigbox audit show --json --data /srv/sigbox
  sigbox audit head > head-of-today.txt
  sigbox audit verify --head head-of-today.txt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox audit``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="every action: when, who, what, on what, how it ended", allow_abbrev=False)
    verify = actions.add_parser(
        "verify", help="was something changed, taken out, moved or cut off? 1 if so", allow_abbrev=False
    )
    verify.add_argument(
        "--head", metavar="FILE", type=Path, action="append", default=[], help="a head of before; may be repeated"
    )
    head = actions.add_parser("head", help="the signed head, to be kept elsewhere", allow_abbrev=False)
    for action in (show, verify, head):
        add_data_option(action)
        action.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(options: argparse.Namespace) -> int:
    """Read only: no passphrase is needed, and a running stack is not disturbed."""
    home = home_at(options.data)
    settings = load_settings(home)
    if options.action == "verify":
        found = verify_trail(home, settings, [_head(path) for path in options.head])
        if options.json:
            report = {"intact": True, "entries": found.entries, "root": found.root.hex(), "heads": len(options.head)}
            print(json.dumps(report, indent=2))
        else:
            print(f"intact: {found.entries} entries, root {found.root.hex()}, {len(options.head)} heads of before hold")
        return 0
    trail = load_trail(home, settings)
    if options.action == "head" and options.json:
        print(json.dumps({"entries": len(trail.entries), "head": trail.head}, indent=2))
    elif options.action == "head":
        print(trail.head, end="")
    elif options.json:
        print(json.dumps({"entries": trail.entries, "head": trail.head}, indent=2))
    else:
        print("\n".join(map(_line, trail.entries)))
    return 0


def _head(path: Path) -> str:
    try:
        return load_file(path, what="the head", limit=limits.NOTE, pipe=True).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{path} is no head: it is not text", "it is what `sigbox audit head` prints") from error


def _line(entry: dict[str, Any]) -> str:
    """``state`` is missing in the first entry alone."""
    by = entry["by"]
    who = f"{by['user'] or 'uid'}({by['uid']})" + (f" logged in as {by['loginUser']}" if "loginUser" in by else "")
    return f"{entry['at']}  {who:<14}{entry.get('state', ''):<8}{entry.get('id', ''):<18}{entry['action']}  {entry['object']!a}"
