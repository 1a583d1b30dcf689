# SPDX-License-Identifier: Apache-2.0
"""Put a private key of yours (PKCS#8 PEM: ECDSA, RSA or Ed25519) under a password, in cosign's format."""

from __future__ import annotations

import argparse
import sys

from client.key_files import load_private_key, save_key_pair
from stack.cli.passphrase import ask_new_passphrase, ask_passphrase

EXAMPLES = """\
examples:
  sigbox import-key-pair --key openssl.pem --output-key-prefix release"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox import-key-pair``."""
    parser.add_argument("--key", metavar="FILE", required=True, help="the private key")
    parser.add_argument("--output-key-prefix", metavar="PREFIX", default="import-cosign", help="default: %(default)s")
    parser.add_argument("-y", "--yes", action="store_true", help="replace files that are there")


def run(options: argparse.Namespace) -> int:
    """Write the two files."""
    key = load_private_key(options.key, ask_passphrase)
    for path in save_key_pair(key, options.output_key_prefix, ask_new_passphrase(), overwrite=options.yes):
        sys.stderr.write(f"wrote {path}\n")
    return 0
