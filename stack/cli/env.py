# SPDX-License-Identifier: Apache-2.0
"""Print the exact lines that make an official client use your stack; they can be pasted into a shell.

FILE, IMAGE and REGISTRY are yours to fill in. Where a client can do only a part, a comment says so.
"""

from __future__ import annotations

import argparse
import json

from stack.cli.placing import add_data_option
from stack.clients.table import GUIDES, guide
from stack.config import home_at, load_settings

EXAMPLES = """\
examples:
  sigbox env cosign
  sigbox env sigstore-python --data /srv/sigbox
  sigbox env sigstore-js --json                    the same for programs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox env``."""
    parser.add_argument("client", choices=GUIDES, metavar="CLIENT", help=f"one of: {', '.join(GUIDES)}")
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="environment and commands as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    """Print the lines."""
    home = home_at(options.data)
    found = guide(options.client, home, load_settings(home))
    print(json.dumps(found.document(), indent=2) if options.json else "\n".join(found.lines()))
    return 0
