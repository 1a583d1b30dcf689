# SPDX-License-Identifier: Apache-2.0
"""Make a key pair for signing without an identity: PREFIX.key under a password, PREFIX.pub. cosign reads both.

The password comes from COSIGN_PASSWORD or from the terminal; an empty one is allowed, as with cosign.
"""

from __future__ import annotations

import argparse

from sigcore.keys import generate_p256
from stack.cli.written import add_pair_options, write_pair

EXAMPLES = """\
examples:
  sigbox generate-key-pair
  sigbox generate-key-pair --output-key-prefix release
  sigbox sign-blob FILE --key release.key
  sigbox verify-blob FILE --key release.pub"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox generate-key-pair``."""
    add_pair_options(parser, "cosign")


def run(options: argparse.Namespace) -> int:
    """Write the two files; their names are the result."""
    return write_pair(generate_p256(), options)
