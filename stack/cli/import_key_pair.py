# SPDX-License-Identifier: Apache-2.0
"""Put a private key of yours (PEM, as openssl writes it: ECDSA, RSA or Ed25519) under a password, in cosign's format.

Where the file is under a password itself, COSIGN_PASSWORD opens it and closes the new one; the terminal is asked for each.
"""

from __future__ import annotations

import argparse

from stack.cli.passphrase import open_signing_key
from stack.cli.written import add_pair_options, write_pair

EXAMPLES = """\
examples:
  sigbox import-key-pair --key openssl.pem --output-key-prefix release"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox import-key-pair``."""
    parser.add_argument("-k", "--key", metavar="FILE", required=True, help="the private key")
    add_pair_options(parser, "import-cosign")


def run(options: argparse.Namespace) -> int:
    """Write the two files."""
    key = open_signing_key(options.key)
    return write_pair(key, options)
