# SPDX-License-Identifier: Apache-2.0
"""Writing a key pair and saying so, for the commands that do."""

from __future__ import annotations

import argparse
import json
import sys

from client.key_files import save_key_pair
from sigcore.errors import Refused
from sigcore.keys import PrivateKey
from stack.cli.passphrase import ask_new_passphrase
from stack.cli.usage import Usage, not_empty


def add_pair_options(parser: argparse.ArgumentParser, prefix: str) -> None:
    """``--output-key-prefix``, ``--yes``, ``--json``."""
    parser.add_argument(
        "-o", "--output-key-prefix", metavar="PREFIX", type=not_empty, default=prefix, help="default: %(default)s"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="the two paths as JSON on standard output")


def write_pair(key: PrivateKey, options: argparse.Namespace) -> int:
    """Write both files under a password that is asked for; their names are the result. Exit code 0.

    Raises:
        Usage: they are there, or cannot be written.
    """
    try:
        pair = save_key_pair(key, options.output_key_prefix, ask_new_passphrase(), overwrite=options.yes)
    except Refused as error:
        raise Usage(error.message, error.hint) from error
    private, public = map(str, pair)
    for path in (private, public):
        sys.stderr.write(f"wrote {path}\n")
    if options.json:
        print(json.dumps({"privateKey": private, "publicKey": public}, indent=2))
    return 0
