# SPDX-License-Identifier: Apache-2.0
"""Make a key pair for signing without an identity: PREFIX.key under a password, PREFIX.pub. cosign reads both.

The password comes from COSIGN_PASSWORD or from the terminal; an empty one is allowed, as with cosign.
"""

from __future__ import annotations

import argparse
import sys

from client.key_files import save_key_pair
from sigcore.keys import generate_p256
from stack.cli.passphrase import ask_new_passphrase

EXAMPLES = """\
examples:
  sigbox generate-key-pair
  sigbox generate-key-pair --output-key-prefix release
  sigbox sign-blob FILE --key release.key
  sigbox verify-blob FILE --key release.pub"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox generate-key-pair``."""
    parser.add_argument("--output-key-prefix", metavar="PREFIX", default="cosign", help="default: %(default)s")
    parser.add_argument("-y", "--yes", action="store_true", help="replace files that are there")


def run(options: argparse.Namespace) -> int:
    """Write the two files; their names are the result."""
    pair = save_key_pair(generate_p256(), options.output_key_prefix, ask_new_passphrase(), overwrite=options.yes)
    for path in pair:
        sys.stderr.write(f"wrote {path}\n")
    return 0
